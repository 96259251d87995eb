"""A site without its machines: simulators for every device of a configuration, and the
configuration that points there.

The simulators are a program of their own (`python -m simulators SPEC.json`); the agent hands them
plain JSON and speaks to them through the wire only, as it does to a machine.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from edge_agent.app.demo.broker import free_port
from edge_agent.clock import Clock
from edge_agent.config import dump, expand
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.errors import FindingsError
from edge_agent.reasons import words_of
from edge_agent.sdk import DevicePlan, Plugin

log = logging.getLogger(__name__)

PROTOCOLS = frozenset({"modbus", "opcua"})
"""What the bundled simulators speak."""
READY_TIMEOUT = 60.0
"""Real seconds until every simulated device listens; a hundred OPC UA nodes take about one."""
STOP_TIMEOUT = 10.0

Faults = Mapping[str, Sequence[Mapping[str, Any]]]
"""Device id -> faults as the simulators take them: `{"kind", "at", "for", "tags"}`, seconds of the
simulated clock."""


class SimulationError(FindingsError):
    """A site cannot be simulated, or the simulators did not start."""


def spec(
    site: Site,
    plans: Sequence[DevicePlan],
    clock: Clock,
    seed: int = 1,
    *,
    faults: Faults | None = None,
    truth: Path | None = None,
) -> dict[str, Any]:
    """What the simulators serve to stand in for every device of a site. Raises SimulationError.

    Devices that share a connection share a port, a serial line or a server, told apart by unit as
    on the real bus. With `truth` the simulators write what the machines were really doing into that
    file.
    """
    plugins = InstalledPlugins()
    configured = {device.id: device for device in site.devices}
    _refuse_unknown(faults or {}, configured)
    devices = []
    for plan in plans:
        device = configured[plan.id]
        plugin = plugins[device.connector]
        devices.append(
            {
                "id": plan.id,
                "line": device.line,
                "profile": device.profile,
                "bus": plugin.connection_key(plan.options),
                **_description(plan, plugin),
                "faults": list((faults or {}).get(plan.id, ())),
            }
        )
    document: dict[str, Any] = {
        "speed": clock.speed,
        "epoch_ns": clock.epoch_ns,
        "seed": seed,
        "devices": devices,
    }
    return document if truth is None else document | {"truth": str(truth)}


def _description(plan: DevicePlan, plugin: Plugin) -> dict[str, Any]:
    description = plugin.describe(plan)
    if description.get("protocol") in PROTOCOLS:
        return description
    raise SimulationError.one(
        "cannot-simulate",
        f"没有 {plugin.name} 协议的模拟器，请在演练用的配置里去掉这台设备。",
        f"there is no simulator for {plugin.name}; leave this device out of the configuration "
        "you rehearse.",
        plan.id,
    )


def _refuse_unknown(faults: Faults, configured: Mapping[str, DeviceCommon]) -> None:
    for device in faults:
        if device not in configured:
            zh = "、".join(configured)
            en = ", ".join(configured)
            raise SimulationError.one(
                "unknown-device",
                f"要注入故障的设备 {device!r} 不在配置里；有：{zh}。",
                f"the device {device!r} to be faulted is not configured; there are: {en}.",
            )


def redirect(
    path: Path | str,
    endpoints: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    *,
    certificates: Mapping[str, str] | None = None,
) -> str:
    """The YAML text of a configuration with every simulated device pointing at its simulator.

    Templates and includes come written out and paths absolute, so the text may be saved anywhere;
    unit ids, tags and profiles stay. `overrides` is laid over the top-level mappings (`{"mqtt":
    {"url": ...}}`); `certificates` are those of simulators that protect their channel, to be
    trusted by device id.
    """
    document = expand(path)
    plugins = InstalledPlugins()
    for device in document["devices"]:
        name = str(device["id"])
        connector = device["connector"]
        if name in endpoints:
            device[plugins[connector].endpoint_key] = endpoints[name]
            if "identify" in plugins[connector].device_options.model_fields:
                device[
                    "identify"
                ] = []  # a stand-in is not the device, and need not know its constants
        if certificates is not None and name in certificates:
            _trust(device, document.get("defaults", {}).get(connector, {}), certificates[name])
    for key in ("agent", "store", "console"):
        _listen_elsewhere(document.get(key))
    for key, values in (overrides or {}).items():
        document[key] = {**(document.get(key) or {}), **values}
    return dump(document)


def _listen_elsewhere(section: Any) -> None:
    """Where this section listens, wherever in it that is said: the same address with a port that is
    free now."""
    if not isinstance(section, dict):
        return
    for key, value in section.items():
        if key == "listen" and isinstance(value, str):
            section[key] = f"{value.rpartition(':')[0]}:{free_port()}"
        else:
            _listen_elsewhere(value)


def _trust(device: dict[str, Any], defaults: Mapping[str, Any], certificate: str) -> None:
    """Let a device accept its simulator's certificate; what it asks of the channel otherwise
    stays."""
    if device["connector"] == "opcua":
        # A device's `security` replaces that of `defaults` as a whole, so both are written out
        # here.
        device["security"] = {
            **defaults.get("security", {}),
            **device.get("security", {}),
            "trust": certificate,
        }
    else:
        device["ca"] = certificate


def apart(site: Site, config: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Overrides that keep a rehearsal out of the real thing's way, on the same broker and the same
    disk.

    Its own topics, so nobody takes a simulated value for a measured one; its own client id, since a
    broker ends the older of two equal ones; its own outbox; and its own embedded store, whatever
    the site stores into. `config` is what is simulated, `out` the file that says so: of several in
    one folder each has its own data.
    """
    name = out.name.removesuffix(out.suffix).removesuffix(".simulated")
    if out.absolute().parent != config.absolute().parent:
        name += (
            "-"
            + blake2b(
                str(out.absolute()).encode("utf-8", "surrogateescape"), digest_size=4
            ).hexdigest()
        )
    folder = site.outbox.path.parent / "simulated" / name
    return {
        "mqtt": {
            "topic_prefix": f"{site.mqtt.topic_prefix}-simulated",
            "client_id": f"{site.mqtt.client_id or site.agent.id}-simulated",
        },
        "outbox": {"path": str(folder / "outbox")},
        "store": {
            "kind": "duckdb",
            "path": str(folder / "store.duckdb"),
            "quarantine": str(folder / "quarantine"),
        },
    }


def save(path: Path, text: str) -> None:
    """Write the redirected configuration. Raises SimulationError when it cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        why_zh, why_en = words_of(error)
        raise SimulationError.one(
            "cannot-write",
            f"无法写入（{why_zh}），请用 --out 指定别处。",
            f"cannot be written ({why_en}); name another place with --out.",
            str(path),
        ) from error


class SimulatorProcess:
    """The simulators as one child process, owned by whoever started it."""

    def __init__(self, log_file: Path | None = None) -> None:
        self.certificates: dict[str, str] = {}
        """Device id -> PEM file of its simulator, where the channel is protected; the files end
        with the simulators."""
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, spec: Mapping[str, Any]) -> dict[str, str]:
        """Start the child and wait until all devices listen; device id -> url. Raises
        SimulationError."""
        with tempfile.NamedTemporaryFile(prefix="edge-agent-", suffix=".json") as file:
            file.write(orjson.dumps(spec))
            file.flush()
            self._process = process = await self._spawn(file.name)
            try:
                endpoints, self.certificates = await _ready(process)
            except BaseException:
                await self.stop()
                raise
        log.info("simulators-ready devices=%d pid=%d", len(endpoints), process.pid)
        return endpoints

    async def _spawn(self, spec: str) -> asyncio.subprocess.Process:
        # The child ends when its standard input closes, so it cannot outlive this process, however
        # that ends.
        stderr: BinaryIO | None = self._log_file.open("ab") if self._log_file else None
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "simulators", spec),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                # Ctrl-C reaches the parent alone, which then stops the child in order
                start_new_session=True,
            )
        finally:
            if stderr is not None:
                stderr.close()

    async def inject(
        self, device: str, kind: str, seconds: float | None = None, tags: Sequence[str] = ()
    ) -> None:
        """Start a fault now, for `seconds` of the simulated clock or until `clear`; of some tags or
        all."""
        if self._process is None or self._process.stdin is None:
            raise ValueError("the simulators do not run")
        fault: dict[str, Any] = {"device": device, "kind": kind, "tags": list(tags)}
        self._process.stdin.write(
            orjson.dumps(fault | ({} if seconds is None else {"for": seconds})) + b"\n"
        )
        await self._process.stdin.drain()

    async def wait(self) -> int:
        """The child's exit status, once it has ended."""
        return 0 if self._process is None else await self._process.wait()

    async def stop(self) -> None:
        """End the child in order, by force if it does not; may be called at any time, also
        twice."""
        process = self._process
        self._process = None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            log.warning("simulators-killed pid=%d", process.pid)
            process.kill()
            await process.wait()


async def _ready(process: asyncio.subprocess.Process) -> tuple[dict[str, str], dict[str, str]]:
    """Endpoints and certificates, from the one line the simulators print. Raises
    SimulationError."""
    if process.stdout is None:
        raise ValueError("the child's standard output must be a pipe")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT)
        ready = orjson.loads(line)
        return ready["endpoints"], ready.get("certificates", {})
    except (TimeoutError, orjson.JSONDecodeError, KeyError) as error:
        raise SimulationError.one(
            "simulators-not-ready",
            "模拟器没有就绪，原因见上面的输出或模拟器日志。",
            "the simulators did not become ready; the reason stands in the output above or in "
            "their log.",
        ) from error
