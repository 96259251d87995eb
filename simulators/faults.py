"""Faults on demand: which kinds there are, when they are active, and what they do to values.

A fault comes from the SPEC (`"faults": [{"kind", "at", "for", ...}]`) or at run time from a JSON
line on stdin (`{"device", "kind", "for", ...}`). Times are simulated seconds. The servers ask
`active`; nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from simulators.spec import FaultSpec, SpecError

#: On the connection: nothing answers / connections accepted and never served / port closed.
LINK: Final = frozenset({"timeout", "half_open", "offline"})
#: In the answers of a Modbus device.
REPLY: Final = frozenset({"slave_timeout", "illegal_address"})
#: In the values.
VALUE: Final = frozenset({"word_swap", "nan", "sentinel", "frozen", "gbk_names"})
#: In what OPC UA says about a value.
STATUS: Final = frozenset({"clock_jump", "bad_status", "uncertain_status"})
#: Done once, at the start.
EVENTS: Final = frozenset({"session_drop", "server_restart", "rollover", "counter_reset"})
#: `{"device", "kind": "clear"}` ends every fault of the device.
CLEAR: Final = "clear"
KINDS: Final = LINK | REPLY | VALUE | STATUS | EVENTS

_OPCUA_ONLY: Final = STATUS
_MODBUS_ONLY: Final = REPLY | {"word_swap", "sentinel"}


class FaultBoard:
    """The faults of one device: scheduled, active, and the events that just happened."""

    def __init__(self, device: str, protocol: str, faults: Iterable[FaultSpec] = ()) -> None:
        self.device = device
        self.protocol = protocol
        self.version = 0
        """Counts changes, so that servers know when to look again."""
        self._waiting: list[FaultSpec] = []
        self._active: dict[str, FaultSpec] = {}
        for fault in faults:
            self.add(fault)

    def add(self, fault: FaultSpec) -> None:
        """Schedule a fault. Raises SpecError for a kind that does not exist or not on this
        protocol."""
        wrong = _OPCUA_ONLY if self.protocol == "modbus" else _MODBUS_ONLY
        if fault.kind not in KINDS and fault.kind != CLEAR:
            known = ", ".join(sorted(KINDS))
            raise SpecError(
                f"没有 {fault.kind} 这种故障，可用：{known} / no fault {fault.kind}, known are "
                f"{known}"
            )
        if fault.kind in wrong:
            raise SpecError(
                f"{fault.kind} 不适用于 {self.protocol} / {fault.kind} does not exist on "
                f"{self.protocol}"
            )
        self._waiting.append(fault)

    def update(self, t: float) -> list[FaultSpec]:
        """Start and end what is due at `t`; returns the events that happen now."""
        ended = [kind for kind, fault in self._active.items() if _end(fault) <= t]
        for kind in ended:
            del self._active[kind]
        due = [fault for fault in self._waiting if fault.at <= t]
        events = []
        for fault in due:
            self._waiting.remove(fault)
            if fault.kind == CLEAR:
                self._active.clear()
            elif fault.kind in EVENTS:
                events.append(fault)
            elif _end(fault) > t:
                self._active[fault.kind] = fault
        self.version += bool(ended or due)
        return events

    def active(self, kind: str) -> FaultSpec | None:
        """The active fault of a kind."""
        return self._active.get(kind)

    def hits(self, kind: str, tag: str) -> bool:
        """Whether an active fault of a kind is about a tag."""
        fault = self._active.get(kind)
        return fault is not None and (not fault.tags or tag in fault.tags)

    def any_active(self, kinds: Iterable[str]) -> bool:
        """Whether any of these kinds is active."""
        return not self._active.keys().isdisjoint(kinds)


def _end(fault: FaultSpec) -> float:
    return float("inf") if fault.duration is None else fault.at + fault.duration


class CounterOffsets:
    """What a counter fault leaves behind: each tag's own bend of its count."""

    def __init__(self) -> None:
        self._bends: dict[str, Callable[[float], float]] = {}

    def reset(self, tag: str, now: float) -> None:
        """The counter starts again from 0."""
        self._bends[tag] = lambda value: value - now

    def roll_over(self, tag: str, now: float, modulus: float, resolution: float) -> None:
        """The counter is moved to five counts below its end and wraps there to 0."""
        ahead = modulus - 5.0 * resolution - now
        self._bends[tag] = lambda value: (value + ahead) % modulus

    def bent(self, tag: str, value: float) -> float:
        """The value a tag's counter shows."""
        bend = self._bends.get(tag)
        return value if bend is None else bend(value)
