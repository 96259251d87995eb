"""Configurations of other programs as plant files: values where they belong, and what is left out
with line and reason.

Written for this test in the layouts that these documents publish:
- Telegraf: influxdata/telegraf `plugins/inputs/modbus` (register, request and metric style),
  `plugins/inputs/opcua`;
- ThingsBoard IoT Gateway: thingsboard/thingsboard-gateway, default `modbus.json` and `opcua.json`,
  old and new form;
- Neuron: emqx/neuron-docs `api/configuration` (gtags, template), `api/data-type` (numbers of types,
  serial settings);
- Kepware: the CSV of a device (see test_point_lists).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main
from edge_agent.commissioning.convert import json_text
from edge_agent.config import load
from edge_agent.config.models import Site

TELEGRAF = """\
[agent]
  interval = "10s"

[[inputs.cpu]]
  percpu = true

[[inputs.modbus]]
  name = "Press"
  slave_id = 7
  timeout = "1s"
  busy_retries = 3
  controller = "tcp://10.0.4.7:502"
  configuration_type = "register"
  discrete_inputs = [
    { name = "guard_closed", address = [0]},
  ]
  holding_registers = [
    { name = "speed",   byte_order = "AB",   data_type = "UINT16",       scale=1.0,   address = [8]},
    { name = "energy",  byte_order = "CDAB", data_type = "FIXED",        scale=0.001, address = [5,6]},
    { name = "torque",  byte_order = "ABCD", data_type = "FLOAT32-IEEE", scale=1.0,   address = [10,11]},
    { name = "odd",     byte_order = "ABCD", data_type = "INT32",        scale=1.0,   address = [13,12]},
    { name = "half",    byte_order = "AB",   data_type = "FLOAT16-IEEE", scale=1.0,   address = [20]},
  ]
  input_registers = [
    { name = "speed",   byte_order = "BA",   data_type = "INT16",        scale=0.1,   address = [0]},
  ]
  [inputs.modbus.workarounds]
    pause_after_connect = "500ms"
    close_connection_after_gather = true

[[inputs.modbus]]
  name = "bus"
  interval = "2s"
  controller = "file:///dev/ttyUSB0"
  baud_rate = 19200
  data_bits = 8
  parity = "E"
  stop_bits = 1
  transmission_mode = "RTU"
  configuration_type = "request"

  [[inputs.modbus.request]]
    slave_id = 3
    byte_order = "DCBA"
    register = "holding"
    fields = [
      { address=0, name="voltage", type="INT16", scale=0.1 },
      { address=1, name="spare",   type="INT32", omit=true },
      { address=3, name="current", type="FLOAT32" },
      { address=9, name="serial",  type="STRING", length=8 },
      { address=20, name="run",    type="BIT", bit=4 },
    ]
    [inputs.modbus.request.tags]
      location = "hall"

  [[inputs.modbus.request]]
    slave_id = 4
    register = "coil"
    fields = [ { address=2, name="pump" } ]

[[inputs.modbus]]
  name = "other"
  controller = "tcp://10.0.4.8:502"
  transmission_mode = "ASCIIoverTCP"

[[inputs.modbus]]
  name = "meter"
  controller = "tcp://10.0.4.9:502"
  transmission_mode = "RTUoverTCP"
  configuration_type = "metric"
  [[inputs.modbus.metric]]
    slave_id = 1
    byte_order = "ABCD"
    measurement = "m"
    fields = [
      { register="input", address=0, name="power", type="FLOAT32" },
      { register="coil",  address=1, name="alarm" },
    ]

[[inputs.opcua]]
  name = "cnc"
  endpoint = "opc.tcp://10.0.4.20:4840"
  security_policy = "None"
  security_mode = "None"
  auth_method = "UserName"
  username = "reader"
  password = "hunter2"
  nodes = [
    {name="State", id="ns=2;s=State"},
    {name="Time", namespace="0", identifier_type="i", identifier="2258"},
  ]
  [[inputs.opcua.group]]
    name = "axes"
    namespace_uri = "http://example.org/cnc"
    identifier_type = "s"
    nodes = [ {name="Load", identifier="Axis.Load"} ]
"""


def converted(source: str, name: str, text: str, folder: Path, *options: str) -> tuple[Site, str]:
    """The site that comes out, and the text of its file."""
    file, out = folder / name, folder / "plant.yaml"
    file.write_text(text, encoding="utf-8")
    assert main(["convert", source, str(file), "--out", str(out), "--json", *options]) == 0
    return load(out), out.read_text(encoding="utf-8")


def said(capsys: pytest.CaptureFixture[str], kind: str = "left_out") -> dict[str, str]:
    """What was left out: its name -> the line."""
    document = json.loads(capsys.readouterr().out)
    return {
        each["en"].partition(":")[0]: each["where"].rpartition(":")[2] for each in document[kind]
    }


def line_of(text: str, part: str) -> str:
    """The number of the line that holds a part, as text."""
    (found,) = [number for number, line in enumerate(text.splitlines(), 1) if part in line]
    return str(found)


def tag(site: Site, device: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in site.devices if each.id == device]
    keys = found.tags[name].model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    return {key: value for key, value in keys.items() if key != "description"}


def device(site: Site, name: str) -> dict[str, Any]:
    (found,) = [each for each in site.devices if each.id == name]
    return found.model_dump(mode="json", exclude={"tags"}, exclude_defaults=True, exclude_none=True)


def test_telegraf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, text = converted("telegraf", "telegraf.conf", TELEGRAF, tmp_path)
    assert [each.id for each in site.devices] == ["Press", "bus-3", "bus-4", "meter", "cnc"]
    assert device(site, "Press") == {
        "id": "Press", "connector": "modbus", "url": "tcp://10.0.4.7:502", "unit": 7, "every": 10.0,
        "connect_delay": 0.5,
    }  # fmt: skip
    assert tag(site, "Press", "guard_closed") == {"address": "discrete/0"}
    assert tag(site, "Press", "speed") == {"address": "holding/8", "type": "uint16"}
    assert tag(site, "Press", "speed_2") == {
        "address": "input/0", "type": "int16", "word_order": "BADC", "scale": 0.1,
    }  # fmt: skip
    assert tag(site, "Press", "energy") == {
        "address": "holding/5", "type": "int32", "word_order": "CDAB", "scale": 0.001,
    }  # fmt: skip
    assert tag(site, "Press", "torque") == {"address": "holding/10", "type": "float32"}
    assert (
        device(site, "bus-3")["url"]
        == "rtu:///dev/ttyUSB0?baudrate=19200&bytesize=8&parity=E&stopbits=1"
    )
    assert (device(site, "bus-3")["unit"], device(site, "bus-3")["every"]) == (3, 2.0)
    assert tag(site, "bus-3", "current") == {
        "address": "holding/3",
        "type": "float32",
        "word_order": "DCBA",
    }
    assert tag(site, "bus-3", "serial") == {
        "address": "holding/9", "type": "string", "length": 16, "word_order": "DCBA",
    }  # fmt: skip
    assert tag(site, "bus-3", "run") == {"address": "holding/20", "type": "bool", "bit": 4}
    assert tag(site, "bus-4", "pump") == {"address": "coil/2"}
    assert device(site, "meter")["url"] == "rtu-tcp://10.0.4.9:502"
    assert tag(site, "meter", "power") == {"address": "input/0", "type": "float32"}
    assert device(site, "cnc")["mode"] == "read"
    assert tag(site, "cnc", "Time") == {"node": "i=2258"}
    assert tag(site, "cnc", "Load") == {"node": "nsu=http://example.org/cnc;s=Axis.Load"}
    assert said(capsys) == {
        name: line_of(TELEGRAF, text)
        for name, text in {
            "inputs.cpu": "[[inputs.cpu]]",
            "inputs.modbus busy_retries": "busy_retries",
            "odd": '"odd"',
            "half": '"half"',
            "workarounds close_connection_after_gather": "close_connection",
            "request tags": "request.tags]",
            "inputs.modbus controller": "10.0.4.8",
            "request measurement": "measurement",
            "auth_method": "auth_method",
        }.items()
    }
    assert "hunter2" not in text
    assert "# not carried over" in text.replace("没有照搬 / ", "")


THINGSBOARD = """\
{
  "name": "Modbus Connector",
  "master": {
    "slaves": [
      {
        "host": "10.0.5.1", "port": 5021, "type": "tcp", "method": "socket",
        "timeout": 3,
        "byteOrder": "BIG",
        "wordOrder": "LITTLE",
        "retries": true,
        "pollPeriod": 5000,
        "unitId": 2,
        "deviceName": "Temp Sensor/1",
        "sendDataOnlyOnChange": true,
        "attributes": [
          {"tag": "serial", "type": "string", "functionCode": 4, "objectsCount": 4, "address": 1},
          {"tag": "flags", "type": "bits", "functionCode": 4, "objectsCount": 1, "address": 5}
        ],
        "timeseries": [
          {"tag": "temperature", "type": "32int", "functionCode": 4, "objectsCount": 2, "address": 8, "divider": 10},
          {"tag": "ratio", "type": "16uint", "functionCode": 3, "objectsCount": 1, "address": 18, "multiplier": 0.5},
          {"tag": "level", "type": "16float", "functionCode": 4, "objectsCount": 1, "address": 25},
          {"tag": "door", "type": "bits", "functionCode": 2, "objectsCount": 1, "address": 3}
        ],
        "attributeUpdates": [{"tag": "set", "type": "32int", "functionCode": 6, "objectsCount": 2, "address": 29}],
        "rpc": [{"tag": "setValue", "type": "bits", "functionCode": 5, "objectsCount": 1, "address": 31}]
      }
    ]
  },
  "slave": {"type": "tcp", "host": "127.0.0.1", "port": 5026}
}
"""


def test_thingsboard_modbus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, _ = converted("thingsboard", "modbus.json", THINGSBOARD, tmp_path)
    assert device(site, "Temp-Sensor-1") == {
        "id": "Temp-Sensor-1",
        "connector": "modbus",
        "url": "tcp://10.0.5.1:5021",
        "unit": 2,
        "timeout": 3.0,
        "word_order": "CDAB",
        "every": 5.0,
        "report": "change",
    }
    assert tag(site, "Temp-Sensor-1", "temperature") == {
        "address": "input/8",
        "type": "int32",
        "scale": 0.1,
    }
    assert tag(site, "Temp-Sensor-1", "ratio") == {
        "address": "holding/18",
        "type": "uint16",
        "scale": 0.5,
    }
    assert tag(site, "Temp-Sensor-1", "serial") == {
        "address": "input/1",
        "type": "string",
        "length": 8,
    }
    assert tag(site, "Temp-Sensor-1", "door") == {"address": "discrete/3"}
    assert said(capsys) == {
        name: line_of(THINGSBOARD, text)
        for name, text in {
            "slave": '"slave":',
            "level": '"level"',
            "Temp Sensor/1 attributeUpdates": "attributeUpdates",
            "Temp Sensor/1 rpc": '"rpc"',
        }.items()
    }


def test_thingsboard_modbus_of_the_older_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {
        "server": {
            "type": "serial",
            "port": "/dev/ttyS1",
            "method": "rtu",
            "baudrate": 9600,
            "parity": "E",
            "byteOrder": "BIG",
            "devices": [
                {
                    "unitId": 1,
                    "deviceName": "m",
                    "attributesPollPeriod": 60000,
                    "timeseriesPollPeriod": 1000,
                    "attributes": [{"tag": "id", "type": "16int", "functionCode": 3, "address": 0}],
                    "timeseries": [
                        {
                            "tag": "p",
                            "type": "32float",
                            "functionCode": 3,
                            "objectsCount": 2,
                            "address": 1,
                        }
                    ],
                }
            ],
        }
    }
    site, _ = converted("thingsboard", "modbus.json", json.dumps(old, indent="\t"), tmp_path)
    assert device(site, "m")["url"] == "rtu:///dev/ttyS1?baudrate=9600&parity=E"
    assert tag(site, "m", "p") == {"address": "holding/1", "type": "float32"}
    assert tag(site, "m", "id") == {"address": "holding/0", "type": "int16", "every": 60.0}
    document = json.loads(capsys.readouterr().out)
    assert [note["en"] for note in document["notes"] if "wordOrder" in note["en"]]


def test_thingsboard_opcua(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """\
{
  "server": {
    "url": "10.0.5.9:4840/server/",
    "scanPeriodInMillis": 2000,
    "disableSubscriptions": false,
    "security": "Basic128Rsa15",
    "identity": {"type": "anonymous"}
  },
  "mapping": [
    {
      "deviceNodePattern": "Root\\\\.Objects\\\\.2:Device1",
      "deviceInfo": {"deviceNameExpression": "Device ${Root\\\\.Objects\\\\.Device1\\\\.serialNumber}"},
      "attributes": [{"key": "t", "type": "identifier", "value": "${ns=2;i=5}"}],
      "timeseries": [
        {"key": "humidity", "path": "${Root\\\\.Objects\\\\.2:Device1\\\\.2:Humidity}"},
        {"key": "battery", "path": "${2:Battery\\\\.2:Level}"},
        {"key": "lost", "path": "${Battery\\\\.batteryLevel}"},
        {"key": "site", "type": "constant", "value": "hall"}
      ],
      "rpc_methods": [{"method": "multiply", "arguments": [2, 4]}]
    }
  ]
}
"""
    site, _ = converted("thingsboard", "opcua.json", text, tmp_path)
    name = site.devices[0].id
    assert device(site, name)["endpoint"] == "opc.tcp://10.0.5.9:4840/server/"
    assert tag(site, name, "t") == {"node": "ns=2;i=5"}
    assert tag(site, name, "humidity") == {"path": "Objects/2:Device1/2:Humidity"}
    assert tag(site, name, "battery") == {"path": "Objects/2:Device1/2:Battery/2:Level"}
    assert said(capsys) == {
        "security Basic128Rsa15": "6",
        "lost": "17",
        "site": "18",
        f"{name} rpc_methods": "20",
    }


NEURON = """\
{
  "nodes": [
    {"name": "line1", "plugin": "Modbus TCP", "type": 1},
    {"name": "bus", "plugin": "Modbus RTU", "type": 1},
    {"name": "cnc", "plugin": "OPC UA", "type": 1},
    {"name": "plc", "plugin": "Siemens S7 ISOTCP", "type": 1},
    {"name": "mqtt", "plugin": "MQTT", "type": 2}
  ],
  "settings": [
    {"node": "line1", "params": {"host": "10.0.6.1", "port": 502, "timeout": 3000, "interval": 20, "max_retries": 2}},
    {"node": "bus", "params": {"link": 0, "device": "/dev/ttyS2", "baud": 4, "parity": 2, "stop": 0, "data": 3}},
    {"node": "cnc", "params": {"url": "opc.tcp://10.0.6.3:4840"}}
  ],
  "groups": [
    {"driver": "line1", "group": "g1", "interval": 2000}
  ],
  "tags": [
    {"driver": "line1", "group": "g1", "tags": [
      {"name": "speed", "address": "1!400001", "attribute": 1, "type": 4, "decimal": 0.1, "description": "转速"},
      {"name": "power", "address": "1!300004#BL", "attribute": 3, "type": 9},
      {"name": "other", "address": "2!400001", "attribute": 1, "type": 3},
      {"name": "write", "address": "1!400009", "attribute": 2, "type": 3},
      {"name": "raw", "address": "1!400011", "attribute": 1, "type": 14}
    ]},
    {"driver": "bus", "group": "g", "tags": [{"name": "run", "address": "5!400010.4", "attribute": 1, "type": 11}]},
    {"driver": "cnc", "group": "g", "tags": [
      {"name": "State", "address": "2!Channel.State", "attribute": 1, "type": 5},
      {"name": "Time", "address": "0!2258", "attribute": 5, "type": 13}
    ]},
    {"driver": "plc", "group": "g", "tags": [{"name": "x", "address": "DB1.DBW0", "attribute": 1, "type": 3}]}
  ]
}
"""


def test_neuron(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, _ = converted("neuron", "neuron.json", NEURON, tmp_path)
    assert [each.id for each in site.devices] == ["line1", "line1-2", "bus", "cnc"]
    assert device(site, "line1") == {
        "id": "line1",
        "connector": "modbus",
        "url": "tcp://10.0.6.1:502",
        "timeout": 3.0,
        "pause_ms": 20.0,
    }
    assert tag(site, "line1", "speed") == {
        "address": 400001,
        "type": "uint16",
        "scale": 0.1,
        "every": 2.0,
    }
    assert tag(site, "line1", "power") == {
        "address": 300004,
        "type": "float32",
        "word_order": "CDAB",
        "every": 2.0,
    }
    assert device(site, "line1-2")["unit"] == 2
    assert (
        device(site, "bus")["url"]
        == "rtu:///dev/ttyS2?baudrate=9600&parity=E&stopbits=1&bytesize=8"
    )
    assert tag(site, "bus", "run") == {"address": "400010.4", "type": "bool"}
    assert tag(site, "cnc", "State") == {"node": "ns=2;s=Channel.State"}
    assert tag(site, "cnc", "Time") == {"node": "ns=0;i=2258"}
    assert said(capsys) == {"write": "22", "raw": "23", "line1 max_retries": "10", "plc": "6"}


TAG = {"name": "a", "address": "1!400001", "attribute": 1, "type": 4}


@pytest.mark.parametrize(
    "document",
    [
        {"name": "t", "plugin": "Modbus RTU", "groups": [
            {"name": "g", "interval": 500, "tags": [TAG]}]},
        {"node": "t", "groups": [
            {"group": "g", "interval": 500, "tags": [TAG]}]},
        {"drivers": [{"name": "t", "plugin": "Modbus TCP", "params": {"host": "h", "port": 502}, "groups": [
            {"group": "g", "interval": 500, "tags": [TAG]}]}]},
    ],
    ids=["template", "gtags", "drivers"],
)  # fmt: skip
def test_the_other_forms_of_neuron(document: dict[str, Any], tmp_path: Path) -> None:
    site, _ = converted("neuron", "n.json", json.dumps(document), tmp_path)
    assert tag(site, "t", "a") == {"address": 400001, "type": "uint16", "every": 0.5}


def test_addresses_of_neuron_that_begin_with_zero(tmp_path: Path) -> None:
    params = {"host": "h", "address_base": 0}
    document = {
        "drivers": [
            {
                "name": "t",
                "plugin": "Modbus TCP",
                "params": params,
                "groups": [
                    {
                        "group": "g",
                        "tags": [
                            {"name": "a", "address": "1!400000", "attribute": 1, "type": 4},
                            {"name": "b", "address": "1!300003.2", "attribute": 1, "type": 11},
                        ],
                    }
                ],
            }
        ]
    }
    site, _ = converted("neuron", "n.json", json.dumps(document), tmp_path)
    assert tag(site, "t", "a") == {"address": "holding/0", "type": "uint16"}
    assert tag(site, "t", "b") == {"address": "input/3.2", "type": "bool"}


KEPWARE = """\
Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High
Speed,400001,Word,1,RO,100,Linear,0,1000,0,100
Sqrt,400002,Word,1,RO,100,Square Root,0,1000,0,100
DB,DB1.DBD0,Float,1,RO,100,,,,,
Area,D100,Word,1,RO,100,,,,,
Far,465537,Word,1,RO,100,,,,,
"""


def test_kepware(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, _ = converted(
        "kepware",
        "Line1.csv",
        KEPWARE,
        tmp_path,
        "--url",
        "tcp://10.0.7.1",
        "--unit",
        "3",
        "--device",
        "l1",
    )
    assert device(site, "l1") == {
        "id": "l1",
        "connector": "modbus",
        "url": "tcp://10.0.7.1",
        "unit": 3,
    }
    assert [name for each in site.devices for name in each.tags] == ["Speed"]
    assert tag(site, "l1", "Speed") == {
        "address": 400001,
        "type": "uint16",
        "scale": 0.1,
        "every": 0.1,
    }
    left = json.loads(capsys.readouterr().out)["left_out"]
    assert [each["where"].partition("Line1.csv:")[2] for each in left] == [
        "3:Scaling", "4:Address", "5:Tag Name", "6:Tag Name",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "name", "text", "code"),
    [
        ("telegraf", "a.conf", "[[inputs.modbus]\n", "bad-toml"),
        ("telegraf", "a.conf", "[[inputs.cpu]]\n", "nothing-carried-over"),
        ("neuron", "a.json", '{"nodes": [', "bad-json"),
        ("neuron", "a.json", "[]", "nothing-carried-over"),
        ("thingsboard", "a.json", '{"server": {}}', "nothing-carried-over"),
        ("thingsboard", "a.json", '{"a": 1,}x', "bad-json"),
        ("kepware", "a.csv", "x,y\n1,2\n", "no-head"),
    ],
)
def test_a_file_of_which_nothing_comes_is_a_sentence(
    source: str, name: str, text: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert (
        main(["convert", source, str(tmp_path / name), "--out", str(tmp_path / "plant.yaml")]) == 2
    )
    assert str(tmp_path / name) in capsys.readouterr().err
    assert not (tmp_path / "plant.yaml").exists()


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "Line1.csv").write_text(KEPWARE, encoding="utf-8")
    (tmp_path / "plant.yaml").write_text("mine", encoding="utf-8")
    assert (
        main(
            [
                "convert",
                "kepware",
                str(tmp_path / "Line1.csv"),
                "--out",
                str(tmp_path / "plant.yaml"),
            ]
        )
        == 2
    )
    assert (tmp_path / "plant.yaml").read_text(encoding="utf-8") == "mine"


def test_json_knows_its_lines_and_agrees_with_the_library() -> None:
    for text in (
        THINGSBOARD,
        NEURON,
        '[1, -2.5e3, true, null, "\\u4e2d\\n"]',
        "{}",
        "[]",
        ' {"a" : [ {} ] } ',
    ):
        assert json_text.parse(text) == json.loads(text)
    found = json_text.parse(NEURON)
    assert found["nodes"][1].line == 4
    assert found["settings"][0]["params"].lines["max_retries"] == 10
    for text in ("{", '{"a"}', "{'a': 1}", "[1 2]", '"a', "nul", "[" * 99 + "]" * 99, "1 2"):
        with pytest.raises(ValueError, match=r"in line \d+"):
            json_text.parse(text)
