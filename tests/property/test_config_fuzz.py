"""Whatever bytes a file holds, the loader returns a site or raises ConfigError; what it dumps it
reads back."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import dump, load
from edge_agent.config.findings import Findings
from edge_agent.config.places import SecretReference
from edge_agent.config.source import read
from edge_agent.errors import ConfigError

WORDS = st.sampled_from(
    [
        "agent",
        "id",
        "mqtt",
        "url",
        "outbox",
        "store",
        "register",
        "defaults",
        "include",
        "devices",
        "templates",
        "for",
        "template",
        "profile",
        "connector",
        "modbus",
        "opcua",
        "tags",
        "address",
        "node",
        "type",
        "unit",
        "every",
        "state",
        "item",
        "mode",
        "map",
        "tag",
        "rules",
        "scale",
        "range",
        "deadband",
        "report",
        "1..3",
        "{i}",
        "{i:03}",
        "{i:x}",
        "{{",
        "}}",
        "1%",
        "5s",
        "100ms",
        "-1",
        "0",
        "1e400",
        ".nan",
        ".inf",
        "null",
        "true",
        "~",
        "tcp://h",
        "mqtt://127.0.0.1:1883",
        "opc.tcp://h:1",
        "!env",
        "!file",
        "*a",
        "&a",
        "<<",
        "holding/1",
        "Executing",
        "../..",
        "*.yaml",
        "**",
        "eastron-sdm630",
        "x.yaml",
    ]
)
PIECES = st.one_of(
    WORDS,
    st.sampled_from(
        [
            ": ",
            "\n",
            "\n  ",
            "\n    - ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "'",
            '"',
            "#",
            "\t",
            "|",
            ">",
            "? ",
        ]
    ),
    st.text(max_size=3),
)


def check(data: bytes) -> None:
    """Load the bytes as a configuration file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.yaml"
        path.write_bytes(data)
        with suppress(ConfigError):
            load(path)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    check(data)


@given(st.lists(PIECES, max_size=60).map("".join))
def test_text_that_looks_like_yaml(text: str) -> None:
    check(text.encode("utf-8", "surrogatepass"))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12),
    WORDS,
)
TREES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(WORDS, st.integers(0, 9)), inner, max_size=5),
    ),
    max_leaves=25,
)


@given(st.dictionaries(WORDS, TREES, max_size=6))
def test_any_tree_in_place_of_a_configuration(tree: dict[str, Any]) -> None:
    check(dump(tree).encode())


@given(st.dictionaries(WORDS, TREES, max_size=3))
def test_any_tree_beside_a_sound_head(tree: dict[str, Any]) -> None:
    head = {"agent": {"id": "a"}, "mqtt": {"url": "mqtt://127.0.0.1"}}
    check(dump(tree | head).encode())


@given(st.lists(TREES, max_size=3), st.dictionaries(WORDS, TREES, max_size=4))
def test_any_tree_in_place_of_a_device(devices: list[Any], device: dict[str, Any]) -> None:
    known = {"id": "m", "connector": "modbus", "url": "tcp://h", "tags": {"a": {"address": 1}}}
    site = {
        "agent": {"id": "a"},
        "mqtt": {"url": "mqtt://127.0.0.1"},
        "devices": [*devices, known | device],
    }
    check(dump(site).encode())


@given(st.dictionaries(st.one_of(WORDS, st.text("abc", max_size=2)), TREES, max_size=4))
def test_what_is_dumped_reads_back_equal(tree: dict[str, Any]) -> None:
    tree["secret"] = SecretReference("!env", "NAME")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text(dump(tree), encoding="utf-8")
        found = Findings(path)
        assert read(path, found) == tree, found.sorted()
