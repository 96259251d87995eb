"""The configuration loader: any file is a site or a ConfigError with findings, in little time."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from connectors import modbus, opcua
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.errors import ConfigError
from fuzz.target import FuzzTarget, demand, rewritten, scratch

_PLUGINS: Final = {"modbus": modbus.PLUGIN, "opcua": opcua.PLUGIN}
"""Asking what is installed would take longer than all the rest."""
_REPOSITORY: Final = Path(__file__).parents[2]


@cache
def _folder() -> Path:
    """With one file to include, so that nothing depends on what else the machine has."""
    folder = scratch()
    (folder / "more.yaml").write_text("devices:\n  - {id: m9, connector: modbus, url: tcp://h}\n")
    return folder


def config(data: bytes) -> None:
    """Every finding has a code and both sentences; a site that loads compiles to a plan for each
    device."""
    _folder()
    path = rewritten("site.yaml", data)
    try:
        site = load(path, _PLUGINS)
    except ConfigError as error:
        demand(bool(error.findings), "refused without a finding")
        demand(
            all(f.code and f.zh and f.en for f in error.findings), "half a finding:", error.findings
        )
        return
    found = plans(site, _PLUGINS)
    demand(len(found) == len(site.devices), "devices without a plan")


def _seeds() -> Iterable[bytes]:
    head = "agent: {id: a}\nmqtt: {url: 'mqtt://127.0.0.1'}\n"
    device = (
        "devices:\n  - id: m{i}\n    for: {i: 1..3}\n    connector: modbus\n    url: tcp://h\n   "
        " tags:\n"
    )
    yield (
        head + device + "      a: {address: holding/1, type: float32, scale: 0.1, range: [0, 9]}\n"
    ).encode()
    yield (head + "include: more.yaml\ndefaults: {modbus: {unit: 2}}\n").encode()
    yield (
        head + "devices:\n  - {id: o, connector: opcua, url: 'opc.tcp://h:1', tags: {a: {node: "
        "ns=2;s=a}}}\n"
    ).encode()
    yield (
        head + "x: &a [1, 2]\ny: [*a, *a]\nz: {<<: *a}\np: !env HOME\nq: !file more.yaml\n"
    ).encode()
    yield (
        head + "templates: {t: {connector: modbus, url: 'tcp://{h}'}}\ndevices:\n  - {template: t, "
        "h: x}\n"
    ).encode()
    for path in sorted((_REPOSITORY / "tests" / "cases" / "config").rglob("*.yaml")):
        if path.stat().st_size <= 1500:
            yield path.read_bytes()


_WORDS: Final = (
    "agent mqtt outbox store register defaults include devices templates for template profile "
    "connector modbus opcua "
    "tags address node type unit every state item mode map rules scale range deadband report "
    "1..3 {i} {i:03} {{ 1% 5s "
    "100ms 1e400 .nan .inf null !env !file *a &a << holding/1 Executing *.yaml more.yaml tcp:// "
    "eastron-sdm630"
)

TARGETS = (
    FuzzTarget(
        "config",
        config,
        _seeds,
        30_000,
        words=tuple(word.encode() for word in _WORDS.split()),
        longest=1500,
        full=100_000,
    ),
)
