"""Whatever a spreadsheet cell or another program's file holds, the answer is a plant file or a
sentence."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.commissioning.convert import convert
from edge_agent.commissioning.lists.cells import mapping
from edge_agent.commissioning.lists.columns import COLUMNS
from edge_agent.commissioning.lists.editing import NotEditableError, insert
from edge_agent.commissioning.lists.points import ListTarget, parse
from edge_agent.commissioning.lists.spreadsheet import FractionCell, SheetRows
from edge_agent.config import load
from edge_agent.config.dump import inline
from edge_agent.config.findings import Findings
from edge_agent.config.plugins import InstalledPlugins, tag_model
from edge_agent.config.scalars import plain
from edge_agent.config.shape import keys
from edge_agent.config.source import read
from edge_agent.errors import ConfigError, FindingsError
from tests.support.exploration import examples

PLUGINS = InstalledPlugins()
TARGETS = {
    name: ListTarget(frozenset(keys(tag_model(PLUGINS[name])))) for name in ("modbus", "opcua")
}
HEADS = [column.zh for column in COLUMNS]
ODD = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1e999",
        "nan",
        "inf",
        "40001",
        "4x0",
        "0x1F",
        "1!400001#BB.3",
        "9!9",
        "x" * 300,
        "=1",
        "整数",
        "0~",
        "~",
        "{",
        "{a: [1",
        "[]",
        "0=;",
        "=",
        "1=a;1=b",
        "ns=2;s=",
        "线圈",
        "1e5",
        "0x",
        "00000",
        "9" * 20,
        "%",
        "1%",
        "{optional: maybe}",
        "{range: [2, 1]}",
        "５０",
        "1.10",
    ]
)
CELLS = st.one_of(ODD, st.text(max_size=12), ODD.map(FractionCell))


@given(
    rows=st.lists(st.lists(CELLS, min_size=len(HEADS), max_size=len(HEADS)), max_size=4),
    name=st.sampled_from(["modbus", "opcua"]),
)
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_cell_is_understood_or_a_problem(rows: list[list[str]], name: str) -> None:
    table = ((1, tuple(HEADS)), *((number, tuple(row)) for number, row in enumerate(rows, 2)))
    found = parse([SheetRows("list.csv", "", table)], TARGETS[name])
    faulty = {problem.where.split(":")[1] for problem in found.problems}
    assert faulty.isdisjoint(str(point.row) for point in found.points)


SIGNS = st.text(st.sampled_from("aZ0 -:#,[]{}&*!|>'\"%@`?=~<^;$()/._°²µ压（。\u3000é"), max_size=8)
PLAIN = st.one_of(
    SIGNS, st.integers(-9, 99999), st.booleans(), st.floats(-1e6, 1e6), st.just(plain("40101.10"))
)
KEYS = st.text(st.sampled_from("abyn_O0压 -:"), min_size=1, max_size=4)


@given(
    data=st.dictionaries(
        KEYS, st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(KEYS, PLAIN))
    )
)
@settings(max_examples=examples(25), deadline=None)
def test_what_is_written_in_one_line_is_read_again_as_it_was(data: dict[str, Any]) -> None:
    text = inline(data)
    assert "\n" not in text
    assert mapping(text) == data
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.yaml"
        file.write_text(f"a: {text}\n", encoding="utf-8")
        assert read(file, Findings(file)) == {"a": data}


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
LAYOUTS = (
    "  - id: d\n    connector: modbus\n    url: tcp://h\n    tags:\n      a: {address: 1}\n      "
    "# b\n",
    "  - id: d\n    connector: modbus\n    url: tcp://h\n",
    "  - {id: d, connector: modbus, url: tcp://h, tags: {a: {address: 1}}}\n",
    "  - {id: d, connector: modbus, url: tcp://h}\n  - id: e\n    connector: modbus\n    url: "
    "tcp://h\n",
    "  - id: d\n    tags: {\n      a: {address: 1}\n    }\n    connector: modbus\n    url: "
    "tcp://h\n",
)


@given(
    layout=st.sampled_from(LAYOUTS),
    tags=st.dictionaries(
        NAMES,
        st.fixed_dictionaries({"address": st.just("holding/5"), "description": NAMES}),
        min_size=1,
        max_size=3,
    ),
)
@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_inserted_is_read_again_as_it_was(
    layout: str, tags: dict[str, dict[str, str]]
) -> None:
    text = "agent: {id: a}\nmqtt: {url: mqtt://h}\ndevices:\n" + layout
    try:
        edited = insert(text, "d", tags)
    except NotEditableError:
        assert "a" in tags
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plant.yaml"
        path.write_text(edited.text, encoding="utf-8", newline="")
        refused: set[str] = set()
        try:
            device = next(each for each in load(path, PLUGINS).devices if each.id == "d")
        except ConfigError as error:
            refused = {finding.code for finding in error.findings}
    if refused:
        assert refused <= {"bad-name", "no-tags", "connector", "duplicate-key", "full-width"}
        return
    for name, keys_ in tags.items():
        assert device.tags[name].description == keys_["description"]


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 70_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
    ODD,
    st.just([]),
    st.just({}),
    st.just([1]),
    st.just([{}]),
)
NEURON = {
    "nodes": [{"name": "n", "plugin": "Modbus TCP", "type": 1}],
    "settings": [
        {
            "node": "n",
            "params": {"host": "h", "port": 502, "timeout": 3000, "address_base": 0, "baud": 4},
        }
    ],
    "groups": [{"driver": "n", "group": "g", "interval": 2000}],
    "tags": [
        {
            "driver": "n",
            "group": "g",
            "tags": [
                {
                    "name": "a",
                    "address": "1!400001",
                    "attribute": 1,
                    "type": 4,
                    "decimal": 0.1,
                    "bias": 1,
                }
            ],
        }
    ],
}
THINGSBOARD = {
    "master": {
        "slaves": [
            {
                "host": "h",
                "port": 502,
                "type": "tcp",
                "method": "socket",
                "timeout": 3,
                "byteOrder": "BIG",
                "pollPeriod": 500,
                "unitId": 1,
                "deviceName": "m",
                "attributes": [],
                "timeseries": [
                    {
                        "tag": "t",
                        "type": "32int",
                        "functionCode": 4,
                        "objectsCount": 2,
                        "address": 8,
                        "divider": 10,
                    }
                ],
            }
        ]
    },
    "server": {
        "url": "h",
        "scanPeriodInMillis": 1000,
        "timeoutInMillis": 1000,
        "security": "None",
        "mapping": [
            {"deviceNodePattern": "Root", "timeseries": [{"key": "k", "path": "${ns=2;i=5}"}]}
        ],
    },
}
TELEGRAF = {
    "agent": {"interval": "10s"},
    "inputs": {
        "modbus": [
            {
                "name": "m",
                "controller": "tcp://h:502",
                "slave_id": 1,
                "timeout": "1s",
                "configuration_type": "register",
                "holding_registers": [
                    {
                        "name": "a",
                        "byte_order": "AB",
                        "data_type": "UINT16",
                        "scale": 0.1,
                        "address": [1],
                    }
                ],
                "workarounds": {"pause_after_connect": "1s"},
            },
            {
                "name": "r",
                "controller": "file:///dev/ttyS0",
                "baud_rate": 9600,
                "configuration_type": "request",
                "request": [
                    {
                        "slave_id": 2,
                        "register": "input",
                        "byte_order": "ABCD",
                        "fields": [{"name": "b", "type": "FLOAT32", "address": 3}],
                    }
                ],
            },
        ],
        "opcua": [
            {
                "name": "o",
                "endpoint": "opc.tcp://h:4840",
                "nodes": [{"name": "n", "id": "i=1"}],
                "group": [
                    {
                        "namespace": "2",
                        "identifier_type": "s",
                        "nodes": [{"name": "g", "identifier": "x"}],
                    }
                ],
            }
        ],
    },
}
SOURCES = {"neuron": NEURON, "thingsboard": THINGSBOARD, "telegraf": TELEGRAF}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything in a document."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(inner for key, below in items for inner in places(below, (*path, key)))]


def changed(document: Any, path: tuple[Any, ...], value: object) -> Any:
    """The document with another value at a path."""
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(document[path[0]], path[1:], value)
    return copy


def toml(value: Any) -> str:
    """A value as TOML, inline; nothing is an empty text, which TOML has not."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return '""' if value is None else json.dumps(value, ensure_ascii=False)


@given(data=st.data())
@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_document_with_anything_anywhere_gives_a_plant_file_or_a_sentence(
    data: st.DataObject,
) -> None:
    source = data.draw(st.sampled_from(sorted(SOURCES)))
    document: Any = SOURCES[source]
    place = data.draw(st.sampled_from(places(document)[1:]))
    document = changed(document, place, data.draw(ANYTHING))
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "file", Path(folder) / "plant.yaml"
        text = json.dumps(document)
        if source == "telegraf":
            text = "\n".join(f"{key} = {toml(value)}" for key, value in document.items())
        file.write_text(text, encoding="utf-8")
        try:
            convert(source, file, out, plugins=PLUGINS)
        except FindingsError:
            assert not out.exists()
        else:
            assert load(out, PLUGINS).devices
