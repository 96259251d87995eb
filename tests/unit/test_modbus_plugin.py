"""The plugin as the agent sees it: keys, checks before any socket opens, sharing of connections,
descriptions."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.modbus import PLUGIN
from connectors.modbus.options import ModbusDevice, ModbusTag
from edge_agent.app.agent.births import birth
from edge_agent.cli.check import effective
from edge_agent.config import dump, expand, load
from edge_agent.config.compile import plans
from edge_agent.config.models import DeviceCommon
from edge_agent.errors import ConfigError
from edge_agent.model import Tag, TagTable
from edge_agent.sdk import DevicePlan, Options
from tests.support.modbus_wire import make_plan, make_table
from tests.support.sites import write


def problems(url="tcp://h", tags=None, **options):
    plan = make_plan(url, tags or {"t": {"address": "holding/0"}}, **options)
    return [(p.tag, p.key) for p in PLUGIN.check(plan)]


@pytest.mark.parametrize(
    "url",
    [
        "tcp://10.0.1.50", "tcp://10.0.1.50:502", "tcp://[fe80::1]:502", "rtu-tcp://gw.plant:4001", "udp://h:502",
        "tls://h", "rtu:///dev/ttyUSB0", "rtu:///dev/ttyUSB0?baudrate=9600&parity=E&stopbits=1&bytesize=8",
        "ascii:///dev/ttyS0?bytesize=7&parity=e",
    ],
)  # fmt: skip
def test_urls_that_are_fine(url):
    assert problems(url) == []


@pytest.mark.parametrize(
    "url",
    [
        "", "10.0.1.50:502", "http://h", "tcp://", "tcp://h:70000", "tcp://h:0", "tcp://h:x", "tcp://h/path", "tcp://h?x=1",
        "tcp://user@h", "rtu://dev/ttyUSB0", "rtu:///", "rtu:///dev/x?baud=9600", "rtu:///dev/x?baudrate=fast",
        "rtu:///dev/x?baudrate=-1", "rtu:///dev/x?parity=X", "rtu:///dev/x?stopbits=3", "rtu:///dev/x?bytesize=7",
        "tcp://[::1",
    ],
)  # fmt: skip
def test_urls_that_are_refused(url):
    assert problems(url) == [(None, "url")]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"url": "rtu:///dev/x", "unit": 0}, "unit"),
        ({"url": "rtu:///dev/x", "unit": 248}, "unit"),
        ({"url": "rtu:///dev/x", "client": "own"}, "client"),
        ({"url": "udp://h", "client": "own"}, "client"),
        ({"ca": "x.pem"}, "ca"),
        ({"cert": "x.pem"}, "cert"),
        ({"url": "tls://h", "key": "x.pem"}, "key"),
        ({"areas": {"X": {"object": "coil", "base": 0, "numbering": "octal", "last": 8}}}, "areas"),
    ],
)
def test_devices_that_are_refused(options, key):
    assert problems(**{"url": "tcp://h", **options}) == [(None, key)]


def test_tls_files_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "ca.pem").touch()
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    assert problems("tls://h", **files) == [(None, "cert"), (None, "key")]


@pytest.mark.parametrize(
    ("tag", "key"),
    [
        ({"address": "holding/65535", "type": "float32"}, "address"),
        ({"address": "holding/0", "type": "string"}, "length"),
        ({"address": "holding/0", "type": "string", "length": 8, "count": 2}, "length"),
        (
            {"address": "holding/0", "type": "string", "length": 8, "encoding": "klingon"},
            "encoding",
        ),
        ({"address": "holding/0", "type": "string", "length": 8, "encoding": "hex"}, "encoding"),
        ({"address": "holding/0", "length": 8}, "length"),
        ({"address": "coil/0", "length": 8}, "length"),
        ({"address": "coil/0", "type": "uint16"}, "type"),
        ({"address": "coil/0", "bit": 3}, "bit"),
        ({"address": "holding/0.3", "type": "uint16"}, "type"),
        ({"address": "holding/0.3", "bit": 4}, "bit"),
        ({"address": "holding/0", "type": "float64", "count": 32}, "count"),
        ({"address": "nowhere"}, "address"),
    ],
)
def test_tags_that_are_refused(tag, key):
    assert problems(tags={"t": tag}) == [("t", key)]


def one_tag(folder, address):
    """A file with one device and one tag at an address as written."""
    return write(
        folder,
        f"devices: [{{id: d, connector: modbus, url: tcp://h, tags: {{t: {{address: "
        f"{address}}}}}}}]\n",
    )


def again(folder, name, data):
    """Data written out as YAML."""
    (folder / name).write_text(dump(data), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0x9CA5", (40101, None)),
        ("'0x9CA5'", (40101, None)),
        ("40101", (100, None)),
        ("400101", (100, None)),
        ("40101.1", (100, 1)),
        ("40101.10", (100, 10)),
        ("40101.0", (100, 0)),
        ("'40101.10'", (100, 10)),
        ("0x64.7", (100, 7)),
    ],
)
def test_an_address_in_yaml_means_what_is_written(tmp_path, written, expected):
    """YAML makes the integer 40101 of 0x9CA5 and the float 40101.1 of 40101.10; the address is what
    was written."""
    file = one_tag(tmp_path, written)
    shown = again(tmp_path, "shown.yaml", effective(load(file)))
    expanded = again(tmp_path, "expanded.yaml", expand(file))
    for path in (file, shown, expanded):
        (plan,) = plans(load(path))
        described = PLUGIN.describe(plan)["tags"]["t"]
        assert (described["address"], described["bit"]) == expected


@pytest.mark.parametrize("written", ["0o116245", "4.01e4", "40101.16", "40101.", "0x1FFFF"])
def test_an_address_in_yaml_that_means_nothing_is_refused(tmp_path, written):
    with pytest.raises(ConfigError, match="address"):
        load(one_tag(tmp_path, written))


def test_a_number_that_may_have_lost_a_zero_is_refused():
    assert problems(tags={"t": {"address": 40101.1}}) == [("t", "address")]
    assert problems(tags={"t": {"address": 40101.0}}) == [("t", "address")]


def test_what_lies_in_an_area_of_bits_is_a_bool():
    area = {"object": "coil", "base": 0, "last": 99}
    assert problems(tags={"t": {"address": "M8"}}, areas={"M": area}) == []
    assert problems(tags={"t": {"address": "M8", "type": "bool"}}, areas={"M": area}) == []
    assert problems(tags={"t": {"address": "M8", "type": "uint16"}}, areas={"M": area}) == [
        ("t", "type")
    ]


def test_a_tag_larger_than_the_device_takes_in_one_request():
    found = problems(
        tags={"t": {"address": "holding/0", "type": "string", "length": 9}}, max_registers=3
    )
    assert found == [("t", "address")]
    found = problems(
        tags={"t": {"address": "holding/0", "type": "float32", "count": 2}}, max_registers=3
    )
    assert found == [("t", "count")]
    assert (
        problems(tags={"t": {"address": "holding/0", "type": "float64"}}, max_registers=3) == []
    ), "read in parts"


def test_all_problems_at_once_and_in_both_languages():
    plan = make_plan(
        "http://h",
        {"a": {"address": "x"}, "b": {"address": "holding/0"}, "c": {"address": "coil/-1"}},
    )
    found = list(PLUGIN.check(plan))
    assert [(p.tag, p.key) for p in found] == [(None, "url"), ("a", "address"), ("c", "address")]
    assert all(p.zh and p.en and p.zh != p.en for p in found)


@pytest.mark.parametrize(
    "keys",
    [
        {"unit": 256}, {"unit": -1}, {"base": 2}, {"timeout": "0s"}, {"timeout": 0}, {"timeout": "soon"},
        {"word_order": "middle"}, {"max_registers": 126}, {"max_bits": 2001}, {"pipeline": 17}, {"pause_ms": -1},
        {"unknown": 1}, {"connection": "always"}, {"connect_delay": "31s"}, {"connect_delay": -1}, {"accept_unit": 256},
        {"accept_unit": [0, -1]}, {"accept_unit": "all"},
    ],
)  # fmt: skip
def test_device_keys_out_of_range(keys):
    with pytest.raises(ValidationError):
        ModbusDevice(url="tcp://h", **keys)


def test_timeouts_are_written_as_durations():
    assert [ModbusDevice(url="tcp://h", timeout=t).timeout for t in ("500ms", "2s", 0.25)] == [
        0.5,
        2.0,
        0.25,
    ]


@pytest.mark.parametrize(
    ("tag", "kind"),
    [
        ({"address": "holding/0"}, "int"),
        ({"address": "holding/0", "type": "float32"}, "float"),
        ({"address": "holding/0", "type": "bcd32"}, "int"),
        ({"address": "holding/0", "type": "string", "length": 4}, "text"),
        ({"address": "holding/0", "type": "float32", "count": 3}, "array"),
        ({"address": "holding/0.3"}, "bool"),
        ({"address": "holding/0", "bit": 3}, "bool"),
        ({"address": "D100.3"}, "bool"),
        ({"address": "coil/0"}, "bool"),
        ({"address": "10001"}, "bool"),
        ({"address": 40101}, "int"),
    ],
)
def test_the_kind_of_a_tag(tag, kind):
    assert PLUGIN.kind(ModbusTag(**tag)) == kind


def test_devices_at_one_endpoint_share_a_connection():
    def key(url, **options):
        return PLUGIN.connection_key(ModbusDevice(url=url, **options))

    assert key("tcp://h", unit=1) == key("tcp://h:502", unit=2, timeout="2s")
    assert key("tcp://h") != key("udp://h")
    assert key("tcp://h") != key("tcp://h:503")
    assert key("rtu:///dev/x") == key("rtu:///dev/x?baudrate=19200&parity=E", unit=9)
    assert key("tls://h", ca="a.pem") != key("tls://h", ca="b.pem")
    assert key("not a url")


def test_two_clients_at_one_endpoint_do_not_share_a_connection(monkeypatch):
    def key(**options):
        return PLUGIN.connection_key(ModbusDevice(url="tcp://h", **options))

    monkeypatch.delenv("EDGE_AGENT_STOCK", raising=False)
    assert key() == key(client="own") != key(client="pymodbus")
    monkeypatch.setenv("EDGE_AGENT_STOCK", "1")
    assert key() == key(client="own") == key(client="pymodbus")


def notes(url, **options):
    assert PLUGIN.notes is not None
    return [
        note.key
        for note in PLUGIN.notes(make_plan(url, {"t": {"address": "holding/0"}}, **options))
    ]


def test_what_this_machine_lacks_is_a_note(monkeypatch):
    monkeypatch.delenv("EDGE_AGENT_STOCK", raising=False)
    assert notes("rtu:///dev/no-such-port") == ["url"]
    assert notes("rtu:///dev/null") == []
    assert notes("tcp://h", pipeline=8) == []
    assert notes("tcp://h", pipeline=8, client="pymodbus") == ["pipeline"]
    assert notes("rtu-tcp://h", pipeline=8) == ["pipeline"]
    assert notes("tcp://h", pipeline=8, pause_ms=10) == ["pipeline"]


def test_what_is_read_in_parts_is_a_note_for_check_and_for_the_birth():
    wide = {"f": {"address": "holding/0", "type": "float32"}, "w": {"address": "holding/9"}}
    plan = make_plan("tcp://h", wide, max_registers=1)
    assert PLUGIN.notes is not None
    assert PLUGIN.tag_notes is not None
    assert [note.key for note in PLUGIN.notes(plan)] == ["max_registers"]
    notes_ = PLUGIN.tag_notes(plan)
    assert notes_.keys() == {"f"}
    pieces = birth(
        DeviceCommon(id="d", connector="modbus"),
        plan.tables, {}, agent="a", path="p", area="", staleness=1.0, t=1, notes=notes_,
    )  # fmt: skip
    tags = json.loads(b"".join(pieces))["tags"]
    assert "high, low, high" in tags["f"]["note"]
    assert "note" not in tags["w"]
    assert PLUGIN.tag_notes(make_plan("tcp://h", wide)) == {}


def test_a_way_to_connect_where_there_is_no_connection_is_a_note():
    assert notes("udp://h", connection="per_request") == ["connection"]
    assert notes("tls://h", connection="per_request") == []


def test_the_requests_of_one_round_are_known_beforehand():
    assert PLUGIN.requests is not None
    floats = {f"f{n}": {"address": f"holding/{2 * n}", "type": "float32"} for n in range(1000)}
    assert PLUGIN.requests(make_plan("tcp://h", floats)) == 17
    sparse = {f"w{n}": {"address": f"holding/{2 * n}"} for n in range(1000)}
    assert PLUGIN.requests(make_plan("tcp://h", sparse)) == 16
    assert PLUGIN.requests(make_plan("tcp://h", sparse, max_gap=0)) == 1000
    tables = tuple(make_table({"a": {"address": "coil/0"}}, every=every) for every in (1.0, 2.0))
    halves = make_plan(
        "tcp://h", {"f": {"address": "holding/0", "type": "float32"}}, max_registers=1
    )
    assert PLUGIN.requests(halves) == 3
    two = DevicePlan("d", ModbusDevice(url="tcp://h"), tables)
    assert PLUGIN.requests(two) == 2


def test_the_description_for_a_simulator():
    area = {"object": "discrete", "base": 0x400, "numbering": "octal", "last": 377}
    plan = make_plan(
        "rtu:///dev/x", {}, unit=3, base=1, word_order="little-swapped", areas={"X": area},
    )  # fmt: skip
    where = {
        "speed": {"address": "holding/101", "type": "float32"},
        "word": {"address": "40101", "type": "int16"},
        "flag": {"address": "holding/101.3"},
        "door": {"address": "X17", "type": "bool"},
        "name": {"address": "input/1", "type": "string", "length": 5, "encoding": "gbk"},
        "axes": {"address": "0x10", "type": "int32", "count": 3, "word_order": "big"},
    }
    tags = tuple(
        Tag(
            n,
            PLUGIN.kind(ModbusTag(**w)),
            ModbusTag(**w),
            unit="rpm",
            scale=0.5,
            offset=1.0,
            low=0.0,
            high=9.0,
            labels={0: "idle"},
        )
        for n, w in where.items()
    )
    described = PLUGIN.describe(DevicePlan("d", plan.options, (TagTable("d", 1.0, tags),)))
    assert {k: described[k] for k in ("protocol", "transport", "unit")} == {
        "protocol": "modbus", "transport": "rtu", "unit": 3,
    }  # fmt: skip
    places = {
        name: (
            t["object"],
            t["address"],
            t["type"],
            t["bit"],
            t["count"],
            t["length"],
            t["encoding"],
            t["word_order"],
        )
        for name, t in described["tags"].items()
    }
    assert places == {
        "speed": ("holding", 100, "float32", None, 1, None, "ascii", "CDAB"),
        "word": ("holding", 100, "int16", None, 1, None, "ascii", "ABCD"),
        "flag": ("holding", 100, "bool", 3, 1, None, "ascii", "ABCD"),
        "door": ("discrete", 0x400 + 0o17, "bool", None, 1, None, "ascii", "ABCD"),
        "name": ("input", 0, "string", None, 1, 5, "gbk", "ABCD"),
        "axes": ("holding", 16, "int32", None, 3, None, "ascii", "ABCD"),
    }
    speed = described["tags"]["speed"]
    assert [speed[k] for k in ("scale", "offset", "kind", "unit", "range", "map")] == [
        0.5, 1.0, "float", "rpm", [0.0, 9.0], {"0": "idle"},
    ]  # fmt: skip


def test_the_models_combine_with_other_keys():
    class Common(BaseModel):
        model_config = ConfigDict(extra="forbid")
        id: str
        tags: dict[str, object] = {}

    class Device(ModbusDevice, Common):
        pass

    device = Device(id="d", url="tcp://h")
    assert isinstance(device, Options)
    # behind the bar: whose codec it is
    assert PLUGIN.connection_key(device).split("|")[0] == "tcp://h:502"


def test_options_of_another_connector_are_a_programming_error():
    with pytest.raises(TypeError):
        PLUGIN.kind(Options())
    with pytest.raises(TypeError):
        PLUGIN.connection_key(Options())


def test_importing_the_connector_loads_no_protocol_library():
    code = (
        "import connectors.modbus, sys; print(sorted({'pymodbus', 'serial', 'numpy', 'asyncua'} "
        "& set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )


def test_the_kinds_of_equal_devices_are_equal_also_in_another_process():
    area = {"M": {"object": "coil", "base": 0, "last": 99}}
    one, other, plain = (
        PLUGIN.kinds(ModbusDevice(url="tcp://h", areas=areas)) for areas in (area, area, {})
    )
    assert one == other == pickle.loads(pickle.dumps(one)) != plain
    assert hash(one) == hash(other)
    tag = ModbusTag(address="M8")
    assert (one(tag), plain(tag)) == ("bool", "int")
