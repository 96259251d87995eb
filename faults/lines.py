"""F10 to F14: black holes, resets, loss, a slow line, latency. In a network namespace of the row's
own."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_agent.app.status.ask import ask_agent
from edge_agent.config import load
from edge_agent.config.models import Site as Configuration
from faults import network
from faults.audit import audit
from faults.brokers import Broker
from faults.proxy import proxy
from faults.result import FaultResult
from faults.rig import RigProcess, RigSite, free_port, module, plc_device, plcs, wait_for
from faults.subscriber import subscriber
from tests.support.servers import influxdb1

_KEEPALIVE = 2
#: The devices' and the store's own time-outs: of the Modbus device as `plc_device` sets it, the
#: others by default.
_TIMEOUT, _OPCUA_TIMEOUT, _STORE_TIMEOUT = 0.5, 4.0, 5.0


@contextlib.contextmanager
def _opcua(folder: Path) -> Iterator[tuple[int, Callable[..., dict[str, Any]]]]:
    """A real OPC UA server with 20 variables that change every 100 ms, and its entry in the
    configuration."""
    port = free_port()
    argv = module("benchmarks.opcua_server", port, 20, 100)
    child = RigProcess(argv, folder / "opcua.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def device(number: int, at: int = port) -> dict[str, Any]:
        return {
            "id": f"ua-{number:02}",
            "line": "L1",
            "connector": "opcua",
            "endpoint": f"opc.tcp://127.0.0.1:{at}/bench",
            "every": "100ms",
            "publishing_ms": 100,
            "tags": {f"v{i}": {"node": f"ns=2;s=v{i}"} for i in range(20)},
        }

    try:
        assert child.process.stdout is not None
        child.process.stdout.readline()
        yield port, device
    finally:
        child.stop()


@contextlib.contextmanager
def _site(folder: Path, **changes: dict[str, Any]) -> Iterator[tuple[RigSite, int, int, Broker]]:
    """One Modbus device, one OPC UA device, broker, site: with the ports of PLC and OPC UA
    server."""
    with (
        plcs(folder, 1) as (_, ports),
        _opcua(folder) as (ua, device),
        Broker(folder / "broker") as broker,
    ):
        listed = [plc_device(0, ports[0]), device(1)]
        with RigSite(folder, broker.port, listed, folder / "outbox", changes) as site:
            yield site, ports[0], ua, broker


def black_holes(times: int, folder: Path) -> FaultResult:
    """F10: every packet to PLC, OPC UA server and broker vanishes for some seconds, one after the
    other."""
    result = FaultResult(times)
    detect: dict[str, float] = {"PLC": 0, "OPC UA": 0, "broker": 0}
    recover = dict(detect)
    with _site(folder) as (site, plc, ua, broker):
        service, agent = site.service_up(), site.agent_up()
        _online(site, "plc-00")
        _online(site, "ua-01")
        for _ in range(times):
            for name, device, port in (("PLC", "plc-00", plc), ("OPC UA", "ua-01", ua)):
                with network.black_hole(port):
                    detect[name] = max(detect[name], _transition(site, device, "offline", 40))
                    time.sleep(1)  # how much longer it lasts, not a wait for anything
                recover[name] = max(recover[name], _transition(site, device, "online", 40))
            found, back = _broker_hole(site, agent, broker.port)
            detect["broker"], recover["broker"] = (
                max(detect["broker"], found),
                max(recover["broker"], back),
            )
        site.finish(agent, service)
        verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    for name, limit in (
        ("PLC", 2 * _TIMEOUT),
        ("OPC UA", 2 * _OPCUA_TIMEOUT),
        ("broker", 3 * _KEEPALIVE),
    ):
        result.within(f"{name} noticed s", detect[name], limit)
        result.within(f"{name} back s", recover[name], 2.0)
    _nothing_lost(result, verdict)
    return result


def _broker_hole(site: RigSite, agent: RigProcess, port: int) -> tuple[float, float]:
    """Seconds until the agent says that the broker is away, and after the end until it acknowledges
    again.

    By the agent's word: a subscriber of ours sits in the same black hole, and its own TCP waits
    seconds longer.
    """
    before, begin = agent.said().count("mqtt-unavailable"), time.monotonic()
    with network.black_hole(port):
        wait_for(lambda: agent.said().count("mqtt-unavailable") > before, 40, "the agent's word")
        found = time.monotonic() - begin
        time.sleep(1)  # how much longer it lasts, not a wait for anything
    healed = time.monotonic()
    site_now = load(site.config())
    wait_for(lambda: _acknowledged_since(site_now, healed), 40, "the broker's acknowledgement")
    return found, time.monotonic() - healed


def _acknowledged_since(site: Configuration, moment: float) -> bool:
    age = (ask_agent(site) or {}).get("ack_age_s")
    return age is not None and age < time.monotonic() - moment


def store_black_hole(times: int, folder: Path) -> FaultResult:
    """F10: every packet to the InfluxDB server vanishes; the service notices, holds back, and loses
    nothing."""
    result, noticed, back = FaultResult(times), 0.0, 0.0
    with influxdb1(folder / "influx") as server:
        store = {"kind": "influxdb1", "url": f"http://127.0.0.1:{server.port}", "bucket": "edge"}
        with _site(folder, store=store) as (site, _, _, _):
            service, agent = site.service_up(), site.agent_up()
            site.settle(60)
            for _ in range(times):
                said, begin = service.said().count("store-away"), time.monotonic()
                with network.black_hole(server.port):
                    _wait_said(service, "store-away", said)
                    noticed = max(noticed, time.monotonic() - begin)
                healed = time.monotonic()
                site.settle(90)
                back = max(back, time.monotonic() - healed)
            agent.stop()
            site.settle(60)
            left = site.missing(time.monotonic())
            result.figures |= {"accepted": site.witness.size(), "not in the store": left}
            result.must(left == 0, f"{left} not in the store")
    result.within("noticed s", noticed, 2 * _STORE_TIMEOUT)
    result.within("back s", back, 2.0)
    return result


def resets(times: int, folder: Path) -> FaultResult:
    """F11: every packet to PLC, OPC UA server and broker is answered by a reset, for 2 s."""
    result, back = FaultResult(times), {"PLC": 0.0, "OPC UA": 0.0, "broker": 0.0}
    with _site(folder) as (site, plc, ua, broker), subscriber(broker.port) as heard:
        service, agent = site.service_up(), site.agent_up()
        _online(site, "ua-01")
        for _ in range(times):
            for name, device, port in (("PLC", "plc-00", plc), ("OPC UA", "ua-01", ua)):
                with network.resets(port):
                    _transition(site, device, "offline", 20)
                    time.sleep(1)  # how much longer it lasts, not a wait for anything
                back[name] = max(back[name], _transition(site, device, "online", 20))
            with network.resets(broker.port):
                time.sleep(2)  # how long it lasts, not a wait for anything
            healed = time.monotonic()
            wait_for(lambda: heard.age() < 1, 40, "live data again")
            back["broker"] = max(back["broker"], time.monotonic() - healed)
        site.finish(agent, service)
        verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    for name, seconds in back.items():
        result.within(f"{name} back s", seconds, 2.0)
    _nothing_lost(result, verdict)
    return result


def packet_loss(times: int, folder: Path) -> FaultResult:
    """F12: 1, 5 and 20 % of the packets to PLC and broker vanish, each way, for `times` seconds
    each."""
    result = FaultResult(times)
    with _site(folder) as (site, plc, _, broker):
        service, agent = site.service_up(), site.agent_up()
        clean = _rate(site, times)
        for share in (0.01, 0.05, 0.2):
            with network.loss(plc, share), network.loss(broker.port, share):
                result.figures[f"throughput at {share:.0%}"] = round(_rate(site, times) / clean, 2)
        site.finish(agent, service)
        verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    _nothing_lost(result, verdict)
    return result


def _wait_said(child: RigProcess, word: str, before: int) -> None:
    wait_for(lambda: child.said().count(word) > before, 60, f"its word: {word}")


def _rate(site: RigSite, seconds: float) -> float:
    """Readings of the Modbus device a second."""
    begin = time.monotonic()
    time.sleep(seconds)  # how long it is measured, not a wait for anything
    notes = [n for n in site.witness.after(begin) if n.is_data and n.document["device"] == "plc-00"]
    return len(notes) / seconds


def slow_broker(times: int, folder: Path) -> FaultResult:
    """F13: more is read than a line of 1 Mbit/s to the broker takes, for `times` seconds; then the
    line is free."""
    result = FaultResult(times)
    with (
        plcs(folder, 4) as (_, ports),
        Broker(folder / "broker") as broker,
        proxy(broker.port) as line,
    ):
        listed = [plc_device(n, port, "20ms", 40) for n, port in enumerate(ports)]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            service = site.service_up()
            site.broker_port = line.port  # only the agent's line is slow
            agent = site.agent_up()
            time.sleep(3)  # until caches are warm, not a wait for anything
            start = agent.rss_kb()
            most, begin = start, time.monotonic()
            line.bytes_per_s = 125_000
            while time.monotonic() - begin < times:
                time.sleep(0.5)  # the interval of this measurement
                most = max(most, agent.rss_kb())
            result.figures["left behind on disk kB"] = (
                sum(p.stat().st_size for p in site.outbox.glob("*.seg")) // 1024
            )
            line.bytes_per_s = 0
            healed = time.monotonic()
            site.settle(120)
            result.figures["all in the store after s"] = round(time.monotonic() - healed, 1)
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures() | {"RSS growth MB": round((most - start) / 1024, 1)}
    result.must(most - start < 20 * 1024, f"RSS grew by {(most - start) / 1024:.0f} MB")
    _nothing_lost(result, verdict)
    return result


def latency(times: int, folder: Path) -> FaultResult:
    """F14: 200 ms, and 2 s with jitter, to PLC, OPC UA server and broker, for `times` seconds each:
    no disconnect."""
    result = FaultResult(times)
    with contextlib.ExitStack() as stack:
        _, ports = stack.enter_context(plcs(folder, 1))
        ua, device = stack.enter_context(_opcua(folder))
        broker = stack.enter_context(Broker(folder / "broker"))
        plc, server, line = (
            stack.enter_context(proxy(port)) for port in (ports[0], ua, broker.port)
        )
        listed = [plc_device(0, plc.port, timeout="6s"), device(1, server.port)]
        with RigSite(
            folder, line.port, listed, folder / "outbox", {"mqtt": {"keepalive": 10}}
        ) as site:
            service, agent = site.service_up(), site.agent_up()
            _online(site, "ua-01")
            for delay, jitter in ((0.2, 0.05), (2.0, 0.5)):
                for one in (plc, server, line):
                    one.delay, one.jitter = delay / 2, jitter / 2
                before = _losses(agent, service)
                time.sleep(times)  # how long it is measured, not a wait for anything
                lost = _losses(agent, service) - before
                result.figures[f"false disconnects at {delay:g} s"] = lost
                result.must(lost == 0, f"{lost} disconnects at {delay:g} s of latency")
            for one in (plc, server, line):
                one.delay = one.jitter = 0.0
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    _nothing_lost(result, verdict)
    return result


def _losses(agent: RigProcess, service: RigProcess) -> int:
    said = agent.said()
    return (
        said.count("connection-lost")
        + said.count("mqtt-unavailable")
        + service.said().count("broker-away")
    )


def _online(site: RigSite, device: str) -> None:
    wait_for(lambda: _state(site, device) == "online", 40, f"{device} to be online")


def _state(site: RigSite, device: str) -> str:
    for note in reversed(site.witness.read()):
        if note.document.get("device") == device and "state" in note.document:
            return str(note.document["state"])
    return ""


def _transition(site: RigSite, device: str, state: str, limit: float) -> float:
    """Seconds until the device's health says so."""
    return wait_for(lambda: _state(site, device) == state, limit, f"{device} to be {state}")


def _nothing_lost(result: FaultResult, verdict: Any) -> None:
    for name in ("lost", "doubled", "altered", "foreign", "holes"):
        count = getattr(verdict, name)
        result.must(count == 0, f"{name}: {count}")
