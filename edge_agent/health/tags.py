"""Which tags of a device are not good, and which of them changed since somebody was last told.

Nothing happens for a tag that stays as it is: a whole read is compared with the one before by its
statuses alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from edge_agent.model import GOOD, Batch, TagTable, is_bad, is_good, is_not_there, status_name
from edge_agent.reasons import Cause, cause_of_status, sentence

#: Changes of tags that one health row may carry; the rest waits for the next row.
MOST_MOVES: Final = 50

#: The name under which the changes of the breaker are told.
BREAKER: Final = "(breaker)"
#: What a tag was before its first reading, as devices are.
FIRST: Final = "starting"


class TagStates:
    """Statuses of all tags of one device, by table and position."""

    def __init__(self) -> None:
        self._codes: dict[TagTable, dict[int, int]] = {}
        self._told: dict[TagTable, dict[int, int]] = {}
        self._causes: dict[TagTable, dict[int, Cause]] = {}
        """Why, of those tags of which more is known than their status."""
        self._hushed: set[TagTable] = set()
        self._never_good: dict[TagTable, set[int]] | None = None
        """Positions that have not been good yet, of tables that have any; there are a thousand
        devices without."""
        self.begun: tuple[TagTable, ...] = ()
        """Tables all of whose tags were good at least once: of these only what is not good has to
        be noted."""
        self._absent_in: dict[TagTable, int] = {}
        """How many optional tags of each table are missing, as its last answer said."""
        self._moved = False
        self.bad = 0
        """How many tags are bad now, those that are absent apart."""
        self.absent = 0
        """How many optional tags the device does not have."""
        self.reason = ""
        """The status name of the first bad tag."""
        self.cause: Cause | None = None
        """Why it is bad, where more is known than its status."""
        self.uncertain = ""
        """The status name of the first uncertain tag."""
        self.uncertain_cause: Cause | None = None
        """Why it is uncertain, where more is known than its status."""

    @property
    def any(self) -> bool:
        """Whether any tag is not good, or absent."""
        return bool(self.bad or self.uncertain or self.absent)

    def note(self, batch: Batch) -> None:
        """A normalised batch was read, or lapsed."""
        table = batch.table
        status = batch.status
        if table not in self.begun:
            self._note_first(batch)
        codes = self._codes.get(table)
        if (batch.causes or table in self._causes) and self._note_causes(batch):
            self._sum_up()  # whether or not the statuses changed with them
        if batch.columns is None:
            if codes == status or (codes is None and not status):
                self._hushed.discard(table)
                return
            self._codes[table] = dict(status)
        elif not self._note_part(self._codes.setdefault(table, {}), batch.columns, status):
            return
        self._hushed.discard(table)
        self._sum_up()

    def _note_first(self, batch: Batch) -> None:
        """Which tags are good for the first time."""
        table = batch.table
        status = batch.status
        never_good = self._never_good or {}
        waiting = never_good.setdefault(table, set(range(len(table))))
        positions = range(len(table)) if batch.columns is None else batch.columns
        waiting.difference_update(
            position for index, position in enumerate(positions) if is_good(status.get(index, GOOD))
        )
        if not waiting:
            del never_good[table]
            self.begun += (table,)
        self._never_good = never_good or None

    def _note_causes(self, batch: Batch) -> bool:
        """Keep what is known beyond the statuses, no more and no longer; whether it changed."""
        found = batch.causes or {}
        known = self._causes.get(batch.table, {})
        if batch.columns is None:
            causes = dict(found)
        else:
            causes = dict(known)
            for index, position in enumerate(batch.columns):
                causes.pop(position, None)
                if index in found:
                    causes[position] = found[index]
        if causes:
            self._causes[batch.table] = causes
        else:
            self._causes.pop(batch.table, None)
        return causes != known

    @staticmethod
    def _note_part(
        codes: dict[int, int], columns: Sequence[int], status: Mapping[int, int]
    ) -> bool:
        """Whether anything changed."""
        changed = False
        for index, position in enumerate(columns):
            code = status.get(index, GOOD)
            if codes.get(position, GOOD) != code:
                changed = True
                if is_good(code):
                    codes.pop(position, None)
                else:
                    codes[position] = code
        return changed

    def all_failed(self, batch: Batch) -> None:
        """The device as a whole failed: this is said at device level, and not once more for each
        tag."""
        self._codes[batch.table] = dict(batch.status)
        self._causes.pop(batch.table, None)
        self._hushed.add(batch.table)
        self._sum_up()

    def _sum_up(self) -> None:
        self._moved = True
        self.bad = self.absent = 0
        self.reason = self.uncertain = ""
        self.cause = self.uncertain_cause = None
        for table, codes in self._codes.items():
            absent_before = self.absent
            for position, code in codes.items():
                if is_absent(table, position, code):
                    self.absent += 1
                elif is_bad(code):
                    self.bad += 1
                    if not self.reason:
                        self.reason, self.cause = status_name(code), self.cause_of(table, position)
                elif not is_good(code) and not self.uncertain:
                    self.uncertain, self.uncertain_cause = (
                        status_name(code),
                        self.cause_of(table, position),
                    )
            if table not in self._hushed:
                self._absent_in[table] = self.absent - absent_before

    def absent_in(self, table: TagTable) -> int:
        """How many optional tags of a table (as normalised) the device does not have, as its last
        answer said."""
        return self._absent_in.get(table, 0)

    def moves(self) -> list[dict[str, str]]:
        """The changes since the last call, at most `MOST_MOVES`; a tag that is back where it was
        has not moved."""
        if not self._moved:
            return []
        self._moved = False
        found: list[dict[str, str]] = []
        for table, position, before, now in self._differences():
            if len(found) == MOST_MOVES:
                self._moved = True
                break
            told = self._told.setdefault(table, {})
            if is_good(now):
                told.pop(position, None)
            else:
                told[position] = now
            found.append(_move(table.names[position], before, now, self.cause_of(table, position)))
        return found

    def cause_of(self, table: TagTable, position: int) -> Cause | None:
        """Why a tag is not good, where more is known than its status. `table` as normalised."""
        return self._causes.get(table, {}).get(position)

    def _differences(self) -> Iterator[tuple[TagTable, int, str, int]]:
        """Tags that are otherwise than was told: table, position, the word for what they were, the
        code now."""
        for table, codes in list(self._codes.items()):
            if table in self._hushed:
                continue
            told = self._told.get(table, {})
            never_good = (self._never_good or {}).get(table, ())
            for position in sorted({*codes, *told}):
                now = codes.get(position, GOOD)
                if is_absent(table, position, now):
                    now = GOOD  # shown as absent, which is no change for the worse
                before = _word(told.get(position, GOOD))
                if position not in told and position in never_good and not is_good(now):
                    before = FIRST
                if before != _word(now):
                    yield table, position, before, now

    def not_good(self) -> list[dict[str, Any]]:
        """Every tag that is not good now, those that are absent apart: `{"tag", "status", "cause",
        "zh", "en"}`."""
        return [
            _not_good(table.names[position], status_name(code), self.cause_of(table, position))
            for table, codes in self._codes.items()
            for position, code in codes.items()
            if not is_good(code) and not is_absent(table, position, code)
        ]

    def absent_tags(self) -> list[str]:
        """The names of the optional tags that the device does not have."""
        return [
            table.names[position]
            for table, codes in self._codes.items()
            for position, code in codes.items()
            if is_absent(table, position, code)
        ]


def is_absent(table: TagTable, position: int, code: int) -> bool:
    """Whether a tag may be missing, and is."""
    return is_not_there(code) and table.tags[position].optional


def absent_in(batch: Batch) -> int:
    """How many readings of a batch are of absent tags."""
    columns = batch.columns
    return sum(
        is_absent(batch.table, index if columns is None else columns[index], code)
        for index, code in batch.status.items()
    )


def _not_good(tag: str, status: str, known: Cause | None) -> dict[str, Any]:
    why = known or cause_of_status(status)
    return {"tag": tag, "status": status, "cause": why.name, "zh": why.zh, "en": why.en}


def _move(tag: str, before: str, now: int, known: Cause | None) -> dict[str, str]:
    move = {"tag": tag, "from": before, "to": _word(now)}
    if is_good(now):
        return move | {"reason": "", "zh": "变量恢复正常。", "en": "The tag is good again."}
    why = known or cause_of_status(status_name(now))
    return move | {"reason": status_name(now), "zh": why.zh, "en": why.en}


def breaker_move(is_open: bool, reason: str) -> dict[str, str]:
    """The change of a device's circuit breaker, told among those of its tags under a name that no
    tag has."""
    zh, en = sentence("set_aside" if is_open else "asked_again")
    words = ("open", "closed") if is_open else ("closed", "open")
    return {
        "tag": BREAKER,
        "from": words[1],
        "to": words[0],
        "reason": reason if is_open else "",
        "zh": zh,
        "en": en,
    }


def _word(code: int) -> str:
    return "Good" if is_good(code) else status_name(code)
