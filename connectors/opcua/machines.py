"""Machines in an address space, found by their type definition, and how a device profile's paths
fit them.

OPC 40001-1 (Machinery) and OPC 40501-1 (Machine Tools) fix types and names of components, and leave
the names of machines, channels and spindles open. A profile writes such names in the namespace
`urn:machine`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from asyncua import ua

from connectors.opcua.address import Namespace, PathSegment, parse_path
from connectors.opcua.limits import node_id
from connectors.opcua.namespaces import NamespaceTable
from connectors.opcua.stock import value_of
from connectors.opcua.walk import Node, Walk
from edge_agent.discovery import FoundMachine, TagKeys

MACHINERY: Final = "http://opcfoundation.org/UA/Machinery/"
MACHINE_TOOL: Final = "http://opcfoundation.org/UA/MachineTool/"
DEVICES: Final = "http://opcfoundation.org/UA/DI/"

_MACHINES: Final = 1001
"""The folder Machines of OPC 40001-1."""
_MACHINE_TOOL_TYPE: Final = 13
"""MachineToolType of OPC 40501-1."""
_IDENTIFICATIONS: Final = {(MACHINERY, 1012), (MACHINERY, 1004), (MACHINE_TOOL, 11)}
"""MachineIdentificationType, MachineryItemIdentificationType, MachineToolIdentificationType."""

#: A namespace of profiles that stands for any name.
ANY_NAME: Final = "urn:machine"

_FOUNDATION: Final = "http://opcfoundation.org/"
_PROFILE: Final = "generic-umati"
_FACTS: Final = ("Manufacturer", "Model", "SerialNumber", "ProductInstanceUri")
_TRIES: Final = 200
"""Children tried for one open name."""


class Machines:
    """The machines of one walk."""

    def __init__(
        self,
        walk: Walk,
        namespaces: NamespaceTable,
        supertypes: Mapping[ua.NodeId, Sequence[ua.NodeId]],
        start: Sequence[PathSegment] | None,
    ) -> None:
        """`supertypes`: of every type definition that was met; `start`: the way to the first node
        from the root."""
        self._walk = walk
        self._namespaces = namespaces
        self._supertypes = supertypes
        self._start = start

    def found(
        self, profiles: Mapping[str, Mapping[str, TagKeys]], addresses: Mapping[Node, str]
    ) -> list[FoundMachine]:
        """All machines; `addresses`: how each node is written in a configuration."""
        machines = []
        for node in self._walk.nodes:
            standard = self._standard(node)
            if standard is not None:
                tags = profiles.get(_PROFILE)
                nodes = {} if tags is None else self._fit(node, tags)
                paths = {tag: self._path(fitting) for tag, fitting in nodes.items()}
                machines.append(
                    FoundMachine(
                        node.display or node.name,
                        addresses[node],
                        standard,
                        None if tags is None else _PROFILE,
                        {tag: {"path": path} for tag, path in paths.items() if path is not None},
                        tuple(tag for tag in tags or () if tag not in nodes),
                        self._facts(node),
                        tuple(addresses[fitting] for fitting in nodes.values()),
                    )
                )
        return machines

    def _standard(self, node: Node) -> str | None:
        """Which specification a node is a machine of."""
        if node.is_variable or node.type_definition is None:
            return None
        if self._is_a(node.type_definition, MACHINE_TOOL, _MACHINE_TOOL_TYPE):
            return "OPC 40501-1 MachineToolType"
        index = self._namespaces.index(MACHINERY)
        if (
            index is not None
            and node.parent is not None
            and node.parent.id == node_id(_MACHINES, index)
        ):
            return "OPC 40001-1 Machinery"
        return None

    def _is_a(self, kind: ua.NodeId, uri: str, identifier: int) -> bool:
        index = self._namespaces.index(uri)
        if index is None:
            return False
        wanted = node_id(identifier, index)
        return kind == wanted or wanted in self._supertypes.get(kind, ())

    def _facts(self, machine: Node) -> dict[str, str]:
        holders = [
            child
            for child in machine.children
            if child.type_definition is not None
            and any(
                self._is_a(child.type_definition, uri, number) for uri, number in _IDENTIFICATIONS
            )
        ]
        facts = {}
        for holder in holders:
            for child in holder.children:
                if child.name in _FACTS and child.variant is not None:
                    facts[child.name] = str(value_of(child.variant) or "")
        return {name: text for name, text in facts.items() if text}

    def _fit(self, machine: Node, tags: Mapping[str, TagKeys]) -> dict[str, Node]:
        """The tags of a profile that the machine has, with the node of each."""
        fitted = {}
        for tag, keys in tags.items():
            path = keys.get("path")
            steps = _below_machine(parse_path(path)) if path else ()
            node = self._follow(machine, steps) if steps else None
            if node is not None and node.is_variable:
                fitted[tag] = node
        return fitted

    def _is_standard(self, index: int) -> bool:
        """Whether a namespace is one of the OPC Foundation's."""
        table = self._namespaces.table
        return index == 0 or (index < len(table) and table[index].startswith(_FOUNDATION))

    def _path(self, node: Node) -> str | None:
        """The browse path of a node; None when the walk began at a node that was not named by its
        path."""
        if self._start is None:
            return None
        names: list[str] = []
        at = node
        while at.parent is not None:
            names.append(self._name(at.index, at.name))
            at = at.parent
        begin = [self._name(step.namespace, step.name) for step in self._start]
        return "/".join([*begin, *reversed(names)])

    def _name(self, namespace: Namespace, name: str) -> str:
        """One name of a path, with the URI of its namespace where that has one of its own."""
        table = self._namespaces.table
        escaped = name.replace("&", "&&").replace("/", "&/")
        if namespace == 0:
            return escaped
        uri = (
            table[namespace]
            if isinstance(namespace, int) and 1 < namespace < len(table)
            else namespace
        )
        return f"{{{uri}}}{escaped}" if isinstance(uri, str) else f"{uri}:{escaped}"

    def _follow(self, node: Node, steps: Sequence[PathSegment]) -> Node | None:
        if not steps:
            return node
        step = steps[0]
        if step.namespace == ANY_NAME:
            # Such a name stands for any component that the machine's maker has named; one of the
            # very name comes first.
            open_names = [child for child in node.children if not self._is_standard(child.index)]
            candidates = sorted(open_names[:_TRIES], key=lambda child: child.name != step.name)
        else:
            index = self._namespaces.index(step.namespace)
            candidates = [
                child for child in node.children if child.index == index and child.name == step.name
            ]
        for child in candidates:
            reached = self._follow(child, steps[1:])
            if reached is not None:
                return reached
        return None


def _below_machine(steps: Sequence[PathSegment]) -> Sequence[PathSegment]:
    """The steps behind the machine itself, which is the first open name."""
    first = next((at for at, step in enumerate(steps) if step.namespace == ANY_NAME), None)
    return () if first is None else steps[first + 1 :]
