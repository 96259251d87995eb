"""The YAML keys of OPC UA devices and tags, and what the plugin makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from connectors.opcua import PLUGIN
from connectors.opcua.options import OpcuaDevice, OpcuaTag, kind, pki_folder
from edge_agent.sdk import Clock, DevicePlan, Pollable, Problem, Streaming, Tag, TagTable

SIMPLE = {"name": "a", "password": "b"}
HERE = "opc.tcp://10.0.1.32:4840"


def plan(device: dict[str, Any] | None = None, *tags: OpcuaTag) -> DevicePlan:
    made = tuple(Tag(f"t{at}", kind(options), options) for at, options in enumerate(tags))
    return DevicePlan(
        "d", OpcuaDevice(**{"endpoint": HERE, **(device or {})}), (TagTable("d", 1.0, made),)
    )


def problems(device: dict[str, Any] | None = None, *tags: OpcuaTag) -> list[Problem]:
    return list(PLUGIN.check(plan(device, *tags)))


def test_opcua_importing_the_plugin_does_not_import_asyncua() -> None:
    script = (
        "import sys, connectors.opcua; sys.exit('asyncua' in sys.modules or 'cryptography' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [("500ms", 500), ("1s", 1000), ("2 m", 120_000), (250, 250), ("250", 250), (0, 0)],
)
def test_opcua_milliseconds_are_written_as_durations_or_numbers(
    written: object, milliseconds: float
) -> None:
    assert OpcuaDevice(endpoint=HERE, sampling_ms=written).sampling_ms == milliseconds


@pytest.mark.parametrize(
    ("written", "seconds"), [("500ms", 0.5), ("4s", 4), (4, 4), ("1 min", 60), ("1h", 3600)]
)
def test_opcua_timeout_is_written_as_a_duration_or_in_seconds(
    written: object, seconds: float
) -> None:
    assert OpcuaDevice(endpoint=HERE, timeout=written).timeout == seconds


@pytest.mark.parametrize("written", ["soon", "", -1, "0s", [], "4000s"])
def test_opcua_nonsense_is_no_timeout(written: object) -> None:
    with pytest.raises(ValidationError):
        OpcuaDevice(endpoint=HERE, timeout=written)


@pytest.mark.parametrize(
    "endpoint", [HERE, "opc.tcp://cnc-7", "opc.tcp://[fe80::1]:4840/path/to", "opc.tcp://h:1/ü"]
)
def test_opcua_endpoints(endpoint: str) -> None:
    assert OpcuaDevice(endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    ["10.0.1.32:4840", "http://h:1", "opc.tcp://", "opc.tcp://h:port", "opc.tcp://u:p@h"],
)
def test_opcua_not_endpoints(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        OpcuaDevice(endpoint=endpoint)


def test_opcua_models_mix_with_the_agents_common_keys() -> None:
    class Common(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
        unit: str = ""
        map: dict[int, str] | None = None

    class Mixed(Common, OpcuaTag):
        pass

    mixed = Mixed(node="i=1", unit="rpm", map={0: "idle"})
    assert (mixed.unit, mixed.node, kind(mixed)) == ("rpm", "i=1", "int")
    with pytest.raises(ValidationError):
        Mixed(node="i=1", nodes="i=2")  # type: ignore[call-arg]
    assert json.dumps(Mixed.model_json_schema())
    assert json.dumps(OpcuaDevice.model_json_schema())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, "any"), ("bool", "bool"), ("Boolean", "bool"), ("int", "int"), ("UInt64", "int"), ("Float", "float"),
        ("Double", "float"), ("LocalizedText", "text"), ("text", "text"), ("DateTime", "text"), ("array", "array"),
        ("Double[]", "array"), ("string[]", "array"), ("StatusCode", "int"),
    ],
)  # fmt: skip
def test_opcua_kinds(written: str | None, expected: str) -> None:
    assert kind(OpcuaTag(node="i=1", type=written)) == expected


def test_opcua_a_fine_device_has_no_problem() -> None:
    tags = (
        OpcuaTag(node="nsu=http://x/;s=a"),
        OpcuaTag(path="2:M/{http://x/}y"),
        OpcuaTag(node="i=1", type="Int16"),
    )
    assert (
        problems(
            {"security": {"policy": "Basic256Sha256"}, "user": {"name": "a", "password": "b"}},
            *tags,
        )
        == []
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "[::1]", "localhost", "LOCALHOST"])
def test_a_password_does_not_leave_this_machine_on_loopback(host: str) -> None:
    assert problems({"endpoint": f"opc.tcp://{host}:4840/x", "user": SIMPLE}) == []


@pytest.mark.parametrize(
    "host", ["10.0.0.5", "plc", "localhost.example", "127.0.0.1.example", "[fe80::1]", "0.0.0.0"]
)
def test_a_password_on_any_other_clear_link_is_asked_about(host: str) -> None:
    assert [
        one.key for one in problems({"endpoint": f"opc.tcp://{host}:4840", "user": SIMPLE})
    ] == ["user.password"]


@pytest.mark.parametrize(
    ("device", "key"),
    [
        ({"security": {"policy": "None", "mode": "Sign"}}, "security"),
        ({"security": {"policy": "Basic256Sha256", "mode": "None"}}, "security"),
        ({"security": {"policy": "Basic256Sha256", "certificate": Path(__file__)}}, "security"),
        ({"security": {"policy": "Basic256Sha256", "trust": "/no/such/folder"}}, "security.trust"),
        ({"user": {}}, "user"),
        ({"user": {"name": "a", "password": "secret-word"}}, "user.password"),
        ({"user": SIMPLE, "security": {"policy": "Basic256Sha256", "mode": "Sign"}}, "user.password"),
        ({"user": {"certificate": "/no/such.der", "key": Path(__file__)}}, "user.certificate"),
    ],
)  # fmt: skip
def test_opcua_problems_of_devices(device: dict[str, Any], key: str) -> None:
    found = problems(device)
    assert [problem.key for problem in found] == [key]
    assert all(problem.zh and problem.en and "secret-word" not in problem.en for problem in found)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "node"), ({"node": "i=1", "path": "2:x"}, "node"), ({"node": "2:x"}, "node"),
        ({"node": "ns=2;i=x"}, "node"),
        ({"path": "a//b"}, "path"), ({"path": []}, "path"), ({"node": "i=1", "type": "Dobule"}, "type"),
    ],
)  # fmt: skip
def test_opcua_problems_of_tags(options: dict[str, Any], key: str) -> None:
    (problem,) = problems(None, OpcuaTag(**options))
    assert (problem.tag, problem.key) == ("t0", key)


def test_opcua_devices_share_a_connection_only_when_everything_about_it_is_equal() -> None:
    def key(**more: Any) -> str:
        return PLUGIN.connection_key(OpcuaDevice(**{"endpoint": HERE, **more}))

    user = {"name": "a", "password": "secret-word"}
    assert key() == key(publishing_ms=100, sampling_ms=0, queue=3)
    different = [
        key(),
        key(endpoint=HERE + "/x"),
        key(mode="read"),
        key(user=user),
        key(user={**user, "password": "other"}),
        key(security={"policy": "Basic256Sha256"}),
        key(security={"policy": "Basic256Sha256", "mode": "Sign"}),
        key(timeout=1),
    ]
    assert len(set(different)) == len(different)
    assert "secret" not in "".join(different)


def test_opcua_mode_decides_the_kind_of_connection() -> None:
    polled = PLUGIN.connect([plan({"mode": "read"})], Clock())
    streamed = PLUGIN.connect([plan()], Clock())
    assert (isinstance(polled, Pollable), isinstance(polled, Streaming)) == (True, False)
    assert (isinstance(streamed, Pollable), isinstance(streamed, Streaming)) == (False, True)


def test_opcua_describe_says_what_a_simulator_serves() -> None:
    options = OpcuaTag(path="Objects/2:M/{http://x/}y", type="Int16")
    speed = Tag("speed", "int", options, "rpm", scale=0.1, low=0, high=900, labels={0: "idle"})
    plain = Tag("plain", "float", OpcuaTag(node="ns=2;s=a"))
    device = DevicePlan("d", OpcuaDevice(endpoint=HERE), (TagTable("d", 1.0, (speed, plain)),))
    described = PLUGIN.describe(device)
    assert json.loads(json.dumps(described)) == {
        "protocol": "opcua",
        "security": {"policy": "None", "mode": "None"},
        "tags": {
            "speed": {
                "node": None,
                "path": ["Objects", "2:M", "{http://x/}y"],
                "type": "Int16",
                "scale": 0.1,
                "offset": 0.0,
                "kind": "int",
                "unit": "rpm",
                "range": [0, 900],
                "map": {"0": "idle"},
            },
            "plain": {
                "node": "ns=2;s=a",
                "path": None,
                "type": "Double",
                "scale": 1.0,
                "offset": 0.0,
                "kind": "float",
                "unit": "",
                "range": None,
                "map": None,
            },
        },
    }


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (None, "Double"), ("float", "Double"), ("Float", "Float"), ("int", "Int32"), ("uint16", "UInt16"),
        ("Double[]", "Double[]"),
    ],
)  # fmt: skip
def test_opcua_describe_names_real_types(written: str | None, expected: str) -> None:
    described = PLUGIN.describe(plan(None, OpcuaTag(node="i=1", type=written)))
    assert described["tags"]["t0"]["type"] == expected


def test_opcua_pki_folder_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/lib/x")
    assert pki_folder() == Path("/var/lib/x/edge-agent/pki")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert pki_folder() == Path.home() / ".local/state/edge-agent/pki"
