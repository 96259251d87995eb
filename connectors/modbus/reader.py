"""One table of one device, compiled: which requests to send, what their replies mean, and what to
ask next. No I/O.

A read is a few *waves*: the plan's requests, then, only where the device refused some, the halves
of those, and the parts of numbers that it does not give whole. Replies fill columns; what a refusal
or a failure teaches changes the plan for the next read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from connectors.modbus.denormal import denormal_of
from connectors.modbus.failures import PROBE_S
from connectors.modbus.frame import (
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    ReadRequest,
    exception_cause,
)
from connectors.modbus.layout import CompiledRequest, layout_of
from connectors.modbus.parts import PartRead
from connectors.modbus.plan import AddressSpan, RequestSpans, accepted, plan, refused
from connectors.modbus.raw import raw_text
from connectors.modbus.transport import MalformedReplyError, Reply, SkippedError
from connectors.modbus.unit import Unit
from edge_agent.sdk import STATUS, Batch, Cause, DeviceError, TagTable, Value, cause

#: Requests of one read spent on searching for what a device refuses. A table that lies wholly
#: outside the device's map would else take a slow bus for many seconds; the search goes on in the
#: next read.
SEARCH_BUDGET: Final = 24

#: Every so many reads one missing value is asked for again: PLC programs change while we are
#: connected.
REASK: Final = 64

#: Refusals that speak of the addresses or of how many of them: smaller requests may be accepted.
_DIVISIBLE: Final = frozenset({ILLEGAL_ADDRESS, ILLEGAL_VALUE})


class ModbusTableReader:
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
        self._asks: list[CompiledRequest] = []
        self._requests: list[ReadRequest] = []
        self._proven: list[CompiledRequest] = []
        """Requests that were all answered in one read."""
        self._halves: list[RequestSpans] = []
        """Halves of refused requests that are still to be asked for, in this read or the next."""
        self._missing: list[AddressSpan] = []
        self._costly: Sequence[AddressSpan] = ()
        self._parts: Sequence[PartRead] = ()
        self._unread: dict[int, int] = {}
        """Status of the tags that the plan does not read."""
        self._refusals: dict[int, Cause] = {}
        """Why, of those of them that are not asked for."""
        self._reads = 0
        self._finished = True
        self._answers: list[tuple[Sequence[CompiledRequest | PartRead], Sequence[Reply]]] = []
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
        layout = self._layout
        if known.plain and not layout.oversized:  # as with every other device that is read alike
            self._asks = layout.asks
            self._requests = layout.requests
            self._missing = []
            self._costly = ()
            self._parts = ()
            self._unread = {}
            self._refusals = {}
            return
        spans = self._by_span.keys() - layout.oversized
        self._parts = [
            layout.part_read(span) for span in sorted(layout.oversized | (spans & known.partial))
        ]
        self._follow([layout.ask(group) for group in plan(spans, self._unit.limits, known)])

    def _follow(self, asks: list[CompiledRequest]) -> None:
        """Read by these requests from now on."""
        known = self._unit.known
        self._asks = asks
        self._unread = {}
        self._refusals = {}
        self._requests = [ask.request for ask in asks]
        self._missing = sorted(self._by_span.keys() & known.missing.keys())
        self._costly = sorted(self._by_span.keys() & known.costly.keys())
        read = {span for ask in asks for span in ask.group.spans} | {
            part.span for part in self._parts
        }
        for span in self._by_span.keys() - read:
            why = self._why_not_read(span)
            places = [place for place, _ in self._by_span[span]]
            status = STATUS["BadWaitingForInitialData" if why is None else "BadConfigurationError"]
            self._unread.update(dict.fromkeys(places, status))
            if why is not None:
                self._refusals.update(dict.fromkeys(places, why))

    def _why_not_read(self, span: AddressSpan) -> Cause | None:
        """Why a span is in none of the requests; None while it is only not found yet."""
        known = self._unit.known
        if span not in known.missing and span not in known.costly:
            return None
        if span in known.costly:
            return self._costly_cause(span)
        return exception_cause(known.missing[span], self._layout.ask(RequestSpans((span,))).request)

    def _costly_cause(self, span: AddressSpan) -> Cause:
        return cause("modbus_costly", request=self._layout.ask(RequestSpans((span,))).request)

    def _begin(self) -> None:
        self._values = [None] * self._width
        self._status = dict(self._unread)
        self._standing: list[CompiledRequest] = []
        """What was asked and not refused: the next plan, as long as a search is going on."""
        self._news.clear()
        self._reasons.clear()
        self._causes = dict(self._refusals)
        """Position of a tag -> why it is bad, where the reply says more than its status does."""
        self._answers = []
        """What was asked in this read, with the replies as they came."""
        self._error: DeviceError | None = None
        self._failed: Sequence[tuple[CompiledRequest, DeviceError]] = ()
        """What was asked for and brought no answer."""
        self._skipped: Sequence[CompiledRequest] = ()
        self._wholes: Sequence[CompiledRequest] = ()
        """Requests on trial, asked behind their own pieces."""
        self._stopped = False
        self._answered = False
        self._budget = SEARCH_BUDGET
        self._part_wave: Sequence[PartRead] = ()
        for part in self._parts:
            part.begin()
            self._status.update(dict.fromkeys(part.places, STATUS["BadWaitingForInitialData"]))

    def first(self) -> list[ReadRequest]:
        """Start a read: the requests of its first wave (there is always one)."""
        if not self._finished:  # the last read was broken off, perhaps in the middle of a search
            self.replan()
            self._last_answers = []
        self._finished = False
        self._begin()
        self._reads += 1
        self._wave = self._asks
        if self._unit.failures.any:
            doubt = self._unit.failures.turns_late
            self._wave = sorted(self._asks, key=lambda ask: doubt(ask.group))  # the others first
            own = self._by_span.keys()
            trials = (
                trial.group for trial in self._unit.failures.trials if own >= set(trial.group.spans)
            )
            self._wholes = [self._layout.ask(group) for group in trials]
        if self._missing and (not self._asks or self._reads % REASK == 0):
            again = self._missing[self._reads // REASK % len(self._missing)]
            self._wave = [*self._wave, self._layout.ask(RequestSpans((again,)))]
        if self._halves:
            self._wave = [*self._wave, *self._search()]
        if self._costly:
            self._wave = [*self._wave, *self._probe()]
        if self._wholes:
            self._wave = [*self._wave, *self._wholes]
        if not self._wave and self._parts:
            return self._next_parts()
        return self._requests if self._wave is self._asks else [ask.request for ask in self._wave]

    def _search(self) -> list[CompiledRequest]:
        """As many of the waiting halves as one read has time for."""
        now = self._halves[: self._budget]
        del self._halves[: len(now)]
        self._budget -= len(now)
        return [self._layout.ask(group) for group in now]

    def _probe(self) -> list[CompiledRequest]:
        """The span that costs something and has waited for longest, when its time has come or
        nothing else is left."""
        costly = self._unit.known.costly
        span = min(self._costly, key=lambda span: costly.get(span, 0.0))
        if costly.get(span, 0.0) > self._unit.now() and (self._wave or self._parts):
            return []
        return [self._layout.ask(RequestSpans((span,)))]

    def next(self, replies: Sequence[Reply]) -> list[ReadRequest]:
        """Take the replies to a wave; the requests of the next one, or none when the read is
        complete."""
        if self._part_wave:
            self._take_parts(replies)
            return self._next_parts()
        self._answers.append((self._wave, replies))
        for ask, reply in zip(self._wave, replies, strict=True):
            if isinstance(reply, bytes):
                self._accepted(ask, reply)
            elif isinstance(reply, int):
                self._refused(ask, reply)
            else:
                self._unanswered(ask, reply)
        self._wave = self._search() if self._halves and not self._stopped else []
        if not self._wave and self._parts:
            return self._next_parts()
        return [ask.request for ask in self._wave]

    def finish(self, t: int) -> Batch:
        """The batch of a complete read. Raises the DeviceError when there was no answer at all."""
        self._finished = True
        self._last_answers = self._answers
        if self._error is None:
            self._proven = self._asks
        replanned = (self._failed or self._unit.failures.any) and self._learn_from_failures()
        if self._learnt or replanned:
            self._change_plan(replanned=bool(replanned))
        if self._news:
            self._report()
        if self._error is not None and not self._answered:
            raise self._error
        # a thousand readers would hold the last values until the next read
        values, self._values = (
            self._values,
            [],
        )
        self._singles.shorten(values, self._status)
        batch = Batch(self._table, t, values, self._status)
        if self._status:
            batch.causes = self._causes_of_bad()
        return batch

    def _causes_of_bad(self) -> dict[int, Cause] | None:
        """What is known of the tags that are bad in the end; a later wave may have read some of
        them after all."""
        return {place: why for place, why in self._causes.items() if place in self._status} or None

    def raw(self) -> list[str | None]:
        """What the last complete read brought for each tag, as it came: registers as hexadecimal
        words, bits as 0 and
        1. None where nothing came."""
        found: list[str | None] = [None] * self._width
        for wave, replies in self._last_answers:
            for ask, reply in zip(wave, replies, strict=True):
                if not isinstance(reply, bytes):
                    continue
                spans = (ask.span,) if isinstance(ask, PartRead) else ask.group.spans
                for span in spans:
                    text = raw_text(reply, span, spans[0].start)
                    for place, _ in self._by_span[span]:
                        found[place] = text
        return found

    def _change_plan(self, *, replanned: bool) -> None:
        """`replanned`: failures have changed what is known, whatever search is going on."""
        searching = bool(self._halves) or self._error is not None
        learnt = self._learnt
        if searching and not replanned:
            self._follow(self._standing)
        else:
            self.replan()
        if learnt:
            self._unit.log_plan(len(self._asks), len(self._halves))

    # --- answers and refusals ---------------------------------------------------------------------

    def _accepted(self, ask: CompiledRequest, data: bytes) -> None:
        self._answered = True
        self._standing.append(ask)
        if self._status:
            for place in ask.places:
                self._status.pop(place, None)
        doubtful = ask.block.decode(data, self._values, self._status)
        if doubtful:
            self._report_denormals(ask.group.spans, doubtful)
        # Without a refusal there is nothing that an answer could teach, and mostly there was none.
        group = ask.group
        known = self._unit.known
        if (known.barriers or group.split is not None) and accepted(group, known):
            self._learnt = True

    def _report_denormals(self, spans: Sequence[AddressSpan], places: Sequence[int]) -> None:
        points = dict(item for span in spans for item in self._by_span[span])
        found = {}
        for place in places:
            value = denormal_of(self._values[place], points[place])
            if value is not None:
                found[self._table.names[place]] = value, points[place]
        self._unit.log_denormals(found)

    def _refused(self, ask: CompiledRequest, code: int) -> None:
        self._answered = True
        if code not in _DIVISIBLE or (
            len(ask.group.spans) == 1 and ask.group.spans[0] in self._missing
        ):
            self._standing.append(ask)
            self._bad(ask.group.spans, code, ask.request)
            return
        self._learnt = True
        if (
            len(ask.group.spans) == 1
            and code == ILLEGAL_VALUE
            and self._take_parts_of(ask.group.spans[0])
        ):
            return
        halves = refused(ask.group, code, self._unit.known)
        if halves:
            self._halves.extend(halves)
            self._status.update(dict.fromkeys(ask.places, STATUS["BadWaitingForInitialData"]))
        else:
            self._bad(ask.group.spans, code, ask.request)

    def _report(self) -> None:
        for code, names in self._news.items():
            if names:
                self._unit.log_refused(code, names, self._reasons[code])

    def _bad(self, spans: Sequence[AddressSpan], code: int, request: ReadRequest) -> None:
        """The tags of a refused request. Busy and acknowledge (5, 6) are bad as well: no value came
        with them, so there is none to call the last usable one."""
        configured = code in _DIVISIBLE or code == ILLEGAL_FUNCTION
        status = STATUS["BadConfigurationError" if configured else "BadDeviceFailure"]
        why = exception_cause(code, request)
        for span in spans:
            places = [place for place, _ in self._by_span[span]]
            self._status.update(dict.fromkeys(places, status))
            self._causes.update(dict.fromkeys(places, why))
            if (span, code) not in self._unit.reported:
                self._unit.reported.add((span, code))
                self._reasons.setdefault(code, why.en)
                tags = [self._table.tags[place] for place, _ in self._by_span[span]]
                self._news[code].extend(tag.name for tag in tags if not tag.optional)

    def _names(self, span: AddressSpan) -> list[str]:
        return [self._table.names[place] for place, _ in self._by_span[span]]

    # --- numbers in parts -------------------------------------------------------------------------

    def _take_parts_of(self, span: AddressSpan) -> bool:
        """From now on read a number in parts, from this read on. False for what cannot be, or is so
        already."""
        known = self._unit.known
        if span in known.partial or not self._layout.may_be_parted(span):
            return False
        known.partial |= {span}
        part = self._layout.part_read(span)
        self._parts = [*self._parts, part]
        self._status.update(dict.fromkeys(part.places, STATUS["BadWaitingForInitialData"]))
        self._unit.log_parts(self._names(span), span.end - span.start)
        return True

    def _next_parts(self) -> list[ReadRequest]:
        """The next step of each number that is read in parts: one step of all is answered before
        the next is asked."""
        wave = []
        requests = []
        for part in self._parts:
            request = part.next
            if request is None:
                continue
            if self._stopped and self._error is not None:
                self._set_error(part.places, self._error)
            else:
                wave.append(part)
                requests.append(request)
        self._part_wave = wave
        return requests

    def _set_error(self, places: Sequence[int], error: DeviceError) -> None:
        self._status.update(dict.fromkeys(places, error.status))
        self._causes.update(dict.fromkeys(places, error.cause))

    def _take_parts(self, replies: Sequence[Reply]) -> None:
        for part, reply in zip(self._part_wave, replies, strict=True):
            if isinstance(reply, bytes):
                self._answered = True
                part.take(reply)
                if part.next is None:
                    self._put_together(part)
                continue
            part.failed = True
            if isinstance(reply, int):
                self._answered = True
                self._bad([part.span], reply, part.whole_request)
                if part.span in self._unit.known.partial and reply in _DIVISIBLE:
                    self._unit.known.partial -= {part.span}
                    refused(RequestSpans((part.span,)), reply, self._unit.known)
                    self._learnt = True
            else:
                self._note(reply)
                self._set_error(part.places, reply)

    def _put_together(self, part: PartRead) -> None:
        data = part.complete_registers()
        self._answers.append(([part], [data or 0]))
        if data is None:  # it changed while it was read: no value in this turn
            why = cause("modbus_torn", request=part.whole_request)
            self._set_error(part.places, DeviceError(STATUS["BadDecodingError"], why))
            return
        for place in part.places:
            self._status.pop(place, None)
        doubtful = part.block.decode(data, self._values, self._status)
        if doubtful:
            self._report_denormals([part.span], doubtful)

    # --- no answer --------------------------------------------------------------------------------

    def _note(self, error: DeviceError) -> None:
        """Keep the error that tells most: one that ended the exchange rather than one that cost a
        single request."""
        ends = not isinstance(error, MalformedReplyError)
        if self._error is None or (ends and not self._stopped):
            self._error = error
        self._stopped = self._stopped or ends

    def _unanswered(self, ask: CompiledRequest, error: DeviceError) -> None:
        self._note(error)
        if isinstance(error, SkippedError):
            self._skipped = [*self._skipped, ask]
        else:
            self._failed = [*self._failed, (ask, error)]
        if ask not in self._wholes:
            self._standing.append(ask)
            self._set_error(ask.places, error)

    def _learn_from_failures(self) -> bool:
        """What this read says about requests that bring no answer. Whether the plan has to be made
        anew."""
        failures = self._unit.failures
        failed = [ask for ask, _ in self._failed]
        answered = [
            ask.group for ask in self._standing if ask not in failed and ask not in self._skipped
        ]
        failures.answered(answered)
        changed = False
        for group in answered:
            if len(group.spans) == 1 and failures.note_answered(group.spans[0]):
                changed = True
        for ask, error in self._failed:
            if ask not in self._wholes and self._note_failure(ask, error):
                changed = True
        shown, over = failures.judge(answered, [ask.group for ask in failed])
        for trial in shown:
            self._unit.log_hole(trial)
        return changed or over

    def _note_failure(self, ask: CompiledRequest, error: DeviceError) -> bool:
        """A request brought no answer. Whether it is to be asked in another way from now on."""
        failures = self._unit.failures
        known = self._unit.known
        spans = ask.group.spans
        if len(spans) == 1 and spans[0] in known.costly:
            failures.costs(spans[0], self._unit.now() + PROBE_S)
            return False
        malformed = isinstance(error, MalformedReplyError)
        if malformed and error.status != STATUS["BadDecodingError"]:
            return False  # of another unit, or another function: not a matter of addresses
        times = 2 if error.lost else 1  # it was asked for once more on a new connection
        if not failures.failed(ask.group, times, proven=ask in self._proven, alive=self._answered):
            return False
        if len(spans) > 1:
            return failures.cut(ask.group, alive=self._answered)
        if malformed:
            return self._take_parts_of(spans[0])
        if not self._answered:
            return False
        failures.costs(spans[0], self._unit.now() + PROBE_S)
        self._unit.log_costly(self._names(spans[0]), self._costly_cause(spans[0]))
        return True
