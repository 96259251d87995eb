"""F1, F9, F21, F22: broker and store away, clocks that jump, the orderly end."""

from __future__ import annotations

import random
import time
from pathlib import Path

from edge_agent.outbox import Outbox
from faults.audit import Verdict, audit
from faults.brokers import Broker
from faults.result import FaultResult
from faults.rig import RigProcess, RigSite, plc_device, plcs, wait_for
from faults.shim import Shim
from faults.subscriber import subscriber

_LIVE_S = 2.0


def broker_stopped(times: int, folder: Path) -> FaultResult:
    """F1: the broker is stopped and frozen in turn; a preloaded backlog of an earlier life drains
    beside live data."""
    return _broker_away(times, folder, "mosquitto")


def nats_stopped(times: int, folder: Path) -> FaultResult:
    """F1 with nats-server."""
    return _broker_away(times, folder, "nats")


def _broker_away(times: int, folder: Path, kind: str) -> FaultResult:
    result = FaultResult(times)
    with plcs(folder, 2) as (_, ports), Broker(folder / "broker", kind) as broker:
        listed = [plc_device(n, port) for n, port in enumerate(ports)]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            service = site.service_up()
            backlog = _preload(site, 20_000)
            begin, agent = time.monotonic(), site.agent_up()
            with subscriber(broker.port) as heard:
                wait_for(lambda: _age(site) < _LIVE_S, 30, "live data beside the backlog")
                fresh = [time.monotonic() - begin]
                wait_for(
                    lambda: _stored(site, backlog) >= 20_000, 120, "the backlog in the store", 0.2
                )
                result.figures["backlog, messages/s"] = round(20_000 / (time.monotonic() - begin))
                for turn in range(times):
                    away = (
                        (broker.freeze, broker.go_on) if turn % 2 else (broker.stop, broker.start)
                    )
                    away[0]()
                    time.sleep(6)  # how long the broker is away, not a wait for anything
                    away[1]()
                    back = time.monotonic()
                    wait_for(lambda: _age(site) < _LIVE_S, 60, "live data after the outage")
                    fresh.append(time.monotonic() - back)
            site.finish(agent, service, 120)
            verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures() | {"repeated": heard.repeated}
    result.within("fresh values in the store after s, worst", max(fresh), _LIVE_S)
    _nothing_wrong(result, verdict)
    return result


def _preload(site: RigSite, count: int) -> str:
    """The outbox of an agent that could not send for hours: documents of a device that is not read
    any more."""
    box = Outbox(site.outbox, agent="ipc-01", max_bytes=50_000_000, fsync_ms=100)
    start = time.time_ns() - 36_000 * 10**9
    for seq in range(1, count + 1):
        t = start + seq * 10**9
        tail = b',"ts":%d,"t":%d,"values":{"a":%d,"b":0.5}}' % (t // 10**6, t, seq)
        head = b'{"v":1,"device":"old-01","stream":"%b","seq":' % box.stream.encode()
        box.append("edge/enterprise/site/area/L1/old-01/data", head, tail, t, 2)
        site.witness.add(box.stream, seq, head + b"%d" % seq + tail)
    box.close_now()
    return box.stream


def _age(site: RigSite) -> float:
    """Seconds since the newest stored value of a living device was read."""
    latest = site.ask("latest") or {}
    times = [
        newest["t"]
        for device, tags in latest.items()
        if device != "old-01"
        for newest in tags.values()
    ]
    return time.time() - max(times, default=0) / 1e9


def _stored(site: RigSite, stream: str) -> int:
    marks = site.ask("marks") or {}
    return sum(last - first + 1 for first, last in marks.get(stream, ()))


def broker_forgets(times: int, folder: Path) -> FaultResult:
    """F1: the broker loses power and all its files, what it had acknowledged included (`confirm:
    store`)."""
    result = FaultResult(times)
    with plcs(folder, 2) as (_, ports), Broker(folder / "broker") as broker:
        listed = [plc_device(n, port) for n, port in enumerate(ports)]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            for _ in range(times):
                service.freeze()  # so that the broker holds what the store has not
                time.sleep(1.5)  # how long it may gather, not a wait for anything
                broker.forget()
                service.go_on()
                broker.start()
            site.finish(agent, service, 150)
            verdict = audit(site.witness, site.database)
            result.figures |= verdict.figures()
            result.figures["sent again"] = agent.said().count("mqtt-sends-again")
    _nothing_wrong(result, verdict)
    return result


def service_away(times: int, folder: Path) -> FaultResult:
    """F21: the store service is frozen and stopped in turn for seconds, while the agent goes on."""
    result = FaultResult(times)
    with plcs(folder, 2) as (_, ports), Broker(folder / "broker") as broker:
        listed = [plc_device(n, port, "20ms") for n, port in enumerate(ports)]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            for turn in range(times):
                if turn % 2:
                    service.freeze()
                    time.sleep(4)  # how long it is away, not a wait for anything
                    service.go_on()
                else:
                    service.stop()
                    time.sleep(4)  # how long it is away, not a wait for anything
                    service = site.service_up()
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    _nothing_wrong(result, verdict)
    return result


def clock_jumps(times: int, folder: Path) -> FaultResult:
    """F9: the wall clock jumps by +1 h, -2 h, to 1970, and back, under agent and service; started
    in 1970 too."""
    result, shim = FaultResult(times), Shim(folder)
    to_1970 = -int(time.time())
    with plcs(folder, 2) as (_, ports), Broker(folder / "broker") as broker:
        listed = [plc_device(n, port, "100ms") for n, port in enumerate(ports)]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            shim.set(clock_offset_s=to_1970)
            service, agent = site.service_up(shim.env), site.agent_up(shim.env)
            for _ in range(times):
                for offset in (3600, -7200, to_1970, 0):
                    shim.set(clock_offset_s=offset)
                    site.more_notes(30, 20)
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
            pauses = _pauses(site)
            negative = _negative(site)
    result.figures |= verdict.figures() | {"jumps": 4 * times, "negative durations": negative}
    result.within("longest pause between readings s (period 0.1)", max(pauses), 0.5)
    verdict.backwards = (
        0  # read times follow the wall clock, that is what it showed; the sequence is what orders
    )
    _nothing_wrong(result, verdict)
    result.must(negative == 0, f"{negative} negative durations in the health series")
    return result


def _pauses(site: RigSite) -> list[float]:
    newest: dict[str, int] = {}
    pauses = []
    for note in site.witness.read():
        if note.is_data:
            device = note.document["device"]
            pauses.append((note.at - newest.get(device, note.at)) / 1e9)
            newest[device] = note.at
    return pauses


def _negative(site: RigSite) -> int:
    keys = ("period_s", "scheduled_s", "covered_s", "latency_ms", "latency_max_ms")
    rows = [note.document for note in site.witness.read() if "due" in note.document]
    # no request in the interval: no latency
    return sum((row.get(key) or 0) < 0 for row in rows for key in keys)


def orderly_end(times: int, folder: Path) -> FaultResult:
    """F22: SIGTERM of agent and service under load, again and again."""
    result, chance, ends = FaultResult(times), random.Random(22), []
    with plcs(folder, 4) as (_, ports), Broker(folder / "broker") as broker:
        listed = [plc_device(n, port, "20ms") for n, port in enumerate(ports)]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            for _ in range(times):
                # the random moment of the signal, not a wait for anything
                time.sleep(chance.uniform(0.2, 0.8))
                ends.append(_end(result, agent))
                agent = site.agent_up()
                ends.append(_end(result, service))
                service = site.service_up()
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    result.within("exit, worst s", max(ends), 5)
    _nothing_wrong(result, verdict)
    return result


def _end(result: FaultResult, child: RigProcess) -> float:
    seconds = child.stop()
    result.must(
        child.process.returncode == 0, f"exit status {child.process.returncode} after SIGTERM"
    )
    return seconds


def _nothing_wrong(result: FaultResult, verdict: Verdict) -> None:
    for name in ("lost", "doubled", "altered", "foreign", "holes", "backwards"):
        count = getattr(verdict, name)
        result.must(count == 0, f"{name}: {count}")
