"""One log line per cause, then one with a count a minute while it lasts, and one when it is over; a
bound in bytes.

What lasts for weeks (no broker, a device switched off, a poisoned message every second) must be
visible at once and must not fill the disk. It is done here, at the end of all logging, so that
whoever logs, connectors included, writes plain `log.warning("event key=%s ...", ...)` and needs
nothing from us.

The **cause** of a line is its event (the first word) with the words among its fields; numbers are
measurements and vary within one cause. Four attributes of a record say it otherwise (`extra=` of
the logging calls):

- `cause`: what identifies it instead of its fields, a string or a tuple of strings;
- `always`: this line answers a person and is written, however often;
- `lasts`: it goes on until a line `ends` it, and is said but once: this module says from time to
  time that it lasts;
- `ends`: an event, or (event, first word of its cause), that is over with this line: the next one
  is news again.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol, TextIO

PERIOD_S: Final = 60.0
"""Between two lines with a count. A cause that was not seen for so long is over."""
LASTING_S: Final = 600.0
"""Between two lines that something lasts, one for all causes of an event."""
NOTES_AT_ONCE: Final = 3
"""Equal lines of a period that are no warnings, and fresh starts of a cause in it: more of them are
counted."""
NEW_CAUSES: Final = 100
"""Causes of one event that get a line of their own in one period: a thousand devices share a dead
switch."""
MOST_CAUSES: Final = 2000
"""Causes of one event that are remembered; further ones are counted together."""

BURST_BYTES: Final = 4_000_000
BYTES_PER_PERIOD: Final = 1000
"""What is written in the long run: with the burst, at most 48.7 MB in 31 days, whatever happens."""
RESERVED_BYTES: Final = 1_000_000
"""Of the burst, kept for what is new; counts of what is known give way first."""
_OMITTED_EVERY_S: Final = 3600.0

_FIELD: Final = re.compile(r"(?:(\w+)=)?'?%(?:%|[-#0 +]*[\d*]*(?:\.[\d*]+)?([a-zA-Z]))")
_FREE_TEXT: Final = frozenset({"reason", "error", "text", "hint"})
"""Fields in which numbers (ports, addresses, seconds) vary without being another cause."""
_IDENTIFYING: Final = frozenset({"worker", "unit"})
"""Fields whose numbers say who it is."""
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?")


class LogLineCause(NamedTuple):
    """What lines have in common that are counted together."""

    logger: str
    level: int
    event: str
    words: tuple[str, ...]


def cause_of(record: logging.LogRecord) -> LogLineCause:
    """The cause of a line, see the module's docstring."""
    template = str(record.msg)
    event = template.partition(" ")[0]
    given: Any = getattr(record, "cause", None)
    if given is not None:
        words = tuple(map(str, given)) if isinstance(given, tuple) else (str(given),)
    elif isinstance(record.args, tuple) and record.args:
        words = _words(template, record.args)
    else:
        words = (_NUMBER.sub("#", record.getMessage()),)
    return LogLineCause(record.name, record.levelno, event, words)


def _words(template: str, arguments: tuple[Any, ...]) -> tuple[str, ...]:
    words = []
    for (name, conversion), argument in zip(_fields(template), arguments, strict=False):
        if name not in _IDENTIFYING and (
            conversion not in "sra" or isinstance(argument, int | float)
        ):
            continue
        word = str(argument)
        words.append(_NUMBER.sub("#", word) if name in _FREE_TEXT else word)
    return tuple(words)


@lru_cache(maxsize=1024)
def _fields(template: str) -> tuple[tuple[str, str], ...]:
    """(name, conversion) of each field of a %-template, in order."""
    found = _FIELD.finditer(template)
    return tuple((match[1] or "", match[2]) for match in found if match[2] is not None)


class SuppressionNote(NamedTuple):
    """A line of our own about lines that were not written."""

    logger: str
    level: int
    text: str


@dataclass(slots=True)
class _Known:
    """What is remembered of one cause. Times are seconds of the caller's clock."""

    since: float
    last: float
    newest: str = ""
    """The text of the newest line that was not written."""
    unwritten: int = 0
    """Lines that were counted instead of written since the last count."""
    counted: bool = False
    """Whether any line since `since` was counted instead of written: then its end is a line too."""
    total: int = 1
    lines: int = 1
    """Written at once in this period."""
    ended: bool = False
    """A line has said that it is over."""
    lasts: str = ""
    """The line, when it goes on until another one ends it."""
    said: float = 0.0
    """When the log last had that it goes on."""

    @property
    def is_ongoing(self) -> bool:
        """Whether it has not ended, however long ago it was said."""
        return bool(self.lasts) and not self.ended


@dataclass(slots=True)
class _Event:
    """The causes of one event of one logger and level."""

    causes: dict[tuple[str, ...], _Known] = field(default_factory=dict)
    new: int = 0
    """Causes that got their first line in this period."""


class CauseCounter:
    """Decides which lines are written, and makes those with the counts. Pure: the caller has clock
    and output."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, int, str], _Event] = {}
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When `counts` has something to do next; None while nothing is remembered."""
        return self._due

    def take(self, record: logging.LogRecord, now: float) -> bool:
        """Whether to write this line; otherwise it is counted."""
        if getattr(record, "always", False):
            return True
        if self._due is None:
            self._due = now + PERIOD_S
        cause = cause_of(record)
        event = self._events.setdefault((cause.logger, cause.level, cause.event), _Event())
        known = event.causes.get(cause.words)
        lasts = record.getMessage() if getattr(record, "lasts", False) else ""
        if known is None:
            if event.new < NEW_CAUSES and len(event.causes) < MOST_CAUSES:
                event.new += 1
                event.causes[cause.words] = _Known(now, now, lasts=lasts, said=now)
                return True
            known = event.causes.setdefault((), _Known(now, now, total=0, lines=NOTES_AT_ONCE))
        known.lasts = lasts
        known.said = now
        news = known.ended or record.levelno < logging.WARNING
        if known.ended:
            known.since = now
            known.total = 0
            known.ended = False
        known.last = now
        known.total += 1
        if news and known.lines < NOTES_AT_ONCE:
            known.lines += 1
            return True
        known.unwritten += 1
        known.counted = True
        known.newest = record.getMessage()
        return False

    def ended(self, record: logging.LogRecord, now: float) -> list[SuppressionNote]:
        """What a line says to be over: the counts that it ends."""
        ends: Any = getattr(record, "ends", None)
        if ends is None:
            return []
        name, word = ends if isinstance(ends, tuple) else (ends, None)
        notes: list[SuppressionNote] = []
        for (logger, level, event_name), event in self._events.items():
            if logger != record.name or event_name != name:
                continue
            over = [
                known
                for words, known in event.causes.items()
                if word is None or words[:1] == (str(word),)
            ]
            for known in over:
                known.ended = True
            # the others come and go all the time
            calm = [known for known in over if known.lines < NOTES_AT_ONCE]
            notes += _over(logger, level, event_name, [known for known in calm if known.counted])
            for known in calm:
                known.counted = False
                known.unwritten = 0
        return notes

    def counts(self, now: float, *, last: bool = False) -> list[SuppressionNote]:
        """Once a period: what went on, and what has ended meanwhile. `last`: the process ends."""
        if self._due is None or (now < self._due and not last):
            return []
        notes: list[SuppressionNote] = []
        for key, event in list(self._events.items()):
            notes += _ongoing_line(
                key, [known for known in event.causes.values() if known.unwritten]
            )
            notes += _lasting(
                key, [known for known in event.causes.values() if known.is_ongoing], now
            )
            gone = [
                words for words, known in event.causes.items() if not last and _is_over(known, now)
            ]
            over = [event.causes.pop(words) for words in gone]
            if key[1] >= logging.WARNING:
                notes += _over(*key, [known for known in over if known.counted])
            if not event.causes:
                del self._events[key]
            event.new = 0
            for known in event.causes.values():
                known.unwritten = known.lines = 0
        self._due = now + PERIOD_S if self._events else None
        return notes


def _is_over(known: _Known, now: float) -> bool:
    return not known.unwritten and not known.is_ongoing and now - known.last >= PERIOD_S


def _ongoing_line(key: tuple[str, int, str], causes: list[_Known]) -> list[SuppressionNote]:
    """One line for all causes of an event that go on."""
    if not causes:
        return []
    newest = max(causes, key=lambda known: known.last)
    others = f" causes={len(causes)}" if len(causes) > 1 else ""
    return [
        SuppressionNote(
            key[0],
            key[1],
            f"{newest.newest} count={sum(known.unwritten for known in causes)}{others}",
        )
    ]


def _lasting(key: tuple[str, int, str], causes: list[_Known], now: float) -> list[SuppressionNote]:
    """One line for all causes of an event of which nothing was said for a while, and which go
    on."""
    if not causes or now - max(known.said for known in causes) < LASTING_S:
        return []
    newest = max(causes, key=lambda known: known.since)
    first = min(known.since for known in causes)
    for known in causes:
        known.said = now
    others = f" causes={len(causes)}" if len(causes) > 1 else ""
    return [SuppressionNote(key[0], key[1], f"{newest.lasts} lasts_s={now - first:.0f}{others}")]


def _over(logger: str, level: int, event: str, causes: list[_Known]) -> list[SuppressionNote]:
    """One line for all causes of an event that are over and were counted."""
    if not causes:
        return []
    newest = max(causes, key=lambda known: known.last)
    lasted = newest.last - min(known.since for known in causes)
    others = f" causes={len(causes)}" if len(causes) > 1 else ""
    total = sum(known.total for known in causes)
    text = f"{event}-over count={total}{others} lasted_s={lasted:.0f} last={newest.newest!r}"
    return [SuppressionNote(logger, min(level, logging.INFO), text)]


class ByteBudget:
    """A token bucket over what is written."""

    def __init__(self, now: float) -> None:
        self._left = float(BURST_BYTES)
        self._filled_at = now

    def spend(self, size: int, now: float, *, reserve: int = 0) -> bool:
        """Whether `size` bytes may be written now, with `reserve` bytes left for what is more
        important."""
        gained = (now - self._filled_at) * BYTES_PER_PERIOD / PERIOD_S
        self._left, self._filled_at = min(BURST_BYTES, self._left + max(0.0, gained)), now
        if self._left - size < reserve:
            return False
        self._left -= size
        return True


class OneShotTimer(Protocol):
    """What calls back once; a `threading.Timer`."""

    def cancel(self) -> None: ...


def call_later(seconds: float, callback: Callable[[], None]) -> OneShotTimer:
    """A daemon thread: it must work for the store's thread and without an event loop too, and delay
    no exit."""
    timer = threading.Timer(seconds, callback)
    timer.daemon = True
    timer.start()
    return timer


class LimitedHandler(logging.StreamHandler[TextIO]):
    """Writes what `CauseCounter` lets through, within the `ByteBudget`."""

    def __init__(
        self,
        stream: TextIO,
        *,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], OneShotTimer] = call_later,
    ) -> None:
        super().__init__(stream)
        self._clock = clock
        self._later = later
        self._counter = CauseCounter()
        self._budget = ByteBudget(clock())
        self._alarm: OneShotTimer | None = None
        self._omitted, self._omitted_since = 0, clock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write, count or omit a line; whoever logs holds the handler's lock."""
        now = self._clock()
        try:
            self._write_all(self._counter.counts(now), now)
            self._write_all(self._counter.ended(record, now), now)
            if self._counter.take(record, now):
                self._write(record, now)
            self._arm(now)
        except Exception:  # noqa: BLE001 - reason: as every handler: what cannot be logged must not end who logs
            self.handleError(record)

    def close(self) -> None:
        """The last counts, then the end."""
        self.acquire()
        try:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            now = self._clock()
            self._write_all(self._counter.counts(now, last=True), now)
            self._counter = CauseCounter()
        finally:
            self.release()
        super().close()

    def _arm(self, now: float) -> None:
        if self._alarm is None and self._counter.due is not None:
            self._alarm = self._later(max(0.0, self._counter.due - now), self._on_alarm)

    def _on_alarm(self) -> None:
        self.acquire()
        try:
            self._alarm = None
            now = self._clock()
            self._write_all(self._counter.counts(now), now)
            self._arm(now)
        except (OSError, ValueError):  # the stream is full or closed: there is nobody to tell
            pass
        finally:
            self.release()

    def _write_all(self, notes: list[SuppressionNote], now: float) -> None:
        for note in notes:
            record = logging.LogRecord(note.logger, note.level, "", 0, note.text, None, None)
            self._write(record, now, reserve=RESERVED_BYTES)

    def _write(self, record: logging.LogRecord, now: float, *, reserve: int = 0) -> None:
        line = self.format(record) + self.terminator
        if not self._budget.spend(len(line.encode(errors="replace")), now, reserve=reserve):
            self._omitted += 1
            line = ""
        if self._omitted and now - self._omitted_since >= _OMITTED_EVERY_S:
            note = logging.LogRecord(
                __name__, logging.WARNING, "", 0, f"log-limited lines={self._omitted}", None, None
            )
            self._omitted = 0
            self._omitted_since = now
            line += self.format(note) + self.terminator
        if line:
            self.stream.write(line)
            self.flush()
