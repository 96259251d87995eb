"""F23, F24: a file that changes under a running agent; and everything at once for minutes."""

from __future__ import annotations

import random
import signal
import statistics
import time
from pathlib import Path

from faults.audit import audit
from faults.brokers import Broker
from faults.proxy import proxy
from faults.result import Result
from faults.rig import Child, Site, plc_device, plcs, wait_for


def reloaded(times: int, folder: Path) -> Result:
    """F23: SIGHUP with a faulty file, then with one device changed; the other devices must not notice."""
    result = Result(times)
    with plcs(folder, 20) as (_, ports), Broker(folder / "broker") as broker:
        listed = [plc_device(n, port, "200ms") for n, port in enumerate(ports)]
        with Site(folder, broker.port, listed, folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            site.more_notes(60, 20)
            begin = time.monotonic()
            for turn in range(times):
                config = site.config()
                config.write_text(config.read_text().replace("timeout:", "timeuot:", 1))
                _hang_up(agent, "reload-refused", turn)
                site.devices[0] = plc_device(0, ports[0], "200ms", 6 + turn % 2)
                site.config()
                _hang_up(agent, "reload-applied", turn)
                site.more_notes(20, 10)
            notes = [n for n in site.witness.after(begin) if n.document.get("device") != "plc-00"]
            site.finish(agent, service)
            verdict = audit(site.witness, site.database)
    missed = sum(n.document.get("overruns", 0) for n in notes)
    ended = sum("transition" in n.document for n in notes)
    result.figures |= verdict.figures() | {"missed polls of the others": missed, "their changes of state": ended}
    result.must(ended == 0, f"{ended} changes of state of devices that were not touched")
    result.must(verdict.lost + verdict.doubled + verdict.altered == 0, str(verdict))
    if missed:
        result.late.append(f"missed polls: {missed}")
    return result


def _hang_up(agent: Child, word: str, before: int) -> None:
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: agent.said().count(word) > before, 20, f"the agent's word: {word}")


def soak(times: int, folder: Path) -> Result:
    """F24: ten devices every 20 ms (ten times the demo's rate) for `times` seconds, a fault every two seconds."""
    result, chance = Result(times), random.Random(24)
    with plcs(folder, 10) as (_, ports), Broker(folder / "broker") as broker, proxy(ports[0]) as plug:
        listed = [plc_device(n, port, "20ms") for n, port in enumerate([plug.port, *ports[1:]])]
        with Site(folder, broker.port, listed, folder / "outbox") as site:
            service, agent = site.service_up(), site.agent_up()
            samples: dict[str, list[tuple[float, int, int]]] = {"agent": [], "service": []}
            begin, down = time.monotonic(), False
            while (now := time.monotonic() - begin) < times:
                time.sleep(2)  # the interval of the faults, not a wait for anything
                fault = chance.choice(["device", "broker", "freeze-broker", "freeze-service"])
                if fault == "device":
                    (plug.up if down else plug.down)()
                    down = not down
                elif fault == "broker":
                    broker.stop()
                    broker.start()
                else:
                    _pause(broker if fault == "freeze-broker" else service)
                for name, child in (("agent", agent), ("service", service)):
                    samples[name].append((now, child.rss_kb(), child.fds()))
            site.finish(agent, service, 150)
            verdict = audit(site.witness, site.database)
    result.figures |= verdict.figures()
    for name, rows in samples.items():
        settled = rows[len(rows) // 3 :]  # caches fill in the first third
        slope = statistics.linear_regression([t for t, _, _ in settled], [rss for _, rss, _ in settled]).slope
        result.figures[f"{name} RSS kB/h"] = round(slope * 3600)
        result.figures[f"{name} RSS MB, first to last"] = f"{settled[0][1] // 1024} to {settled[-1][1] // 1024}"
        if slope * 3600 > 100:
            result.late.append(f"{name} RSS grows by {slope * 3600:.0f} kB/h")
        spread = max(fds for *_, fds in settled) - min(fds for *_, fds in settled)
        result.figures[f"{name} descriptors, spread"] = spread
        result.must(spread <= 12, f"{name}: descriptors vary by {spread}")
    for name in ("lost", "doubled", "altered", "foreign", "holes", "backwards"):
        result.must(getattr(verdict, name) == 0, f"{name}: {getattr(verdict, name)}")
    return result


def _pause(what: Broker | Child) -> None:
    what.freeze()
    time.sleep(1)  # how long it is frozen, not a wait for anything
    what.go_on()
