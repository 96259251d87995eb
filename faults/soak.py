"""F24: everything at once for long, and nothing may grow."""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.app.status.ask import agent_socket, ask_agent, ask_serve, serve_socket
from edge_agent.config import load
from edge_agent.config.models import Site as Configuration
from edge_agent.control.client import ask
from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.columns import FLOAT
from edge_agent.stores.duckdb.schema import connect
from faults.audit import Verdict, audit
from faults.brokers import Broker
from faults.proxy import Proxy, proxy
from faults.result import FaultResult
from faults.rig import RigProcess, RigSite, plc_device, plcs
from faults.steady import Sample, floors, settled, trend

#: The demo reads 320 values a second from 20 devices: this is ten times as much.
_DEVICES: Final = 8
_TAGS: Final = 8
_EVERY: Final = "20ms"
_FAULT_S: Final = 2.0
#: Against the harness's habit: one log line per cause, as where it runs for years.
_AS_IN_A_PLANT: Final = {"EDGE_AGENT_LOG_ALL": ""}
_WARM_S: Final = 300.0
#: The engine of the store takes a quarter of an hour and more to hold what it will hold; of a
#: shorter run a third.
_FILL_S: Final = {"agent": _WARM_S, "service": 1800.0}
#: Once a minute nothing is harmed for a moment, and memory is looked at.
_REST_EVERY_S: Final = 60.0
_REST_S: Final = 4.0
#: What the store has at the start, as one that has run for long: the engine's share of memory rises
#: with the first ten million or so, and hides in that rise whether anything leaks.
_PAST_ROWS: Final = 20_000_000
#: Counts are looked at by their lowest of each window, so that a passing rise is none.
_WINDOW_S: Final = 120.0
#: A shorter run has too few moments for any slope of memory: it shows losses, and that nothing else
#: grows.
_TELLS_S: Final = _WARM_S + 6 * _REST_EVERY_S
_LIMIT_KB: Final = 100.0
#: Each process must end with no more of these than so many above the least it ever had after the
#: warm-up.
_SPREAD: Final = {"descriptors": 12, "threads": 4, "tasks": 12}


@dataclass
class _Samples:
    """What one process held, over time."""

    child: RigProcess
    rss: list[Sample] = field(default_factory=list)
    rest: list[Sample] = field(default_factory=list)
    """Resident kB in quiet moments, after the process gave its caches back: they would hide a small
    growth."""
    counts: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def take(self, now: float, status: dict[str, object] | None) -> None:
        self.rss.append((now, self.child.rss_kb()))
        process = (status or {}).get("process")
        if isinstance(process, dict):
            for name in _SPREAD:
                self.counts[name].append((now, process[name]))

    def settle(self, now: float, door: Path) -> None:
        self.rest.append((now, ask(door, "settle")["resident_bytes"] / 1024))


def soak(times: int, folder: Path) -> FaultResult:
    """F24: 3200 values a second (ten times the demo) for `times` seconds, a fault every two
    seconds."""
    result = FaultResult(times)
    with (
        plcs(folder, _DEVICES) as (_, ports),
        Broker(folder / "broker") as broker,
        proxy(ports[0]) as plug,
    ):
        listed = [
            plc_device(n, port, _EVERY, _TAGS) for n, port in enumerate([plug.port, *ports[1:]])
        ]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
            since = _past(site.database)
            service, agent = site.service_up(_AS_IN_A_PLANT), site.agent_up(_AS_IN_A_PLANT)
            samples = {"agent": _Samples(agent), "service": _Samples(service)}
            begin = time.monotonic()
            faults = _torment(times, load(site.config()), broker, plug, samples)
            took = time.monotonic() - begin
            site.finish(agent, service, 150)
            verdict = audit(site.witness, site.database, since=since)
            read = sum(len(note.document["values"]) for note in site.witness.notes if note.is_data)
    result.figures |= {"faults": faults, "values a second": round(read / took), **verdict.figures()}
    for name, sampled in samples.items():
        _judge(result, name, sampled)
    _nothing_lost(result, verdict)
    return result


def _past(database: Path) -> int:
    """Fill the store with an hour of samples of a machine that is no more; returns when it is over
    (ns)."""
    now = time.time_ns()
    with connect(database) as store:
        store.execute(
            "insert into series select i, 'plc-past', 'v' || i, '{}' from range(64) past(i)"
        )
        store.execute(
            "insert into samples select i % 64, ?::bigint + (i // 64) * ?::bigint, i % 1000 / "
            "7.0, ?, null, 0, null, ?"
            " from range(?) past(i)",
            [now - HOUR_NS, HOUR_NS * 64 // _PAST_ROWS, FLOAT, now - HOUR_NS, _PAST_ROWS],
        )
        store.execute(
            "insert into newest select i, ?, 0, ?, null, 0, ? from range(64) past(i)",
            [now, FLOAT, now],
        )
    return now


def _torment(
    times: int, config: Configuration, broker: Broker, plug: Proxy, samples: dict[str, _Samples]
) -> int:
    """Returns how many faults there were."""
    chance, down, faults, begin = random.Random(24), False, 0, time.monotonic()
    rest = _REST_EVERY_S
    while (now := time.monotonic() - begin) < times:
        if now >= rest:
            rest += _REST_EVERY_S
            if down:
                plug.up()
            down = False
            time.sleep(_REST_S)  # how long nothing is harmed, not a wait for anything
            samples["agent"].settle(now, agent_socket(config))
            samples["service"].settle(now, serve_socket(config))
        samples["agent"].take(now, ask_agent(config))
        samples["service"].take(now, ask_serve(config))
        time.sleep(_FAULT_S)  # the interval of the faults, not a wait for anything
        faults += 1
        fault = chance.choice(["device", "broker", "freeze-broker", "freeze-service"])
        if fault == "device":
            (plug.up if down else plug.down)()
            down = not down
        elif fault == "broker":
            broker.stop()
            broker.start()
        else:
            _pause(broker if fault == "freeze-broker" else samples["service"].child)
    if down:
        plug.up()
    return faults


def _pause(what: Broker | RigProcess) -> None:
    what.freeze()
    time.sleep(1)  # how long it is frozen, not a wait for anything
    what.go_on()


def _judge(result: FaultResult, name: str, sampled: _Samples) -> None:
    """Slopes of memory, and what the counts end with."""
    _keep(name, sampled)
    rss = settled(sampled.rss, _FILL_S[name])
    memory = trend(settled(sampled.rest, _FILL_S[name]))
    result.figures[f"{name} RSS kB/h"] = str(memory)
    result.figures[f"{name} RSS MB, lowest to highest"] = (
        f"{min(rss, key=_value)[1] / 1024:.1f} to {max(rss, key=_value)[1] / 1024:.1f}"
    )
    result.must(not memory.exceeds(_LIMIT_KB), f"{name} RSS grows by {memory} kB/h")
    if result.times >= _TELLS_S and memory.unresolved(_LIMIT_KB):
        result.late.append(
            f"{name}: a run of this length cannot tell {_LIMIT_KB:g} kB/h from {memory} kB/h"
        )
    for what, spread in _SPREAD.items():
        counts = settled(sampled.counts[what], _WARM_S)
        least = min(value for _, value in counts)
        slope = trend(floors(counts, _WINDOW_S))
        result.figures[f"{name} {what}, least and last"] = f"{least:.0f} and {counts[-1][1]:.0f}"
        result.must(
            counts[-1][1] - least <= spread,
            f"{name}: {what} grew from {least:.0f} to {counts[-1][1]:.0f}",
        )
        result.must(not slope.exceeds(0), f"{name}: {what} grow by {slope} an hour")


def _value(sample: Sample) -> float:
    return sample[1]


def _keep(name: str, sampled: _Samples) -> None:
    """The samples themselves, for who wants to look closer: EDGE_AGENT_SOAK names a folder."""
    if folder := os.environ.get("EDGE_AGENT_SOAK"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for what, samples in (("rss", sampled.rss), ("rest", sampled.rest)):
            lines = [f"{t:.1f},{kb:.0f}" for t, kb in samples]
            text = "\n".join(["seconds,kB", *lines]) + "\n"
            (Path(folder) / f"{name}-{what}.csv").write_text(text, encoding="utf-8")


def _nothing_lost(result: FaultResult, verdict: Verdict) -> None:
    for name in ("lost", "doubled", "altered", "foreign", "holes", "backwards"):
        result.must(getattr(verdict, name) == 0, f"{name}: {getattr(verdict, name)}")
