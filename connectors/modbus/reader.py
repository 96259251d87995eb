"""One table of one device, compiled: which requests to send, what their replies mean, and what to ask next. No I/O.

A read is a few *waves*: the plan's requests, and, only where the device refused some, the halves of those. Replies
fill columns; what a refusal teaches changes the plan for the next read.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from connectors.modbus.denormal import other_readings
from connectors.modbus.frame import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, Request, exception_cause
from connectors.modbus.layout import Ask, layout_of
from connectors.modbus.line import Reply
from connectors.modbus.options import ModbusDevice
from connectors.modbus.plan import Group, Knowledge, Limits, Span, accepted, plan, refused
from connectors.modbus.raw import raw_text
from edge_agent.sdk import STATUS, Batch, Cause, DeviceError, TagTable, Value

log = logging.getLogger(__name__)

#: Requests of one read spent on searching for what a device refuses. A table that lies wholly outside the device's
#: map would else take a slow bus for many seconds; the search goes on in the next read.
SEARCH_BUDGET: Final = 24

#: Every so many reads one missing value is asked for again: PLC programs change while we are connected.
REASK: Final = 64

#: Refusals that speak of the addresses or of how many of them: smaller requests may be accepted.
_DIVISIBLE: Final = frozenset({ILLEGAL_ADDRESS, ILLEGAL_VALUE})


class Unit:
    """What all tables of one device share: its options and what its refusals have taught."""

    def __init__(self, device: str, options: ModbusDevice) -> None:
        self.device = device
        self.options = options
        self.limits = Limits.of(options)
        self.known = Knowledge()
        self.reported: set[tuple[Span, int]] = set()
        """Refusals that the log has already."""
        self.denormal: set[str] = set()
        """Tags of which the log has that they read a denormal float."""

    def forget_missing(self) -> None:
        """Ask again for what was missing: a PLC program may have been changed while the connection was away."""
        self.known.missing.clear()


class Reader:
    """Reads one table, again and again."""

    def __init__(self, table: TagTable, unit: Unit) -> None:
        self._table = table
        self._width = len(table)
        self._unit = unit
        self._news: dict[int, list[str]] = defaultdict(list)
        """Exception code -> tags that it made bad for the first time."""
        self._reasons: dict[int, str] = {}
        """Exception code -> the sentence for the first of them."""
        self._layout = layout_of(table, unit.options)
        self._by_span = self._layout.points
        self._singles = self._layout.singles
        self._asks: list[Ask] = []
        self._requests: list[Request] = []
        self._halves: list[Group] = []
        """Halves of refused requests that are still to be asked for, in this read or the next."""
        self._missing: list[Span] = []
        self._unread: dict[int, int] = {}
        """Status of the tags that the plan does not read."""
        self._refusals: dict[int, Cause] = {}
        """Why, of those of them that the device refused."""
        self._reads = 0
        self._finished = True
        self._answers: list[tuple[Sequence[Ask], Sequence[Reply]]] = []
        self._last_answers = self._answers
        self.replan()
        self._values: list[Value]
        self._begin()
        self._values = []  # room for them is made by `first`

    def replan(self) -> None:
        """Make the plan anew from what is known of the device by now."""
        self._halves = []
        self._learnt = False
        known = self._unit.known
        if known.barriers or known.missing:
            self._follow([self._layout.ask(group) for group in plan(self._by_span, self._unit.limits, known)])
        else:  # as with every other device that is read alike
            self._asks, self._requests = self._layout.asks, self._layout.requests
            self._missing, self._unread, self._refusals = [], {}, {}

    def _follow(self, asks: list[Ask]) -> None:
        """Read by these requests from now on."""
        missing = self._unit.known.missing
        self._asks = asks
        self._unread, self._refusals = {}, {}
        self._requests = [ask.request for ask in asks]
        self._missing = sorted(self._by_span.keys() & missing.keys())
        for span in self._by_span.keys() - {span for ask in asks for span in ask.group.spans}:
            status = STATUS["BadConfigurationError" if span in missing else "BadWaitingForInitialData"]
            places = [place for place, _ in self._by_span[span]]
            self._unread.update(dict.fromkeys(places, status))
            if span in missing:
                why = exception_cause(missing[span], self._layout.ask(Group((span,))).request)
                self._refusals.update(dict.fromkeys(places, why))

    def _begin(self) -> None:
        self._values = [None] * self._width
        self._status = dict(self._unread)
        self._standing: list[Ask] = []
        """What was asked and not refused: the next plan, as long as a search is going on."""
        self._news.clear()
        self._reasons.clear()
        self._causes = dict(self._refusals)
        """Position of a tag -> why it is bad, where the reply says more than its status does."""
        self._answers = []
        """What was asked in this read, with the replies as they came."""
        self._error: DeviceError | None = None
        self._answered = False
        self._budget = SEARCH_BUDGET

    def first(self) -> list[Request]:
        """Start a read: the requests of its first wave (there is always one)."""
        if not self._finished:  # the last read was broken off, perhaps in the middle of a search
            self.replan()
            self._last_answers = []
        self._finished = False
        self._begin()
        self._reads += 1
        self._wave = self._asks
        if self._missing and (not self._asks or self._reads % REASK == 0):
            again = self._missing[self._reads // REASK % len(self._missing)]
            self._wave = [*self._wave, self._layout.ask(Group((again,)))]
        if self._halves:
            self._wave = [*self._wave, *self._search()]
        return self._requests if self._wave is self._asks else [ask.request for ask in self._wave]

    def _search(self) -> list[Ask]:
        """As many of the waiting halves as one read has time for."""
        now = self._halves[: self._budget]
        del self._halves[: len(now)]
        self._budget -= len(now)
        return [self._layout.ask(group) for group in now]

    def next(self, replies: Sequence[Reply]) -> list[Request]:
        """Take the replies to a wave; the requests of the next one, or none when the read is complete."""
        self._answers.append((self._wave, replies))
        for ask, reply in zip(self._wave, replies, strict=True):
            if isinstance(reply, bytes):
                self._accepted(ask, reply)
            elif isinstance(reply, int):
                self._refused(ask, reply)
            else:
                self._error = self._error or reply
                self._standing.append(ask)
                self._status.update(dict.fromkeys(ask.places, reply.status))
                self._causes.update(dict.fromkeys(ask.places, reply.cause))
        self._wave = self._search() if self._halves and self._error is None else []
        return [ask.request for ask in self._wave]

    def finish(self, t: int) -> Batch:
        """The batch of a complete read. Raises the DeviceError when there was no answer at all."""
        self._finished = True
        self._last_answers = self._answers
        if self._learnt:
            if self._halves or self._error is not None:
                self._follow(self._standing)
            else:
                self.replan()
            log.info(
                "modbus-plan device=%s unit=%s requests=%s searching=%s",
                self._unit.device, self._unit.options.unit, len(self._asks), len(self._halves),
            )  # fmt: skip
        if self._news:
            self._report()
        if self._error is not None and not self._answered:
            raise self._error
        values, self._values = self._values, []  # a thousand readers would hold the last values until the next read
        self._singles.shorten(values, self._status)
        batch = Batch(self._table, t, values, self._status)
        if self._status:
            batch.causes = self._causes_of_bad()
        return batch

    def _causes_of_bad(self) -> dict[int, Cause] | None:
        """What is known of the tags that are bad in the end; a later wave may have read some of them after all."""
        return {place: why for place, why in self._causes.items() if place in self._status} or None

    def raw(self) -> list[str | None]:
        """What the last complete read brought for each tag, as it came: registers as hexadecimal words, bits as 0 and
        1. None where nothing came."""
        found: list[str | None] = [None] * self._width
        for wave, replies in self._last_answers:
            for ask, reply in zip(wave, replies, strict=True):
                if isinstance(reply, bytes):
                    for span in ask.group.spans:
                        text = raw_text(reply, span, ask.group.start)
                        for place, _ in self._by_span[span]:
                            found[place] = text
        return found

    def _accepted(self, ask: Ask, data: bytes) -> None:
        self._answered = True
        self._standing.append(ask)
        if self._status:
            for place in ask.places:
                self._status.pop(place, None)
        doubtful = ask.block.decode(data, self._values, self._status)
        if doubtful:
            self._report_denormals(ask, doubtful)
        # Without a refusal there is nothing that an answer could teach, and mostly there was none.
        group, known = ask.group, self._unit.known
        if (known.barriers or group.split is not None) and accepted(group, known):
            self._learnt = True

    def _report_denormals(self, ask: Ask, places: Sequence[int]) -> None:
        """Once for each tag: what the other word orders would read."""
        points = dict(item for span in ask.group.spans for item in self._by_span[span])
        for place in places:
            name, value = self._table.names[place], self._values[place]
            if name in self._unit.denormal or not isinstance(value, float):
                continue
            self._unit.denormal.add(name)
            readings = other_readings(value, points[place])
            hint = ", ".join(f"word_order {order} would read {other:.6g}" for order, other in readings)
            log.warning(
                "modbus-denormal device=%s unit=%s tag=%s value=%.3g order=%s hint=%r",
                self._unit.device, self._unit.options.unit, name, value, points[place].order, hint or "check the type",
            )  # fmt: skip

    def _refused(self, ask: Ask, code: int) -> None:
        self._answered = True
        if code not in _DIVISIBLE or (len(ask.group.spans) == 1 and ask.group.spans[0] in self._missing):
            self._standing.append(ask)
            self._bad(ask, code)
            return
        self._learnt = True
        halves = refused(ask.group, code, self._unit.known)
        if halves:
            self._halves.extend(halves)
            self._status.update(dict.fromkeys(ask.places, STATUS["BadWaitingForInitialData"]))
        else:
            self._bad(ask, code)

    def _report(self) -> None:
        device, unit = self._unit.device, self._unit.options.unit
        for code, names in self._news.items():
            if not names:
                continue
            tags = ",".join(names[:20])
            log.warning(
                "modbus-refused device=%s unit=%s exception=%s count=%s tags=%s reason=%r",
                device, unit, code, len(names), tags, self._reasons[code],
            )  # fmt: skip

    def _bad(self, ask: Ask, code: int) -> None:
        """The tags of a refused request. Busy and acknowledge (5, 6) are bad as well: no value came with them, so
        there is none to call the last usable one."""
        configured = code in _DIVISIBLE or code == ILLEGAL_FUNCTION
        status = STATUS["BadConfigurationError" if configured else "BadDeviceFailure"]
        why = exception_cause(code, ask.request)
        self._status.update(dict.fromkeys(ask.places, status))
        self._causes.update(dict.fromkeys(ask.places, why))
        for span in ask.group.spans:
            if (span, code) not in self._unit.reported:
                self._unit.reported.add((span, code))
                self._reasons.setdefault(code, why.en)
                tags = [self._table.tags[place] for place, _ in self._by_span[span]]
                self._news[code].extend(tag.name for tag in tags if not tag.optional)
