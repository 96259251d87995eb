"""What counters leave open: readings that were set aside, and readings that have not come. It goes
with every figure that rests on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.metrics.counters import SET_ASIDE, CounterEvent
from edge_agent.metrics.definitions import Text
from edge_agent.metrics.remarks import with_range
from edge_agent.metrics.result import MetricResult, iso, number
from edge_agent.production.facts import CounterReadings

#: What each event is, for people.
KINDS: Final = {
    "rollover": Text("回零（正常）", "rolled over (normal)"),
    "restart": Text("清零重计", "restarted from 0"),
    "break": Text(
        "下降后未回升：视为更换，跨越处不计",
        "fell and stayed low: replaced, nothing counted across",
    ),
    "epoch": Text("定义变更，跨越处不计", "its definition changed, nothing counted across"),
    "exchange": Text("换表", "meter exchanged"),
    "unit": Text(
        "读数的单位未知或不相容，无法换算", "read in a unit that is unknown or of another quantity"
    ),
    "jump": Text("跳变超出可能，未计入", "a step beyond what is possible, set aside"),
    "glitch": Text("跳高后回落，未计入", "went up and came back, set aside"),
    "false_zero": Text("跌落后恢复（假零），未计入", "fell and came back (false zero), set aside"),
    "out_of_range": Text("超出 range，未计入", "outside its range, set aside"),
}
_STEPS: Final = frozenset({"break", "epoch", "exchange", "unit"})


@dataclass(frozen=True, slots=True)
class CountDoubts:
    """Of some counters in a window."""

    set_aside: tuple[tuple[CounterReadings, CounterEvent], ...] = ()
    """Readings that are left out."""
    epochs: tuple[tuple[CounterReadings, CounterEvent], ...] = ()
    """Where nothing was counted across, or a meter was exchanged."""
    unknown: tuple[CounterReadings, ...] = ()
    """Counters whose next reading has not come."""
    zone: str = "UTC"
    stand_ins: tuple[tuple[str, int, int], ...] = ()
    """(line, from, to) in which its machines stand in for its meter, which was not there, ns."""

    @classmethod
    def of(
        cls,
        counters: Iterable[CounterReadings | None],
        events: Iterable[tuple[CounterReadings, CounterEvent]],
        zone: str,
    ) -> CountDoubts:
        """`events`: those of the window, of these counters."""
        found = list(events)
        return cls(
            tuple(
                each for each in found if each[1].kind in SET_ASIDE and each[1].counted is not True
            ),
            tuple(each for each in found if each[1].kind in _STEPS),
            tuple(each for each in counters if each is not None and each.unknown_since is not None),
            zone,
        )

    def __add__(self, other: CountDoubts) -> CountDoubts:
        return CountDoubts(
            self.set_aside + other.set_aside,
            self.epochs + other.epochs,
            self.unknown + other.unknown,
            self.zone,
            self.stand_ins + other.stand_ins,
        )

    def known_until(self, t: int) -> CountDoubts:
        """The same for who asks only of what was counted up to `t` (ns)."""
        return replace(
            self, unknown=tuple(each for each in self.unknown if (each.unknown_since or 0) < t)
        )

    @property
    def provisional(self) -> bool:
        """Whether the figures may still change: nobody has decided, or the next reading will
        tell."""
        return bool(self.unknown or self.stand_ins) or any(
            event.is_undecided for _, event in self.set_aside
        )

    @property
    def notes(self) -> tuple[Text, ...]:
        """A sentence for each counter and kind."""
        return (
            *self._set_aside_notes(),
            *self._unknown_notes(),
            *self._epoch_notes(),
            *self._stand_in_notes(),
        )

    @property
    def of_unit(self) -> tuple[Text, ...]:
        """A sentence for each counter whose count is not known because of its unit."""
        return tuple(map(self._step_note, (each for each in self.epochs if each[1].kind == "unit")))

    def _set_aside_notes(self) -> Iterable[Text]:
        by_counter: dict[str, list[tuple[CounterReadings, CounterEvent]]] = {}
        for counter, event in self.set_aside:
            by_counter.setdefault(f"{counter.device}/{counter.tag}", []).append((counter, event))
        for name, found in by_counter.items():
            _, first = found[0]
            number_of = sum(event.readings for _, event in found)
            at = self._time(first.t)
            reading, amount = (
                _digits(first.after),
                _digits(sum(Fraction(event.amount) for _, event in found)),
            )
            open_zh = "待人工判定，暂定"
            open_en = "nobody has decided yet: provisional"
            if not any(event.is_undecided for _, event in found):
                open_zh = "已判定"
                open_en = "decided"
            yield Text(
                f"{name}：{number_of} 个读数不可能，未计入（首个 {at}，读数 {reading}；合计 "
                f"{amount}）；{open_zh}。",
                f"{name}: {number_of} readings are not possible and were set aside (the first at "
                f"{at}, reading "
                f"{reading}; {amount} in all); {open_en}.",
            )

    def _unknown_notes(self) -> Iterable[Text]:
        for counter in self.unknown:
            at = self._time(counter.unknown_since or 0)
            yield Text(
                f"{counter.device}/{counter.tag}：{at} 之后还没有读数，此后未知，暂定；"
                "有新读数后重新出具即补全。",
                f"{counter.device}/{counter.tag}: no reading since {at}; what came after is not "
                "known: provisional; "
                "a re-issue completes it.",
            )

    def _epoch_notes(self) -> Iterable[Text]:
        yield from map(self._step_note, self.epochs)

    def _stand_in_notes(self) -> Iterable[Text]:
        for line, start, end in self.stand_ins:
            since = self._time(start)
            until = self._time(end)
            yield Text(
                f"{line}：{since} 至 {until} 产线没有电表读数，这段时间按各设备的电能合计，暂定。",
                f"{line}: no meter of the line from {since} to {until}: the sum of its machines "
                "stands in: "
                "provisional.",
            )

    def _step_note(self, step: tuple[CounterReadings, CounterEvent]) -> Text:
        counter, event = step
        kind = KINDS[event.kind]
        at = self._time(event.t)
        name = f"{counter.device}/{counter.tag}"
        if event.kind == "unit":
            return Text(
                f"{name}：{at} 起{kind.zh}（{event.basis}），不计入；请核对 unit。",
                f"{name}: from {at} on {kind.en} ({event.basis}): its count is not known; check "
                "`unit`.",
            )
        return Text(f"{name}：{at} {kind.zh}。", f"{name}: {at} {kind.en}.")

    def _time(self, t: int) -> str:
        """By the plant's clock, to the second."""
        moment = datetime.fromtimestamp(t // 1_000_000_000, UTC).astimezone(ZoneInfo(self.zone))
        return moment.strftime("%Y-%m-%d %H:%M:%S")

    def details(self) -> dict[str, Any]:
        """For programs: empty without any doubt."""
        found: dict[str, Any] = {}
        if self.set_aside:
            found["set_aside"] = [
                event_document(counter, event) for counter, event in self.set_aside
            ]
        if self.unknown:
            since = min(counter.unknown_since or 0 for counter in self.unknown)
            found["unknown_since"] = iso(since)
        return found


NO_DOUBTS: Final = CountDoubts()


def doubted(result: MetricResult, doubts: CountDoubts) -> MetricResult:
    """A figure that rests on these counters, with what must be said beside it."""
    result = with_range(result)
    if result.value is None and doubts.of_unit:
        result = replace(result, reason=doubts.of_unit[0])
    notes = tuple(note for note in doubts.notes if note not in result.notes)
    if not notes:
        return result
    return replace(
        result,
        provisional=result.provisional or doubts.provisional,
        notes=(*result.notes, *notes),
        details={**result.details, **doubts.details()},
    )


def event_document(counter: CounterReadings, event: CounterEvent) -> dict[str, Any]:
    """An event as plain JSON; amounts in the counter's unit."""
    return {
        "device": counter.device,
        "tag": counter.tag,
        "role": counter.role,
        "t": event.t,
        "kind": event.kind,
        "before": number(Fraction(event.before)),
        "after": number(Fraction(event.after)),
        "amount": number(Fraction(event.amount)),
        "readings": event.readings,
        "basis": event.basis,
        "counted": event.counted,
    }


def _digits(value: Fraction | float) -> str:
    return f"{float(value):.6g}" if Fraction(value).denominator != 1 else str(int(value))
