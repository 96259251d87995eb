"""What requests teach that bring no answer: the device hangs up, is silent, or answers with
something malformed.

Some devices do so where they should refuse an address. A request of several spans that fails again
and again is asked for in pieces, on trial, and as a whole behind them: when pieces are answered and
the whole is not, the pieces stay. A single span that fails while the device answers others is asked
for seldom. A device that is silent altogether teaches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.modbus.plan import AddressSpan, Knowledge, RequestSpans, seam

#: Failures in a row that make a request doubtful: one that was never answered, and one that was.
NEW: Final = 2
PROVEN: Final = 5

#: Seconds between two attempts at a span that costs the connection or a time-out.
PROBE_S: Final = 60.0

#: Pieces that a doubtful request is cut into at once, at most.
MOST_PIECES: Final = 24

#: Reads without any answer of the device after which a trial has shown nothing; one for each piece
#: where it has more.
_TRIAL_READS: Final = 3
_MOST_CAUTIOUS: Final = 64


@dataclass(slots=True)
class SplitTrial:
    """A doubtful request, cut."""

    group: RequestSpans
    seams: tuple[AddressSpan, ...]
    at_holes: bool
    """Cut where nobody wants the registers between."""
    silent_reads: int = -1
    """Reads since then without any answer of the device; the one that began the trial is counted as
    none."""


class Failures:
    """The failures of one device's requests, by the range each asks for."""

    __slots__ = ("_counts", "_enough", "_fruitless", "_known", "_shown", "trials")

    def __init__(self, known: Knowledge) -> None:
        self._known = known
        self._counts: dict[AddressSpan, int] = {}
        self.trials: Sequence[SplitTrial] = ()
        self._shown: Sequence[SplitTrial] = ()
        self._fruitless: dict[AddressSpan, int] = {}
        """Trials of a request that have shown nothing: every piece may contain something wrong."""
        self._enough = NEW

    @property
    def any(self) -> bool:
        """Whether there is anything to look after."""
        return bool(self._counts or self.trials)

    def turns_late(self, group: RequestSpans) -> int:
        """How late a request is to be asked: 0 for one without a failure and outside every
        trial."""
        hull = group.hull
        on_trial = any(_within(hull, trial.group.hull) for trial in self.trials)
        return 2 * self._counts.get(hull, 0) + on_trial

    def failed(self, group: RequestSpans, times: int, *, proven: bool, alive: bool) -> bool:
        """One more failure (`times`: how often it was asked for). Whether the request is doubtful
        now.

        `proven`: it was answered before; `alive`: the device answered others in the same read.
        """
        if proven and not alive:
            return False
        hull = group.hull
        self._counts[hull] = count = self._counts.get(hull, 0) + times
        return count >= (PROVEN if proven else NEW if alive else self._enough)

    def answered(self, groups: Iterable[RequestSpans]) -> None:
        """These were answered: they begin anew."""
        for group in groups:
            self._counts.pop(group.hull, None)
            self._fruitless.pop(group.hull, None)

    def cut(self, group: RequestSpans, *, alive: bool) -> bool:
        """Put a doubtful request of several spans on trial. False when another one is, and the
        device is silent."""
        if self.trials and not alive:
            return False
        seams, at_holes = _seams(group, self._fruitless.get(group.hull, 0))
        self._counts.pop(group.hull, None)
        self.trials = [*self.trials, SplitTrial(RequestSpans(group.spans), seams, at_holes)]
        self._known.tentative |= set(seams)
        return True

    def judge(
        self, answered: Sequence[RequestSpans], failed: Sequence[RequestSpans]
    ) -> tuple[list[SplitTrial], bool]:
        """A read is over: the trials whose pieces are to stay, and whether the plan has to be made
        anew."""
        if answered:
            self._enough = NEW
        if not failed and not self.trials:
            self._counts.clear()
        shown: list[SplitTrial] = []
        kept: list[SplitTrial] = []
        good = [group.hull for group in answered]
        bad = [group.hull for group in failed]
        for trial in self.trials:
            hull = trial.group.hull
            pieces = any(_within(other, hull) for other in good)
            trial.silent_reads += not good or trial.silent_reads < 0
            if hull in good:
                continue  # the whole is answered: it was something else
            if pieces and any(other == hull or _within(other, hull) for other in bad):
                shown.append(trial)
            elif trial.silent_reads < max(_TRIAL_READS, len(trial.seams) + 1):
                kept.append(trial)
            else:
                self._fruitless[hull] = self._fruitless.get(hull, 0) + 1
                self._enough = min(2 * self._enough, _MOST_CAUTIOUS)
                self._counts.clear()
        changed = len(kept) < len(self.trials)
        self.trials = kept
        self._known.tentative = frozenset(seam_ for trial in kept for seam_ in trial.seams)
        self._known.barriers.update(seam_ for trial in shown for seam_ in trial.seams)
        if shown:
            self._shown = [*self._shown, *shown]
        return shown, self._join_around_costly() or changed

    def costs(self, span: AddressSpan, until: float) -> None:
        """A span costs the connection or a time-out: it is asked for at `until` again, and nothing
        is read across."""
        self._known.costly[span] = until
        self._known.barriers.add(span)

    def note_answered(self, span: AddressSpan) -> bool:
        """It was answered. Whether that is news."""
        if self._known.costly.pop(span, None) is None:
            return False
        self._known.barriers.discard(span)
        return True

    def _join_around_costly(self) -> bool:
        """Where a single span was found to be the reason, the others need not be apart."""
        joined = [
            trial
            for trial in self._shown
            if not trial.at_holes
            and any(_within(span, trial.group.hull) for span in self._known.costly)
        ]
        self._shown = [trial for trial in self._shown if trial not in joined]
        for trial in joined:
            self._known.barriers.difference_update(trial.seams)
        return bool(joined)


def _within(hull: AddressSpan, outer: AddressSpan) -> bool:
    return (
        hull.table == outer.table
        and outer.start <= hull.start
        and hull.end <= outer.end
        and hull != outer
    )


def _seams(group: RequestSpans, fruitless: int) -> tuple[tuple[AddressSpan, ...], bool]:
    """Where to cut a request: at its holes (the flag); where it has none, between all its spans, or
    in two where those are very many. After fruitless trials of the same request into more and more
    pieces."""
    spans = group.spans
    cuts = []
    end = spans[0].end
    for place, span in enumerate(spans):
        if span.start > end:
            cuts.append(place)
        end = max(end, span.end)
    at_holes = bool(cuts) and not fruitless
    if not at_holes:
        cuts = list(range(1, len(spans)))
    if len(cuts) >= MOST_PIECES or fruitless:
        pieces = min(MOST_PIECES, len(spans), 2 << 2 * min(fruitless, 3))
        cuts = sorted({cuts[len(cuts) * piece // pieces] for piece in range(1, pieces)})
    return tuple(
        seam(RequestSpans(spans[:cut]), RequestSpans(spans[cut:])) for cut in cuts
    ), at_holes
