"""Many asyncua servers in one process at the price of one standard address space.

Building the standard nodes costs about 40 MB and 1.5 s of CPU per server. They are built once here;
every server gets its own copy of a node when it first touches it. The seam is the one asyncua
itself uses to load a shelf (`AddressSpace._nodes`, see decision record 0042).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.server.address_space import (
    AddressSpace,
    AttributeValue,
    NodeData,
    NodeManagementService,
)
from asyncua.server.internal_server import InternalServer
from asyncua.server.standard_address_space import standard_address_space

Nodes = MutableMapping[ua.NodeId, NodeData]


class StandardNodes:
    """The standard nodes, built on first use and never changed afterwards; for any loop and thread
    of the process."""

    def __init__(self) -> None:
        self._nodes: Nodes = {}
        self._lock = threading.Lock()

    async def all(self) -> Nodes:
        """All standard nodes."""
        return self._nodes or await asyncio.to_thread(self._build)

    def _build(self) -> Nodes:
        with self._lock:
            if not self._nodes:
                space = AddressSpace()
                with collection_paused():
                    standard_address_space.fill_address_space(NodeManagementService(space))  # type: ignore[no-untyped-call]
                self._nodes = space._nodes
        return self._nodes


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage collection meanwhile: among some 200 000 new objects that all stay it is half of
    the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


#: One set for the whole process: servers copy a node when they first touch it.
STANDARD_NODES: Final = StandardNodes()


class CopyOnAccess(MutableMapping[ua.NodeId, NodeData]):
    """The nodes of one server: its own, and copies of standard nodes from the moment they were
    touched."""

    def __init__(self, standard: Nodes) -> None:
        self._standard = standard
        self._own: dict[ua.NodeId, NodeData] = {}

    def __getitem__(self, key: ua.NodeId) -> NodeData:
        node = self._own.get(key)
        if node is None:
            node = self._own[key] = _copy(self._standard[key])
        return node

    def __setitem__(self, key: ua.NodeId, value: NodeData) -> None:
        self._own[key] = value

    def __delitem__(self, key: ua.NodeId) -> None:
        del self._own[key]

    def __contains__(self, key: object) -> bool:
        return key in self._own or key in self._standard

    def __iter__(self) -> Iterator[ua.NodeId]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def _copy(node: NodeData) -> NodeData:
    copy = NodeData(node.nodeid)
    copy.references = list(node.references)
    copy.call = node.call
    for attribute, old in node.attributes.items():
        value = AttributeValue(old.value)  # type: ignore[arg-type]
        value.value_callback = old.value_callback
        value.value_setter = old.value_setter
        copy.attributes[attribute] = value
    return copy


class LeanServer(InternalServer):
    """An asyncua internal server over the shared standard nodes. Without a clock task
    (`clock=False`) the simulation writes the time."""

    def __init__(self, user_manager: Any = None, clock: bool = False) -> None:
        super().__init__(user_manager=user_manager)
        self.disabled_clock = not clock

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        self.aspace._nodes = CopyOnAccess(await STANDARD_NODES.all())  # type: ignore[assignment]
