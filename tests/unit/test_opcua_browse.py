"""Where a path ends, with names as servers may have them, and how much a missing tag may cost the
server."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.browse import Browser
from connectors.opcua.faults import explain
from connectors.opcua.limits import OperationLimits
from connectors.opcua.namespaces import NamespaceTable
from connectors.opcua.options import OpcuaTag
from connectors.opcua.resolve import explained
from connectors.opcua.walk import Walker
from edge_agent.sdk import STATUS, Cause, Tag, TagTable
from tests.support.aio import run

UNKNOWN = STATUS["BadNodeIdUnknown"]


class Folder:
    """A session whose every node has the same children."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.browsed = 0

    async def browse(self, _: ua.BrowseParameters) -> list[Any]:
        self.browsed += 1
        references = [
            SimpleNamespace(
                BrowseName=ua.QualifiedName(name, 0),
                NodeId=SimpleNamespace(
                    Identifier=at, NamespaceIndex=1, NodeIdType=ua.NodeIdType.Numeric
                ),
            )
            for at, name in enumerate(self.names)
        ]
        return [
            SimpleNamespace(
                StatusCode=ua.StatusCode(0), References=references, ContinuationPoint=None
            )
        ]


class Endless(Folder):
    """Says for ever that there are more references, and brings none."""

    def __init__(self) -> None:
        super().__init__("Spindle")
        self.released = 0

    async def browse(self, parameters: ua.BrowseParameters) -> list[Any]:
        (result,) = await super().browse(parameters)
        result.ContinuationPoint = b"more"
        return [result]

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> list[Any]:
        self.browsed += 1
        assert self.browsed < 1000, "it goes on for ever"
        self.released += bool(parameters.ReleaseContinuationPoints)
        point = None if parameters.ReleaseContinuationPoints else b"more"
        return [
            SimpleNamespace(StatusCode=ua.StatusCode(0), References=[], ContinuationPoint=point)
        ]


def test_opcua_a_server_that_always_has_more_and_brings_nothing_ends_a_path() -> None:
    folder = Endless()
    (why,) = causes(folder, [OpcuaTag(path="Spindl")]).values()
    assert why.name == "opcua_path_ends"
    assert folder.released == 1


def test_opcua_a_server_that_always_has_more_and_brings_nothing_ends_a_walk() -> None:
    folder = Endless()
    walker = Walker(
        cast(Any, SimpleNamespace(service=folder, limits=OperationLimits())), lambda *_: None
    )
    found: list[list[Any]] = [[]]
    run(walker._continue(found, {0: b"more"}))
    assert found == [[]]
    assert folder.released == 1


def test_opcua_an_internal_error_of_the_server_is_not_taken_for_ours() -> None:
    error = explain(UaStatusCodeError(STATUS["BadInternalError"]), "opc.tcp://plc")
    assert "BadInternalError" in error.detail
    assert "see the server's log" in error.detail
    assert "the program itself" not in error.detail


def causes(
    folder: Folder,
    tags: list[OpcuaTag],
    before: Mapping[int, int] | None = None,
    known: Mapping[int, Cause] | None = None,
    optional: bool = False,
) -> dict[int, Cause]:
    browser = Browser(
        cast(Any, folder), NamespaceTable(["http://opcfoundation.org/UA/", "urn:plant"])
    )
    table = TagTable(
        "d",
        1.0,
        tuple(Tag(f"t{at}", "float", tag, optional=optional) for at, tag in enumerate(tags)),
    )
    now = dict.fromkeys(range(len(tags)), UNKNOWN)
    return run(explained(browser, table, before or {}, now, known or {}))


def test_opcua_a_name_of_the_servers_cannot_steer_a_terminal() -> None:
    (why,) = causes(Folder("Spindle\x1b[2J", "x" * 200), [OpcuaTag(path="Spindl")]).values()
    assert why.name == "opcua_path_ends"
    assert "Spindle\\x1b[2J" in why.en
    assert why.zh.isprintable()
    assert "x" * 61 not in why.en


def test_opcua_an_empty_folder_and_an_unknown_namespace_have_their_own_sentence() -> None:
    tags = [
        OpcuaTag(path="Machine"),
        OpcuaTag(path="{urn:plan}Machine"),
        OpcuaTag(node="nsu=urn:plan;s=a"),
    ]
    found = causes(Folder(), [*tags, OpcuaTag(node="ns=1;s=a")])
    assert {at: why.name for at, why in found.items()} == {
        0: "opcua_path_empty", 1: "opcua_namespace_unknown", 2: "opcua_namespace_unknown",
    }  # fmt: skip
    assert "it has: urn:plant" in found[2].en


def test_opcua_a_server_that_is_wrong_for_ever_is_not_browsed_for_ever() -> None:
    tags = [OpcuaTag(path=f"Nothing{at}") for at in range(300)]
    folder = Folder("Something")
    first = causes(folder, tags)
    assert 0 < len(first) < 300, (
        "so many are explained at one time, the others have the sentence of their status"
    )
    assert folder.browsed == 1, "what was seen of a node is kept"
    again = causes(folder, tags, dict.fromkeys(range(300), UNKNOWN), first)
    assert (again, folder.browsed) == (first, 1)
    assert causes(folder, tags, dict.fromkeys(range(301), UNKNOWN), first), (
        "something was found: the server is another"
    )
    assert folder.browsed == 2


def test_opcua_an_optional_tag_is_not_looked_for_by_browsing() -> None:
    folder = Folder("Something")
    assert (causes(folder, [OpcuaTag(path="Nothing")], optional=True), folder.browsed) == ({}, 0)
