"""One device: its options, what its refusals and failures have taught, and the lines that the log
gets once of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from connectors.modbus.denormal import other_readings
from connectors.modbus.failures import Failures, SplitTrial
from connectors.modbus.options import ModbusDevice
from connectors.modbus.plan import AddressSpan, Knowledge, RequestLimits
from connectors.modbus.point import Point
from edge_agent.sdk import Cause

log = logging.getLogger(__name__)

#: Tags named in one line of the log.
_MOST_NAMES: Final = 20


class Unit:
    """What all tables of one device share."""

    def __init__(
        self, device: str, options: ModbusDevice, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.device = device
        self.options = options
        self.now = now
        """Monotonic seconds."""
        self.limits = RequestLimits.of(options)
        self.known = Knowledge()
        self.failures = Failures(self.known)
        self.reported: set[tuple[AddressSpan, int]] = set()
        """Refusals that the log has already."""
        self._denormal: set[str] = set()
        """Tags of which the log has that they read a denormal float."""

    def forget_missing(self) -> None:
        """Ask again for what was missing: a PLC program may have been changed while the connection
        was away."""
        self.known.missing.clear()

    def retry(self) -> None:
        """Ask again for all that is not read now, with the next reads: somebody has looked after
        it."""
        self.forget_missing()
        self.known.costly.update(dict.fromkeys(self.known.costly, 0.0))

    # --- lines of the log -------------------------------------------------------------------------

    def log_plan(self, requests: int, searching: int) -> None:
        """The requests have changed. `searching`: halves of refused ones that are still to be asked
        for."""
        log.info(
            "modbus-plan device=%s unit=%s requests=%s searching=%s",
            self.device, self.options.unit, requests, searching,
        )  # fmt: skip

    def log_refused(self, code: int, tags: Sequence[str], reason: str) -> None:
        """Tags that an exception has made bad for the first time."""
        log.warning(
            "modbus-refused device=%s unit=%s exception=%s count=%s tags=%s reason=%r",
            self.device, self.options.unit, code, len(tags), ",".join(tags[:_MOST_NAMES]), reason,
        )  # fmt: skip

    def log_denormals(self, found: Mapping[str, tuple[float, Point]]) -> None:
        """Denormal floats by their tags: what the other word orders would read, once for each
        tag."""
        for name, (value, point) in found.items():
            if name in self._denormal:
                continue
            self._denormal.add(name)
            readings = other_readings(value, point)
            hint = ", ".join(
                f"word_order {order} would read {other:.6g}" for order, other in readings
            )
            log.warning(
                "modbus-denormal device=%s unit=%s tag=%s value=%.3g order=%s hint=%r",
                self.device, self.options.unit, name, value, point.order, hint or "check the type",
            )  # fmt: skip

    def log_parts(self, tags: Sequence[str], registers: int) -> None:
        """A number is read in parts from now on."""
        log.warning(
            "modbus-parts device=%s unit=%s tags=%s registers=%s now=high-low-high "
            "key='max_registers: 1'",
            self.device, self.options.unit, ",".join(tags), registers,
        )  # fmt: skip

    def log_hole(self, trial: SplitTrial) -> None:
        """A request is asked for in pieces from now on."""
        hull = trial.group.hull
        log.warning(
            "modbus-hole device=%s unit=%s request=%s/%s-%s reason=no-answer now=asked-apart%s",
            self.device, self.options.unit, hull.table, hull.start, hull.end - 1,
            " key='max_gap: 0'" if trial.at_holes else "",
        )  # fmt: skip

    def log_costly(self, tags: Sequence[str], why: Cause) -> None:
        """A span is asked for seldom from now on."""
        log.warning(
            "modbus-costly device=%s unit=%s tags=%s reason=%r now=asked-once-a-minute "
            "next='check the address'",
            self.device, self.options.unit, ",".join(tags[:_MOST_NAMES]), why.en,
        )  # fmt: skip
