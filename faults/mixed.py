"""F23: a file that changes under a running agent."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from faults.audit import audit
from faults.brokers import Broker
from faults.result import FaultResult
from faults.rig import RigProcess, RigSite, plc_device, plcs, wait_for


def reloaded(times: int, folder: Path) -> FaultResult:
    """F23: SIGHUP with a faulty file, then with one device changed; the other devices must not
    notice."""
    result = FaultResult(times)
    with plcs(folder, 20) as (_, ports), Broker(folder / "broker") as broker:
        listed = [plc_device(n, port, "200ms") for n, port in enumerate(ports)]
        with RigSite(folder, broker.port, listed, folder / "outbox") as site:
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
    result.figures |= verdict.figures() | {
        "missed polls of the others": missed,
        "their changes of state": ended,
    }
    result.must(ended == 0, f"{ended} changes of state of devices that were not touched")
    result.must(verdict.lost + verdict.doubled + verdict.altered == 0, str(verdict))
    if missed:
        result.late.append(f"missed polls: {missed}")
    return result


def _hang_up(agent: RigProcess, word: str, before: int) -> None:
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: agent.said().count(word) > before, 20, f"the agent's word: {word}")
