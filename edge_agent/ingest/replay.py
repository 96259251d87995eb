"""Entries of the quarantine into the store after all: when the store was mended, or a bug of
ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.clock import Clock
from edge_agent.errors import PoisonError
from edge_agent.ingest import messages
from edge_agent.ingest.messages import Assembly, IngestMessage
from edge_agent.ingest.quarantine import MessageQuarantine, RefusedMessage
from edge_agent.stores import StreamMark
from edge_agent.stores.protocols import SampleStore


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of the entries."""

    stored: int
    """Values that are in the store now."""
    taken: tuple[str, ...]
    """Entries that left the quarantine."""
    refused: dict[str, str]
    """Entry -> why it is still there."""


def replay(
    entries: Sequence[RefusedMessage],
    store: SampleStore,
    quarantine: MessageQuarantine,
    clock: Clock,
) -> Replayed:
    """Each entry on its own. Their numbers are marked as dealt with already, so marks do not hinder
    them.

    Raises StoreError when the store is away; what was taken until then has left the quarantine.
    """
    stored = 0
    taken: list[str] = []
    refused: dict[str, str] = {}
    try:
        for entry in entries:
            message = messages.read(entry.topic, entry.payload, store.catalogue)
            reason = message.refused or _store(message, entry, store, clock)
            if reason:
                refused[entry.id] = reason
            else:
                stored += len(entry.tags) or message.values
                taken.append(entry.id)
    finally:
        quarantine.drop(taken)
    return Replayed(stored, tuple(taken), refused)


def _store(message: IngestMessage, entry: RefusedMessage, store: SampleStore, clock: Clock) -> str:
    """Write one message, or the refused tags of one; returns the reason when it is refused
    again."""
    assembly = Assembly.of([message], clock.time_ns())
    batch = assembly.batch
    if entry.tags:
        batch.rows = batch.rows.without(
            row
            for row, sid in enumerate(batch.rows.sid.tolist())
            if store.catalogue.series[sid].tag not in entry.tags
        )
    batch.marks = [StreamMark(mark.stream, mark.seq, len(batch.rows)) for mark in batch.marks]
    refusals = store.check(batch)
    if refusals:
        return refusals[0].reason
    try:
        store.write(batch)
    except PoisonError as error:
        return str(error)
    if message.birth is not None:
        store.catalogue.born(message.birth)
    return ""
