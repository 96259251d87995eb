"""Values whose power of ten the device gives in another register, as SunSpec's scale factors
are."""

from __future__ import annotations

from typing import Final

from edge_agent.model import STATUS, Batch, TagTable, Value, is_bad

#: SunSpec's scale factors lie within these; a number outside them says that the value is not
#: implemented.
_LOWEST: Final = -10
_HIGHEST: Final = 10


class Exponents:
    """The tags of one table with `scale_exponent_from`, and the last power of ten of each."""

    def __init__(self, table: TagTable) -> None:
        places = {name: place for place, name in enumerate(table.names)}
        self._pairs = [
            (place, places[tag.scale_exponent_from], frozenset(tag.sentinels))
            for place, tag in enumerate(table.tags)
            if tag.scale_exponent_from is not None
        ]
        self._last: dict[int, int | None] = {}
        """Column of an exponent -> its last power; None for one that means 'not implemented'."""

    def apply(self, batch: Batch) -> None:
        """Multiply in place. A value is bad as long as its power of ten is unknown, bad or out of
        range."""
        values = batch.values
        status = batch.status
        index_of = range(len(values)) if batch.columns is None else None
        at = (
            None
            if batch.columns is None
            else {place: index for index, place in enumerate(batch.columns)}
        )
        for place, exponent_place, sentinels in self._pairs:
            index = place if index_of is not None else (at or {}).get(place)
            other = exponent_place if index_of is not None else (at or {}).get(exponent_place)
            if other is not None:
                self._last[exponent_place] = _power(values[other], status.get(other, 0))
            if index is None or values[index] is None:
                continue
            if exponent_place not in self._last:
                _make_bad(index, "BadWaitingForInitialData", values, status)
                continue
            power = self._last[exponent_place]
            raw = values[index]
            if power is None or (isinstance(raw, int | float) and raw in sentinels):
                _make_bad(index, "BadSensorFailure", values, status)
            elif isinstance(raw, list):
                values[index] = [
                    _scaled(item, power) for item in raw if isinstance(item, int | float)
                ]
            elif isinstance(raw, int | float):
                values[index] = _scaled(raw, power)


def _power(value: Value, status: int) -> int | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and not is_bad(status)
    return value if usable and isinstance(value, int) and _LOWEST <= value <= _HIGHEST else None


def _scaled(raw: float, power: int) -> float:
    """One rounding only: 3900 with -1 is 390.0, and 1527 with -3 is 1.527."""
    return raw / 10**-power if power < 0 else float(raw * 10**power)


def _make_bad(index: int, name: str, values: list[Value], status: dict[int, int]) -> None:
    values[index] = None
    status[index] = STATUS[name]
