"""What the store service answers over its control socket, and the same from the store itself when
none runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from edge_agent.control.client import ask, socket_path
from edge_agent.control.server import Operation

if TYPE_CHECKING:
    from edge_agent.config.models import StoreSection
    from edge_agent.stores import Store


def operations(store: Store) -> dict[str, Operation]:
    """The questions of the store protocol, answered in plain JSON."""
    return {
        "known_devices": lambda agents=(): store.catalogue.known_devices(agents),
        "latest": lambda device=None: {
            name: {tag: asdict(newest) for tag, newest in tags.items()}
            for name, tags in store.latest(device).items()
        },
        "health": lambda from_ns, to_ns: {
            d: asdict(row) for d, row in store.health(from_ns, to_ns).items()
        },
        "live_facts": lambda from_ns, to_ns: {
            d: asdict(row) for d, row in store.live_facts(from_ns, to_ns).items()
        },
        "transitions": store.transitions,
        "gaps": store.gaps,
        "metrics": store.metrics,
        "counts": lambda: asdict(store.counts()),
        "marks": lambda: {stream: intervals.pairs() for stream, intervals in store.marks().items()},
        "devices": lambda: {
            name: orjson.loads(birth) for name, birth in dict(store.catalogue.devices).items()
        },
    }


def open_or_ask(config: StoreSection, op: str, *, agent: str = "", **arguments: Any) -> Any:
    """One of `operations`, answered by the running service, or from the store itself when none
    runs. `agent`: the service's own."""
    from edge_agent.stores import open_store

    try:
        return ask(socket_path(config.path), op, **arguments)
    except ConnectionError:
        store = open_store(config, agent)
    try:
        # Through JSON as well, so that both ways give the same types.
        return orjson.loads(orjson.dumps(operations(store)[op](**arguments)))
    finally:
        store.close()
