"""One batch into the store, in the store's own thread: quarantine first, then data and marks in one
commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edge_agent.clock import Clock
from edge_agent.errors import PoisonError, StoreError
from edge_agent.ingest.messages import Assembly, IngestMessage
from edge_agent.ingest.quarantine import MessageQuarantine, RefusedMessage
from edge_agent.reasons import cause
from edge_agent.stores.protocols import SampleStore


def commit(
    messages: Sequence[IngestMessage],
    store: SampleStore,
    quarantine: MessageQuarantine,
    clock: Clock,
) -> tuple[int, int]:
    """Returns (values stored, values quarantined). Raises StoreError (repeat it all) or PoisonError
    (split it).

    What goes to quarantine is written there before the store hears of it: a crash between the two
    leaves an entry twice, never a value nowhere.
    """
    now = clock.time_ns()
    assembly = Assembly.of(messages, now)
    refused = assembly.less(store.check(assembly.batch), store.catalogue)
    refused += [
        (message, message.refused, [])
        for message in messages
        if message.refused and not message.duplicate
    ]
    reasons: Counter[str] = Counter()
    for message, reason, tags in refused:
        reasons[reason] += len(tags) or message.values
    assembly.batch.quarantined = reasons
    _keep(refused, quarantine, now)
    try:
        store.write(assembly.batch)
    except (PoisonError, TypeError, ValueError, KeyError, OverflowError) as error:
        if all(message.refused or message.duplicate for message in messages):
            raise StoreError(cause("store_without_data_refused", why=error)) from error
        # An error of the data's shape that decoding let through is poison too: it must not stop the
        # others.
        raise PoisonError(f"{type(error).__name__}: {error}") from error
    return len(assembly.batch.rows), reasons.total()


def _keep(
    refused: Sequence[tuple[IngestMessage, str, list[str]]], quarantine: MessageQuarantine, now: int
) -> None:
    fresh = [(message, reason, tags) for message, reason, tags in refused if not message.kept]
    quarantine.append(
        [
            RefusedMessage.new(
                now, message.topic, message.payload, reason, len(tags) or message.values, tags
            )
            for message, reason, tags in fresh
        ]
    )
    for message, _, _ in fresh:
        message.kept = True
