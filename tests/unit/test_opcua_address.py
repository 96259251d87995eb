"""Node ids and browse paths as people write them."""

from __future__ import annotations

import uuid

import pytest

from connectors.opcua.address import NodeAddress, PathSegment, parse_node, parse_path

GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # the first four are the examples of OPC 10000-6 §5.3.1.10
        ("i=13", NodeAddress(0, 13)),
        ("ns=10;s=Hello:World", NodeAddress(10, "Hello:World")),
        (f"g={GUID}", NodeAddress(0, uuid.UUID(GUID))),
        ("ns=1;b=M/RbKBsRVkePCePcx24oRA==", NodeAddress(1, bytes.fromhex("33f45b281b1156478f09e3dcc76e2844"))),
        ("nsu=http://example.org/;s=/Channel/State[u1]", NodeAddress("http://example.org/", "/Channel/State[u1]")),
        ("nsu=urn:a%3Bb;i=4294967295", NodeAddress("urn:a;b", 2**32 - 1)),
        ("ns=2;s=a=b;c=d", NodeAddress(2, "a=b;c=d")),
        (" ns=0;s=主轴 ", NodeAddress(0, "主轴")),
    ],
)  # fmt: skip
def test_opcua_node_ids(text: str, expected: NodeAddress) -> None:
    assert parse_node(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "13",
        "i=",
        "i=-1",
        "i=4294967296",
        "i=①",
        "ns=65536;i=1",
        "ns=x;i=1",
        "g=1",
        "b=?",
        "x=1",
        "s=",
        "svr=1;i=5",
    ],
)
def test_opcua_not_node_ids(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_node(text)


OBJECTS = PathSegment(0, "Objects")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "Objects/2:Machine/2:Speed",
            (OBJECTS, PathSegment(2, "Machine"), PathSegment(2, "Speed")),
        ),
        ("/Root/Objects/2:M", (OBJECTS, PathSegment(2, "M"))),
        ("2:M", (OBJECTS, PathSegment(2, "M"))),
        ("Types/0:x", (PathSegment(0, "Types"), PathSegment(0, "x"))),
        (
            "{http://a/b}M/{urn:c:d}S",
            (OBJECTS, PathSegment("http://a/b", "M"), PathSegment("urn:c:d", "S")),
        ),
        ("2:a&/b/3:c&&d&:e", (OBJECTS, PathSegment(2, "a/b"), PathSegment(3, "c&d:e"))),
        (
            ["Objects", "2:a/b", "{http://x/y}c/d"],
            (OBJECTS, PathSegment(2, "a/b"), PathSegment("http://x/y", "c/d")),
        ),
        (["2:温度 (℃)"], (OBJECTS, PathSegment(2, "温度 (℃)"))),
    ],
)
def test_opcua_paths(path: str | list[str], expected: tuple[PathSegment, ...]) -> None:
    assert parse_path(path) == expected


@pytest.mark.parametrize(
    "path", ["", "/", "a//b", "2:", "{http://x}", "70000:a", [], [""], ["2:"], "a/"]
)
def test_opcua_not_paths(path: str | list[str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_path(path)
