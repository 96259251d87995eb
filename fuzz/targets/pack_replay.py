"""Evidence packs whose files were altered: replaying them is an answer and no traceback, in little
time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from typing import Final

from edge_agent.production.facts import (
    AssessedDevice,
    CounterReadings,
    DroppedValues,
    MinuteHealth,
    PlannedChange,
    ReadingQuality,
    StateChange,
    WindowFacts,
)
from edge_agent.production.figures import FigureOptions, plant_of
from edge_agent.register.model import Equipment, Process, Register
from edge_agent.report.pack import build as pack
from edge_agent.report.pack.verify import summary, verify
from fuzz.target import FuzzInput, FuzzTarget, demand

_MINUTE: Final = 60_000_000_000
_END: Final = 1_777_881_600_000_000_000
_START: Final = _END - 60 * _MINUTE
_REPLAYED: Final = (
    "options.json",
    "figures.json",
    "register.csv",
    "processes.csv",
    "facts/devices.csv",
    "facts/first_good.csv",
    "facts/health_minutes.csv",
    "facts/states.csv",
    "facts/counters.csv",
    "facts/plan.csv",
    "facts/lateness.csv",
    "facts/quality.csv",
    "facts/gaps.csv",
    "manifest.json",
)


@cache
def _sound() -> dict[str, bytes]:
    """A plant of one machine that worked for an hour."""
    machine = Equipment(
        "EQ-1",
        control_class="cnc",
        digital=True,
        interface="opc_ua",
        networked_declared=True,
        gateway_device="m1",
        line="L1",
        process_id="P1",
    )
    facts = WindowFacts(
        _START,
        _END,
        {"m1": AssessedDevice("m1", line="L1", controller=True, normalised=True)},
        first_good={"m1": _START},
        minutes={"m1": MinuteHealth([[_END, 60_000, 59_000, 60, 59, 59, 1, 60, 0, _END - 9]])},
        states={
            "m1": (
                StateChange(_START, 3, 3, True),
                StateChange(_START + 30 * _MINUTE, 2, 3, None, "x"),
            )
        },
        counters=[
            CounterReadings(
                "m1",
                "produced",
                "n",
                Fraction(1),
                1000,
                ((_START, Fraction(990)), (_END, Fraction(5))),
            ),
            CounterReadings(
                "m1",
                "energy",
                "e",
                Fraction(1, 1000),
                None,
                ((_START, Fraction(5, 2)), (_END, Fraction(9))),
            ),
        ],
        lateness={"m1": {120: 3}},
        quality={"m1": ReadingQuality(60, 1, 0, ("n",), 5)},
        gaps=[DroppedValues(_START, "a", "a/0/1", _START, _END, 7)],
        plan=[PlannedChange("", _START, "shift")],
    )
    plant = plant_of(facts, Register((machine,), (Process("P1", is_key=True),)), FigureOptions())
    return pack.build(plant, pack.PackClaim("P-1", "E", "s", FigureOptions(), _END))


def replay(data: bytes) -> None:
    """A file of the pack edited: a piece of it cut out, and bytes put there. Its hash fits again,
    or not."""
    feed = FuzzInput(data)
    sealed, name = bool(feed.number(2)), _REPLAYED[feed.number(len(_REPLAYED))]
    sound = _sound()
    content = sound[name]
    at, length = feed.number(65536) % (len(content) + 1), feed.number(256)
    content = content[:at] + feed.rest() + content[at + length :]
    files = {**sound, name: content}
    if name == pack.MANIFEST:
        if _refused(files):
            return
    elif sealed:
        manifest = json.loads(sound[pack.MANIFEST])
        for entry in manifest["files"]:
            entry["sha256"] = hashlib.sha256(files[entry["path"]]).hexdigest()
        files[pack.MANIFEST] = json.dumps(manifest).encode()
    checks = verify(files, sound)
    summary(checks)
    altered = content != sound[name] and name != pack.MANIFEST and not sealed
    demand(
        not altered or any(c.name == name and not c.equal for c in checks),
        name,
        "was altered unseen",
    )
    if name == "figures.json" and all(c.equal for c in checks if c.kind in ("figure", "facts")):
        told, known = (
            {f["key"]: f.get("value_exact") for f in json.loads(text)}
            for text in (content, sound[name])
        )
        demand(told == known, "other figures are equal:", told)


def _refused(files: dict[str, bytes]) -> bool:
    """`read_pack` would have refused this manifest before anybody verified the pack."""
    from edge_agent.report.pack.verify import _listed

    try:
        _listed(files[pack.MANIFEST])
    except (ValueError, RecursionError):
        return True
    return False


def _edit(name: str, found: bytes, put: bytes, *, sealed: bool = True) -> bytes:
    at = _sound()[name].index(found)
    return (
        bytes((sealed, _REPLAYED.index(name))) + at.to_bytes(2, "big") + bytes((len(found),)) + put
    )


def _seeds() -> Iterable[bytes]:
    end = str(_END).encode()
    yield bytes((0, 0))
    yield _edit("options.json", end, b"9" * 30)
    yield _edit("options.json", str(_START).encode(), b"-1")
    yield _edit("options.json", b'"0.', b'"1e999999999')
    yield _edit("figures.json", b'"value_exact": "', b'"value_exact": "1')
    yield _edit("facts/counters.csv", b"990", b"1e99999999")
    yield _edit("facts/counters.csv", b"1000", b"0")
    yield _edit("facts/states.csv", b",3,3,", b",4,9,")
    yield _edit("facts/states.csv", str(_START).encode(), b"9" * 40)
    yield _edit("facts/health_minutes.csv", end, b"9" * 25)
    yield _edit("facts/plan.csv", b"shift", b"off")
    yield _edit("facts/lateness.csv", b"120", b"-5")
    yield _edit("register.csv", b"EQ-1", b"", sealed=False)
    yield _edit("manifest.json", b'"sha256"', b'"sha"', sealed=False)
    yield _edit("manifest.json", b'"previous": null', b'"previous": "x"', sealed=False)


TARGETS = (
    FuzzTarget("pack-replay", replay, _seeds, 3_000, longest=120, full=100_000, each=10_000),
)
