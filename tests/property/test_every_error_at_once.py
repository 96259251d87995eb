"""All errors at once: what is wrong with one key never hides what is wrong with another.

A file that is fine, and ways to break one of its keys. Any two of them together are told as each of
them alone is, with code and place.
"""

from __future__ import annotations

import copy
import itertools
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.config import dump, load
from edge_agent.errors import ConfigError
from tests.support.exploration import examples

FINE: Final[dict[str, Any]] = {
    "agent": {"id": "a", "site": "s", "area": "hall", "health": "5s", "workers": 1},
    "mqtt": {"url": "mqtt://h", "client_id": "c", "drain": 30},
    "outbox": {"fsync_ms": 100, "max_bytes": 100_000_000},
    "store": {
        "kind": "influxdb",
        "url": "http://h",
        "timeout": 5,
        "retention": {"days": 4, "health_days": 5},
    },
    "devices": [
        {
            "id": "m",
            "connector": "modbus",
            "url": "tcp://h",
            "unit": 1,
            "every": "1s",
            "word_order": "big",
            "areas": {"D": {"object": "holding", "base": 0, "last": 99}},
            "tags": {
                "speed": {
                    "address": "holding/1",
                    "type": "float32",
                    "scale": 1,
                    "every": "1s",
                    "range": [0, 9],
                },
                "power": {
                    "address": "D7",
                    "type": "int16",
                    "unit": "W",
                    "was": "load",
                    "deadband": 1,
                },
                "factor": {
                    "address": "holding/9",
                    "type": "int16",
                    "every": "1s",
                    "sentinels": [3],
                },
                "run": {"address": "coil/4", "scale_exponent_from": None},
            },
            "state": {
                "item": [
                    {"tag": "speed", "above": 5, "gives": "Executing"},
                    {"gives": "NotExecuting"},
                ],
                "mode": {"tag": "factor", "map": {1: "Setup", 2: "Processing"}},
            },
        },
        {
            "id": "o",
            "connector": "opcua",
            "endpoint": "opc.tcp://h:4840",
            "area": "hall",
            "security": {"policy": "Basic256Sha256", "mode": "Sign"},
            "user": {"name": "n", "password": "p"},
            "allow_insecure": True,
            "tags": {
                "level": {"node": "ns=1;s=L", "type": "float", "max_rate": "9/h"},
                "step": {"path": "Objects/1:Line", "type": "int", "optional": True},
            },
        },
    ],
}
_Path = tuple[Any, ...]
M: Final = ("devices", 0)
O: Final = ("devices", 1)  # noqa: E741 - as OPC UA

#: Where -> what is written there instead.
BROKEN: Final[dict[_Path, Any]] = {
    ("agent", "site"): "a/b",
    ("agent", "health"): "soon",
    ("agent", "workers"): 99,
    ("mqtt", "url"): "http://h",
    ("mqtt", "client_id"): [],
    ("outbox", "fsync_ms"): -1,
    ("store", "url"): "h",
    ("store", "timeout"): "x",
    ("store", "retention", "days"): 0,
    ("store", "retention", "health_days"): "y",
    (*M, "id"): "a b",
    (*M, "url"): "tpc://h",
    (*M, "unit"): 999,
    (*M, "every"): -1,
    (*M, "word_order"): "bgi",
    (*M, "areas", "D", "base"): "many",
    (*M, "tags", "speed", "address"): "holdin/1",
    (*M, "tags", "speed", "type"): "flaot",
    (*M, "tags", "speed", "scale"): "x",
    (*M, "tags", "speed", "range"): [9, 0],
    (*M, "tags", "power", "type"): "int61",
    (*M, "tags", "power", "was"): "factor",
    (*M, "tags", "power", "deadband"): -3,
    (*M, "tags", "factor", "every"): 0,
    (*M, "tags", "factor", "sentinels"): ["x"],
    (*M, "tags", "run", "scale_exponent_from"): "nothing",
    (*M, "state", "item", 0, "tag"): "sped",
    (*M, "state", "item", 0, "above"): "x",
    (*M, "state", "item", 0, "gives"): "Executin",
    (*M, "state", "mode", "map", 1): "Setpu",
    (*M, "state", "mode", "tag"): "fatcor",
    (*O, "endpoint"): "opc.tpc://h",
    (*O, "area"): "$x",
    (*O, "security", "policy"): "Basic",
    (*O, "security", "trust"): "/no/such/folder",
    (*O, "user", "certificate"): 5,
    (*O, "tags", "level", "node"): "ns=x",
    (*O, "tags", "level", "type"): "flaot",
    (*O, "tags", "level", "max_rate"): "9/y",
    (*O, "tags", "step", "path"): "",
    (*O, "tags", "step", "optional"): "x",
}
#: The name of a tag -> one that is none.
BAD_NAMES: Final[dict[_Path, str]] = {
    (*M, "tags", "speed"): "spe\\\\ed",
    (*M, "tags", "power"): " power",
    (*O, "tags", "level"): "le\u200bvel",
}
#: Keys that are not there.
ABSENT: Final[list[_Path]] = [
    (*M, "tags", "power", "address"),
    (*O, "tags", "level", "node"),
    ("mqtt", "url"),
]

Change = tuple[str, _Path]
CHANGES: Final[list[Change]] = [
    *(("value", path) for path in BROKEN),
    *(("name", path) for path in BAD_NAMES),
    *(("absent", path) for path in ABSENT),
]


def _changed(*changes: Change) -> dict[str, Any]:
    """The fine file with these changes; names last, because paths speak of them."""
    document = copy.deepcopy(FINE)
    for kind, path in sorted(changes, key=lambda change: change[0] == "name"):
        *above, last = path
        container: Any = document
        for part in above:
            container = container[part]
        if kind == "value":
            container[last] = BROKEN[path]
        elif kind == "absent":
            del container[last]
        else:
            renamed = {
                (BAD_NAMES[path] if key == last else key): value for key, value in container.items()
            }
            container.clear()
            container.update(renamed)
    return document


def _told(folder: Path, *changes: Change) -> list[tuple[str, str]]:
    """(code, the line of the file) of all findings."""
    path = folder / "site.yaml"
    path.write_text(dump(_changed(*changes)), encoding="utf-8")
    try:
        load(path)
    except ConfigError as error:
        lines = path.read_text(encoding="utf-8").splitlines()
        return sorted(
            (finding.code, lines[int(finding.where.rsplit(":", 2)[1]) - 1])
            for finding in error.findings
        )
    return []


def _independent(one: Change, other: Change) -> bool:
    """Neither is a part of what the other breaks, and what one writes does not speak of what the
    other renames."""
    kinds, paths = {one[0], other[0]}, (one[1], other[1])
    shortest = min(map(len, paths))
    if paths[0][:shortest] == paths[1][:shortest]:
        return "name" in kinds and paths[0] != paths[1]
    return "name" not in kinds or not any(path[2:3] == ("state",) for path in paths)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="all-errors-"))


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[Change, list[tuple[str, str]]]:
    return {change: _told(folder, change) for change in CHANGES}


def test_the_file_is_fine_without_a_change(folder: Path) -> None:
    assert _told(folder) == []


def test_every_change_alone_is_told(alone: dict[Change, list[tuple[str, str]]]) -> None:
    assert [change for change, findings in alone.items() if not findings] == []


PAIRS: Final = [pair for pair in itertools.combinations(CHANGES, 2) if _independent(*pair)]


@settings(max_examples=examples(60))
@given(st.sampled_from(PAIRS))
@example((("name", (*M, "tags", "speed")), ("value", (*M, "tags", "speed", "type"))))
@example((("value", (*O, "security", "policy")), ("value", (*O, "security", "trust"))))
@example((("value", (*O, "tags", "level", "type")), ("absent", (*O, "tags", "level", "node"))))
@example(
    (("value", (*M, "state", "item", 0, "above")), ("value", (*M, "state", "item", 0, "gives")))
)
@example((("absent", (*M, "tags", "power", "address")), ("value", (*M, "tags", "power", "was"))))
def test_no_error_hides_another(
    folder: Path, alone: dict[Change, list[tuple[str, str]]], pair: tuple[Change, Change]
) -> None:
    expected = sorted(code for change in pair for code, _ in alone[change])
    findings = _told(folder, *pair)
    assert sorted(code for code, _ in findings) == expected
    if not any(change[0] in ("name", "absent") for change in pair):
        assert findings == sorted(alone[pair[0]] + alone[pair[1]]), "each where it stands"
