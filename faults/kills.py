"""F2, F3, F4: the agent, the service and the power go at random moments."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

from edge_agent.outbox import Outbox
from faults import writer
from faults.audit import audit
from faults.brokers import Broker
from faults.power import Disk, disk
from faults.result import FaultResult
from faults.rig import RigProcess, RigSite, module, plant, wait_for
from faults.shim import Shim
from faults.subscriber import subscriber


def agent_killed(times: int, folder: Path) -> FaultResult:
    """F2: kill -9 of the agent between 0.1 and 0.7 s after it read something; it is started again
    at once."""
    result, chance, restarts = FaultResult(times), random.Random(2), []
    with plant(folder) as (site, broker), subscriber(broker.port) as heard:
        service, agent = site.service_up(), site.agent_up()
        most, before = 0, 0
        for _ in range(times):
            # the random moment of the kill, not a wait for anything
            time.sleep(chance.uniform(0.1, 0.7))
            agent.kill()
            begin = time.monotonic()
            agent = site.agent_up()
            restarts.append(time.monotonic() - begin)
            most, before = max(most, heard.repeated - before), heard.repeated
        site.finish(agent, service)
        _judge(result, site)
        result.figures |= {"repeated at most per kill": most}
        result.must(most <= 50, f"{most} repetitions after one kill, the window is 50")
    result.within("restart to first reading, worst s", max(restarts), 5)
    return result


def service_killed(times: int, folder: Path) -> FaultResult:
    """F2: kill -9 of the store service at a random moment, mostly in the middle of a commit."""
    result, chance = FaultResult(times), random.Random(3)
    with plant(folder, every="20ms") as (site, _):
        agent, service = site.agent_up(), site.service_up()
        for _ in range(times):
            # the random moment of the kill, not a wait for anything
            time.sleep(chance.uniform(0.0, 0.6))
            service.kill()
            service = site.service_up()
        site.finish(agent, service)
        _judge(result, site)
    return result


def both_killed(times: int, folder: Path) -> FaultResult:
    """F2: kill -9 of agent, service and broker, whichever chance picks; the broker keeps its
    files."""
    result, chance = FaultResult(times), random.Random(4)
    with plant(folder) as (site, _), Broker(folder / "second") as broker:
        site.broker_port = broker.port
        agent, service = site.agent_up(), site.service_up()
        for _ in range(times):
            # the random moment of the kill, not a wait for anything
            time.sleep(chance.uniform(0.2, 1.0))
            match chance.choice(["agent", "service", "broker"]):
                case "agent":
                    agent.kill()
                    agent = site.agent_up()
                case "service":
                    service.kill()
                    service = site.service()
                case _:
                    broker.kill()
                    broker.start()
        site.finish(agent, service, 150)
        _judge(result, site)
    return result


def power_cut(times: int, folder: Path) -> FaultResult:
    """F3: the agent's disk loses everything unsynced, and the agent with it; nobody repairs
    anything."""
    result, chance, opened = FaultResult(times), random.Random(5), 0
    with (
        disk(folder) as drive,
        plant(folder, outbox=drive.path / "outbox", every="20ms") as (site, _),
    ):
        service, agent = site.service_up(), site.agent_up()
        for _ in range(times):
            # the random moment of the cut, not a wait for anything
            time.sleep(chance.uniform(0.1, 0.8))
            agent.freeze()
            drive.cut()
            agent.kill()
            drive.restore()
            agent = site.agent_up()
            opened += 1
        site.finish(agent, service)
        _judge(result, site, durable_only=True)
    result.figures["opened by itself"] = opened
    return result


def _judge(result: FaultResult, site: RigSite, *, durable_only: bool = False) -> None:
    verdict = audit(site.witness, site.database, durable_only=durable_only)
    result.figures |= verdict.figures()
    result.must(verdict.accepted > 0, "nothing was accepted")
    result.must(
        verdict.lost == 0,
        f"{verdict.lost} of {verdict.accepted} accepted entries are not in the store",
    )
    for name in ("doubled", "altered", "foreign", "holes", "backwards"):
        count = getattr(verdict, name)
        result.must(count == 0, f"{name}: {count}")


def cut_amid_syncs(times: int, folder: Path) -> FaultResult:
    """F4: the power goes while the outbox writes and syncs as fast as it can; read back after each
    cut."""
    result, chance = FaultResult(times), random.Random(6)
    tally = Tally()
    with disk(folder) as drive:
        for _ in range(times):
            box = drive.path / "outbox"
            told = _write_until_cut(
                drive, box, chance.uniform(0.0, 0.15), folder, fsync_ms=0, freeze=False
            )
            drive.restore()
            tally.read(box, told)
    tally.judge(result)
    return result


class Tally:
    """Reads an outbox of `faults.writer` after a fault, and compares."""

    def __init__(self) -> None:
        self.promised = self.lost = self.altered = self.holes = self.gaps = self.opened = 0

    def read(self, folder: Path, told: dict[str, tuple[int, int]]) -> None:
        """Open the outbox, take everything, acknowledge it. `told`: stream -> (last, durable) as
        the writer said."""
        box = Outbox(folder, agent="w", max_bytes=50_000_000, fsync_ms=100)
        self.opened += 1
        found: dict[str, list[int]] = {}
        box.attach()
        entries = list(iter(box.take_backlog, None))
        for entry in entries:
            found.setdefault(entry.stream, []).append(entry.seq)
            self.altered += entry.payload != writer.payload(entry.stream, entry.seq)
        self.gaps += sum(gap.entries for gap in box.gaps())
        for stream, (_, durable) in told.items():
            numbers = found.get(stream, [])
            self.promised += durable
            self.lost += len(set(range(1, durable + 1)) - set(numbers))
            self.holes += bool(numbers) and numbers != list(range(1, numbers[-1] + 1))
        box.acknowledge(entries, release=True)
        box.close_now()

    def judge(self, result: FaultResult) -> None:
        """Enter the figures."""
        result.figures |= {"promised": self.promised, "lost": self.lost, "altered": self.altered}
        result.figures |= {"opened by itself": self.opened}
        result.must(self.promised > 0, "nothing was promised")
        result.must(self.lost == 0, f"{self.lost} synced entries are gone")
        result.must(self.altered == 0, f"{self.altered} altered")
        result.must(self.holes == 0, f"{self.holes} streams with a hole: what is left is no prefix")
        result.must(self.gaps == 0, f"{self.gaps} entries reported as lost")


def _write_until_cut(
    drive: Disk,
    box: Path,
    seconds: float,
    folder: Path,
    *,
    fsync_ms: int,
    freeze: bool,
    env: dict[str, str] | None = None,
) -> dict[str, tuple[int, int]]:
    """Let a writer run, cut the power, kill it: stream -> (last number, last durable number) it
    told before the cut.

    What it tells while the power goes counts for nothing: no program runs on without power, and a
    sync that is caught by the shutdown of the file system may return as if it had succeeded.
    """
    argv = module("faults.writer", box, 50_000_000, fsync_ms, 0.0005)
    notes = folder / f"writer-{time.monotonic_ns()}.txt"
    with notes.open("wb") as out:
        child = RigProcess(argv, folder / "writer.log", env, stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_for(
                lambda: notes.stat().st_size > 0 or not child.alive, 30, "the writer's first entry"
            )
            time.sleep(seconds)  # the random moment of the fault, not a wait for anything
            if freeze:
                child.freeze()
            told = told_by(notes)
            drive.cut()
        finally:
            child.kill()
    return told


def told_by(notes: Path) -> dict[str, tuple[int, int]]:
    """What a writer printed: stream -> (last number, last durable number)."""
    told: dict[str, tuple[int, int]] = {}
    for line in notes.read_text().splitlines():
        match line.split():
            case [stream, seq, durable] if seq.isdigit() and durable.isdigit():
                told[stream] = (int(seq), int(durable))
    return told


def failing_syncs(times: int, folder: Path) -> FaultResult:
    """F6: every second fdatasync fails without having written, then the power goes: nothing is
    promised wrongly."""
    result, chance, tally = FaultResult(times), random.Random(7), Tally()
    shim = Shim(folder)
    with disk(folder) as drive:
        for _ in range(times):
            shim.set(failing_syncs_percent=50)
            box, seconds = drive.path / "outbox", chance.uniform(0.1, 0.6)
            told = _write_until_cut(
                drive, box, seconds, folder, fsync_ms=5, freeze=True, env=shim.env
            )
            drive.restore()
            tally.read(drive.path / "outbox", told)
    tally.judge(result)
    return result
