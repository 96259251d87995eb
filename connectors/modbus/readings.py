"""Registers in every type and order side by side, and which of the readings makes sense. Pure: no
I/O."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.modbus.denormal import arrange
from connectors.modbus.options import ByteOrder
from edge_agent.discovery import Decoding, Plausible
from edge_agent.sdk import shortest_single

ORDERS: Final[tuple[ByteOrder, ...]] = ("ABCD", "CDAB", "BADC", "DCBA")

_WIDE: Final[dict[str, tuple[int, str]]] = {
    "float32": (2, ">f"), "int32": (2, ">i"), "uint32": (2, ">I"),
    "float64": (4, ">d"), "int64": (4, ">q"), "uint64": (4, ">Q"),
}  # fmt: skip

#: What a plant measures lies within these, whatever its unit.
_SMALL: Final = 1e-3
_LARGE: Final = 1e9
#: Powers of ten by which devices make whole numbers of decimals.
_SCALES: Final = (1.0, 0.1, 0.01, 0.001, 10.0, 100.0)
#: How far a value on a display may be from what is read a moment later.
_NEAR: Final = 0.01
_MOST_OFFERED: Final = 5
_LEAST_TEXT: Final = 4
_MOST_TEXT: Final = 40
"""Registers of one text that nobody expects."""
_LETTERS: Final = 0.8
"""The share of letters and digits in it."""
#: Fewer pairs of registers than this read as usual numbers by chance in some order or other.
_ENOUGH_PAIRS: Final = 3
#: By how much one order must be better than the next best before it is called the plausible one.
_AHEAD: Final = 0.2


def decodings(words: Sequence[int | None], at: int) -> tuple[Decoding, ...]:
    """Everything that can begin at a register."""
    word = words[at]
    if word is None:
        return ()
    signed = word - 0x10000 if word & 0x8000 else word
    found = [
        Decoding("uint16", "", word),
        Decoding("int16", "", signed),
        Decoding("bcd16", "", _bcd(word, 4)),
    ]
    found += [
        Decoding("text", order, _text(word.to_bytes(2, "big"), order)) for order in ("ABCD", "BADC")
    ]
    for name, (size, code) in _WIDE.items():
        data = _bytes(words, at, size)
        if data is not None:
            found += [
                Decoding(name, order, _unpacked(code, arrange(data, order))) for order in ORDERS
            ]
    data = _bytes(words, at, 2)
    if data is not None:
        found += [
            Decoding("bcd32", order, _bcd(int.from_bytes(arrange(data, order), "big"), 8))
            for order in ORDERS
        ]
    return tuple(found)


def plausible(
    table: str, first: int, words: Sequence[int | None], expect: float | str | None = None
) -> list[Plausible]:
    """The readings that make most sense, the best first. `table`: as in `holding/100`."""
    if isinstance(expect, str):
        return _texts_like(table, first, words, expect)
    if expect is not None:
        return _numbers_like(table, first, words, expect)
    found = _best_order(words)
    if found is not None and not found[0].doubtful:  # letters among them are bytes of the numbers
        return _numbers(table, first, found)
    texts = list(_texts(table, first, words))
    left: list[int | None] = list(words)
    for text in texts:
        at = int(text.address.rpartition("/")[2]) - first
        left[at : at + text.keys["length"] // 2] = [None] * (text.keys["length"] // 2)
    found = _best_order(left)
    return [*(_numbers(table, first, found) if found is not None else ()), *texts]


# --- what a person expects ------------------------------------------------------------------------


def _numbers_like(
    table: str, first: int, words: Sequence[int | None], expect: float
) -> list[Plausible]:
    """Every place, type, order and power of ten that reads as expected: exactly, else within one
    percent."""
    exact: list[tuple[tuple[float, float, int], Plausible]] = []
    near: list[tuple[float, Plausible]] = []
    for at in range(len(words)):
        for one in decodings(words, at):
            if one.type == "text" or one.value is None or isinstance(one.value, str):
                continue
            for scale in _SCALES if not one.type.startswith("float") else (1.0,):
                away = abs(one.value * scale - expect)
                if away <= _rounding(expect):
                    rank = (
                        _rank(one, scale),
                        away,
                        ORDERS.index(one.order) if one.order in ORDERS else 0,
                    )
                    exact.append((rank, _as_expected(table, first + at, one, scale, expect)))
                elif expect and away <= _NEAR * abs(expect):
                    near.append((away, _as_expected(table, first + at, one, scale, expect)))
    exact.sort(key=lambda pair: pair[0])
    near.sort(key=lambda pair: pair[0])
    return [found for _, found in exact or near][:_MOST_OFFERED]


def _rounding(expect: float) -> float:
    """Half a unit of the last digit that was written, and never finer than a single float."""
    text = f"{expect:.12g}"
    digits = len(text.partition(".")[2]) if "e" not in text else 0
    return max(0.5 * 10.0**-digits, abs(expect) * 2.0**-23) * 1.0000001


def _rank(one: Decoding, scale: float) -> float:
    """Wide types read an expected number by chance least; a power of ten makes chance likelier.
    Among equals the nearest counts: a float read one register aside differs in its last digits
    only."""
    width = {
        "float32": 0,
        "float64": 0,
        "int32": 2,
        "uint32": 1,
        "int64": 6,
        "uint64": 5,
        "bcd16": 8,
        "bcd32": 7,
    }
    return width.get(one.type, 4) + 10 * (scale != 1.0)


def _as_expected(table: str, address: int, one: Decoding, scale: float, expect: float) -> Plausible:
    value = _neat(float(one.value or 0) * scale) if scale != 1.0 else one.value or 0
    keys: dict[str, object] = {"address": f"{table}/{address}", "type": one.type}
    if one.order:
        keys["word_order"] = one.order
    if scale != 1.0:
        keys["scale"] = scale
    read = f"{one.type} {one.order}".strip() + (f" x {scale:g}" if scale != 1.0 else "")
    zh = f"{table}/{address} 按 {read} 读作 {value:.12g}，与期望的 {expect:.12g} 相符。"
    en = f"{table}/{address} reads {value:.12g} as {read}, and {expect:.12g} was expected."
    return Plausible(f"{table}/{address}", one.type, one.order, value, zh, en, keys)


def _neat(value: float) -> float:
    return float(f"{value:.10g}")


# --- texts ----------------------------------------------------------------------------------------


def _texts_like(
    table: str, first: int, words: Sequence[int | None], expect: str
) -> list[Plausible]:
    found = []
    for order in ("ABCD", "BADC"):
        for encoding in ("ascii", "utf-8", "gbk", "utf-16-be"):
            for at in range(len(words)):
                size = _length_of(expect, encoding)
                data = _bytes(words, at, (size + 1) // 2) if size else None
                if (
                    data is not None
                    and _plain(data, order)[:size].decode(encoding, "replace") == expect
                ):
                    found.append(_text_reading(table, first + at, order, encoding, size, expect))
                    break
            if found:
                return found
    return found


def _length_of(text: str, encoding: str) -> int:
    try:
        return len(text.encode(encoding))
    except UnicodeEncodeError:
        return 0


def _text_reading(
    table: str, address: int, order: str, encoding: str, size: int, text: str
) -> Plausible:
    keys: dict[str, object] = {"address": f"{table}/{address}", "type": "string", "length": size}
    if order != "ABCD":
        keys["word_order"] = order
    if encoding != "ascii":
        keys["encoding"] = encoding
    zh = (
        f"{table}/{address} 起的 {(size + 1) // 2} 个寄存器是文字 {text!r}（{encoding}，{order}）。"
    )
    en = (
        f"The {(size + 1) // 2} registers from {table}/{address} on are the text {text!r} "
        f"({encoding}, {order})."
    )
    return Plausible(f"{table}/{address}", "string", order, text, zh, en, keys)


def _texts(table: str, first: int, words: Sequence[int | None]) -> Iterator[Plausible]:
    """Runs of some registers whose bytes are all printable and mostly letters and digits."""
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and end - at < _MOST_TEXT and _is_text(words[end]):
            end += 1
        data = _bytes(words, at, end - at) if end - at >= _LEAST_TEXT else None
        if data is not None:
            straight = data.decode("ascii").rstrip("\0 ")
            if sum(map(str.isalnum, straight)) >= _LETTERS * len(straight):
                yield _text_reading(table, first + at, "ABCD", "ascii", 2 * (end - at), straight)
        at = max(end, at + 1)


def _is_text(word: int | None) -> bool:
    return word is not None and all(32 <= byte < 127 for byte in word.to_bytes(2, "big"))


# --- numbers, without a hint ----------------------------------------------------------------------


@dataclass(slots=True)
class _Hypothesis:
    """All registers of the block, two by two, in one type and order."""

    type: str
    order: ByteOrder
    start: int
    fits: list[tuple[int, int | float]]
    """Register and value of the pairs that make sense."""
    doubtful: int
    """Pairs that are not zero and make none."""

    @property
    def weight(self) -> float:
        return sum(_usual(value) for _, value in self.fits) - 2.0 * self.doubtful


def _best_order(words: Sequence[int | None]) -> tuple[_Hypothesis, _Hypothesis] | None:
    """The type and order in which the block makes most sense, and the next best order; None where
    none is better."""
    if _are_small(words):
        return None
    hypotheses = [
        _hypothesis(words, type_, order, start)
        for type_ in ("float32", "int32")
        for order in ORDERS
        for start in (0, 1)
    ]
    hypotheses.sort(
        key=lambda one: (-one.weight, one.type != "float32", one.start, ORDERS.index(one.order))
    )
    best = hypotheses[0]
    if not best.fits or best.weight <= 0:
        return None
    second = next(
        (one for one in hypotheses if one.order != best.order and one.type == best.type), best
    )
    return (best, second) if best.weight - second.weight >= _AHEAD else None


def _numbers(table: str, first: int, found: tuple[_Hypothesis, _Hypothesis]) -> list[Plausible]:
    best, second = found
    return [_of_hypothesis(table, first, at, value, best, second) for at, value in best.fits]


def _are_small(words: Sequence[int | None]) -> bool:
    """Whether every register is a small number by itself: then they are 16-bit values, and no pair
    is."""
    known = [word for word in words if word]
    return all(word <= 10_000 or word >= 0xFF00 for word in known) and not any(
        words[at] in (0, 0xFFFF) and (words[at + 1] or 0) > 10_000 for at in range(len(words) - 1)
    )


def _hypothesis(
    words: Sequence[int | None], type_: str, order: ByteOrder, start: int
) -> _Hypothesis:
    _, code = _WIDE[type_]
    made = _Hypothesis(type_, order, start, [], 0)
    for at in range(start, len(words) - 1, 2):
        data = _bytes(words, at, 2)
        if data is None or data == bytes(4):
            continue
        value = _unpacked(code, arrange(data, order))
        if value is not None and _makes_sense(type_, value):
            made.fits.append((at, value))
        else:
            made.doubtful += 1
    return made


def _makes_sense(type_: str, value: int | float) -> bool:
    if type_ == "float32":
        return math.isfinite(value) and _SMALL <= abs(value) <= _LARGE
    return 0 < abs(value) < 1 << 27


def _usual(value: int | float) -> float:
    """What a value speaks for its order: more when it is of an ordinary size, or has few digits."""
    size = 0.25 if 0.01 <= abs(value) < 1e5 else 0.0
    digits = 0.25 if len(f"{abs(value):.9g}".replace(".", "").strip("0")) <= 5 else 0.0
    return 1.0 + size + digits


def _of_hypothesis(
    table: str, first: int, at: int, value: int | float, best: _Hypothesis, second: _Hypothesis
) -> Plausible:
    pairs = len(best.fits) + best.doubtful
    others = len(second.fits) + second.doubtful
    where = f"{table}/{first + at}"
    read = f"{best.type} {best.order}"
    zh = (
        f"{read}：{pairs} 对寄存器中有 {len(best.fits)} 对是常见大小的数；{second.order} 为 "
        f"{others} 对中的"
        f" {len(second.fits)} 对。"
    )
    en = (
        f"{read}: {len(best.fits)} of {pairs} pairs of registers are numbers of an ordinary "
        f"size; in {second.order} it"
        f" is {len(second.fits)} of {others}."
    )
    if pairs < _ENOUGH_PAIRS:
        zh += "寄存器太少，可能是巧合：请用 --expect 确认。"
        en += " So few may be chance: confirm it with --expect."
    keys = {"address": where, "type": best.type, "word_order": best.order}
    # two small numbers are an int32
    certain = best.type == "float32" and pairs >= _ENOUGH_PAIRS and not best.doubtful
    return Plausible(where, best.type, best.order, value, zh, en, keys, certain)


# --- bytes ----------------------------------------------------------------------------------------


def _bytes(words: Sequence[int | None], at: int, count: int) -> bytes | None:
    part = words[at : at + count]
    if len(part) < count or None in part:
        return None
    return b"".join(word.to_bytes(2, "big") for word in part if word is not None)


def _unpacked(code: str, data: bytes) -> int | float | None:
    (value,) = struct.unpack(code, data)
    if code == ">f":
        return float(shortest_single(value)) if math.isfinite(value) else None
    if code == ">d" and not math.isfinite(value):
        return None
    found: int | float = value
    return found


def _bcd(number: int, digits: int) -> int | None:
    text = f"{number:0{digits}x}"
    return int(text) if text.isdecimal() else None


def _plain(data: bytes, order: str) -> bytes:
    """The bytes of a text, swapped within each register where the device does so."""
    return (
        b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
        if order == "BADC"
        else data
    )


def _text(data: bytes, order: str) -> str | None:
    plain = _plain(data, order)
    return plain.decode("ascii") if all(32 <= byte < 127 for byte in plain) else None
