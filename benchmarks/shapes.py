"""The shapes of load, each with the bounds it is held to, and the devices that make them."""

from __future__ import annotations

import contextlib
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks import rig
from simulators import certificates


@dataclass(frozen=True)
class LoadShape:
    """So many devices with so many tags, each read (or changing) every `every` seconds."""

    name: str
    devices: int
    tags: int
    every: float
    protocol: Literal["modbus", "opcua"] = "modbus"
    step: int = 2
    """Registers from one float32 to the next; 3 leaves a gap of one."""
    pipeline: int = 1
    delay_ms: float = 0.0
    mode: Literal["subscribe", "read"] = "subscribe"
    secure: bool = False
    """Basic256Sha256, SignAndEncrypt."""
    server: Literal["canned", "asyncua"] = "canned"
    spread: int = 0
    """OPC UA: 100 ns ticks between the source times of neighbouring variables; 0 = one time for
    all, as in a scan."""
    confirm: Literal["broker", "store"] = "broker"
    """`store`: a store service (DuckDB) runs beside the agent, which keeps each entry until it is
    stored."""
    """Processes of the agent; CPU and memory are those of all of them, the supervising one
    included."""
    group: Literal["path", "scale", "idle"] = "path"
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Field of a Figure -> the most it may be."""

    @property
    def load(self) -> rig.ExpectedLoad:
        return rig.ExpectedLoad(self.devices * self.tags / self.every, self.every, self.devices)


def _cost(most: float, **others: float) -> dict[str, float]:
    return {"us_per_value": most, **others}


def _opcua(name: str, tags: int, most: float, **options: Any) -> LoadShape:
    every = options.pop("every", 0.1)
    return LoadShape(
        f"OPC UA {name}", 1, tags, every, protocol="opcua", bounds=_cost(most), **options
    )


SHAPES = (
    LoadShape("Modbus 1 x 1000 @ 1 s", 1, 1000, 1.0, bounds=_cost(8, p99_ms=20, rss_mb=60)),
    LoadShape("Modbus 1 x 1000 @ 100 ms", 1, 1000, 0.1, bounds=_cost(4)),
    LoadShape("Modbus 1 x 1000 @ 100 ms, pipeline 8", 1, 1000, 0.1, pipeline=8, bounds=_cost(1.5)),
    LoadShape("Modbus 10 x 100 @ 1 s", 10, 100, 1.0),
    LoadShape("Modbus 10 x 100 @ 100 ms", 10, 100, 0.1, bounds=_cost(3)),
    LoadShape("Modbus 100 x 100 @ 1 s", 100, 100, 1.0, bounds=_cost(3, p99_ms=20, start_s=3)),
    LoadShape("Modbus 100 x 100 @ 100 ms", 100, 100, 0.1, bounds=_cost(3, core_percent=35)),
    LoadShape(
        "Modbus 1 x 1000, one-register gaps @ 1 s",
        1,
        1000,
        1.0,
        step=3,
        bounds={"requests_per_cycle": 24},
    ),
    LoadShape("Modbus 1 x 1000 @ 1 s, PLC answers after 5 ms", 1, 1000, 1.0, delay_ms=5),
    LoadShape("Modbus 100 x 100 @ 1 s, confirm: store", 100, 100, 1.0, confirm="store"),
    _opcua(
        "1000 changing @ 1 s, subscription, asyncua's server", 1000, 20, every=1.0, server="asyncua"
    ),
    _opcua("1000 changing @ 1 s, subscription", 1000, 20, every=1.0),
    _opcua("1000 changing @ 100 ms, subscription", 1000, 4),
    _opcua("5000 changing @ 100 ms, subscription", 5000, 4),
    _opcua("5000 changing @ 100 ms, subscription, each with its own time", 5000, 4, spread=1000),
    _opcua("read 1000 @ 1 s, asyncua's server", 1000, 20, every=1.0, mode="read", server="asyncua"),
    _opcua("read 1000 @ 1 s", 1000, 20, every=1.0, mode="read"),
    _opcua("read 1000 @ 100 ms", 1000, 2, mode="read"),
    _opcua("read 1000 @ 100 ms, each with its own time", 1000, 2, mode="read", spread=1000),
    _opcua("read 5000 @ 100 ms", 5000, 2, mode="read"),
    _opcua("1000 changing @ 100 ms, subscription, SignAndEncrypt", 1000, 5, secure=True),
    _opcua("5000 changing @ 100 ms, subscription, SignAndEncrypt", 5000, 5, secure=True),
    _opcua("read 1000 @ 100 ms, SignAndEncrypt", 1000, 3, mode="read", secure=True),
    _opcua("read 5000 @ 100 ms, SignAndEncrypt", 5000, 3, mode="read", secure=True),
    LoadShape(
        "Modbus 1 tag @ 60 s", 1, 1, 60.0, group="idle", bounds={"core_percent": 0.5, "rss_mb": 60}
    ),
    LoadShape("Modbus 10 x 100 @ 1 s (1 000 tags)", 10, 100, 1.0, group="scale"),
    LoadShape("Modbus 30 x 100 @ 1 s (3 000 tags)", 30, 100, 1.0, group="scale"),
    LoadShape("Modbus 100 x 100 @ 1 s (10 000 tags)", 100, 100, 1.0, group="scale"),
    LoadShape("Modbus 300 x 100 @ 1 s (30 000 tags)", 300, 100, 1.0, group="scale"),
    LoadShape(
        "Modbus 1000 x 100 @ 1 s (100 000 tags)",
        1000,
        100,
        1.0,
        group="scale",
        bounds={"rss_mb": 150},
    ),
)


@functools.cache
def identity() -> tuple[Path, certificates.CertificateFiles]:
    """A folder for this run's certificates, and the server's."""
    folder = Path(tempfile.mkdtemp(prefix="bench-pki-"))
    return folder, certificates.make(folder, "server", "urn:bench")


def forget_identity() -> None:
    """Remove the certificates of this run."""
    if identity.cache_info().currsize:
        shutil.rmtree(identity()[0])
        identity.cache_clear()


@dataclass(frozen=True)
class Devices:
    """Simulated devices that run: how to ask them what they served, and where they are."""

    counter: rig.CounterProcess
    endpoints: list[str]


@contextlib.contextmanager
def devices(shape: LoadShape) -> Iterator[Devices]:
    """The simulated devices of a shape."""
    if shape.protocol == "modbus":
        argv = rig.module("benchmarks.plc", shape.devices, shape.delay_ms)
        with rig.process(argv) as plc:
            assert plc.stdout is not None
            yield Devices(
                rig.CounterProcess(plc),
                [f"tcp://127.0.0.1:{port}" for port in plc.stdout.readline().split()],
            )
        return
    port = rig.free_port()
    if shape.server == "asyncua":
        argv = rig.module("benchmarks.opcua_server", port, shape.tags, shape.every * 1000)
    else:
        argv = rig.module("benchmarks.opcua_canned", port, shape.tags, shape.spread)
    if shape.secure:
        argv += [str(identity()[1].certificate), str(identity()[1].key)]
    with rig.process(argv, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        server.stdout.readline()
        yield Devices(rig.CounterProcess(server), [f"opc.tcp://127.0.0.1:{port}/bench"])


def site(shape: LoadShape, endpoints: list[str], broker_port: int, folder: Path) -> dict[str, Any]:
    """The agent's configuration of a shape."""
    template = _modbus(shape) if shape.protocol == "modbus" else _opcua_device(shape)
    key = "url" if shape.protocol == "modbus" else "endpoint"
    return {
        "agent": {"id": "bench"},
        "mqtt": {"url": f"mqtt://127.0.0.1:{broker_port}", "confirm": shape.confirm},
        "outbox": {"path": str(folder / "outbox")},
        "store": {"path": str(folder / "store.duckdb"), "quarantine": str(folder / "quarantine")},
        "templates": {"bench": template},
        "devices": [
            {"id": f"dev-{n:04}", "template": "bench", key: at} for n, at in enumerate(endpoints)
        ],
    }


def _modbus(shape: LoadShape) -> dict[str, Any]:
    tags = {
        f"v{i}": {"address": f"holding/{i * shape.step}", "type": "float32"}
        for i in range(shape.tags)
    }
    every = f"{round(shape.every * 1000)}ms"
    return {
        "line": "bench",
        "connector": "modbus",
        "every": every,
        "pipeline": shape.pipeline,
        "tags": tags,
    }


def _opcua_device(shape: LoadShape) -> dict[str, Any]:
    period = round(shape.every * 1000)
    device: dict[str, Any] = {
        "line": "bench",
        "connector": "opcua",
        "every": f"{period}ms",
        "mode": shape.mode,
        "publishing_ms": period,
        "tags": {f"v{i}": {"node": f"ns=2;s=v{i}", "type": "float"} for i in range(shape.tags)},
    }
    if shape.secure:
        folder, server = identity()
        device["security"] = {
            "policy": "Basic256Sha256", "mode": "SignAndEncrypt", "pki": str(folder / "agent"),
            "trust": str(server.certificate),
        }  # fmt: skip
    return device
