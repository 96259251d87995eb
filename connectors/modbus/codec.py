"""The data bytes of one request -> values, compiled once: one `struct` for the whole block wherever
that can be.

Bytes are never moved value by value. With its bytes swapped within each register, a CDAB value is
little-endian and a BADC value big-endian, so four byte orders come down to two views of the block
and two struct prefixes:

    ABCD  '>'  as it came        CDAB  '<'  swapped
    DCBA  '<'  as it came        BADC  '>'  swapped
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any, Final, NamedTuple, cast

from connectors.modbus.denormal import (
    FLOATS,
    LARGE,
    DenormalInArrayError,
    Floats,
    denormal_of,
    denormals,
)
from connectors.modbus.options import ByteOrder, DataType
from connectors.modbus.point import HALVES, WORDS, NulRule, Point, is_bits
from edge_agent.sdk import STATUS, Value, prepare_singles, shortest_singles

_CODES: Final[dict[DataType, str]] = {
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "bcd16": "H",
    "int32": "i", "uint32": "I", "float32": "f", "bcd32": "I",
    "int64": "q", "uint64": "Q", "float64": "d", "bool": "H",
}  # fmt: skip
_PREFIX: Final[dict[ByteOrder, str]] = {"ABCD": ">", "DCBA": "<", "CDAB": "<", "BADC": ">"}
_SWAPPED: Final = frozenset({"CDAB", "BADC"})

#: The eight bits of each byte, least significant first: the order of coils in an answer (6.1).
_BITS: Final = tuple(tuple(bool(byte >> n & 1) for n in range(8)) for byte in range(256))

_ALPHANUMERIC: Final = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

Convert = Callable[[Any], Value]
Raw = Sequence[Any]
Unpack = Callable[[bytes], tuple[Any, ...]]


def swap_bytes(data: bytes) -> bytes:
    """The two bytes of every register exchanged."""
    words = array("H", data)
    words.byteswap()
    return words.tobytes()


@dataclass(slots=True)
class _Layer:
    """Fields of one byte order that do not overlap, read by one struct."""

    order: ByteOrder
    end: int = 0
    """Bytes of the block covered so far."""
    format: list[str] = field(default_factory=list)
    slots: int = 0

    def add(self, new: _Field) -> None:
        if new.start > self.end:
            self.format.append(f"{new.start - self.end}x")
        self.format.append(new.code * new.repeat)
        self.slots += new.repeat
        self.end = new.start + struct.calcsize(f">{new.code}") * new.repeat

    def compiled(self, size: int) -> Unpack:
        """`size` is the whole block's, in bytes."""
        padding = f"{size - self.end}x" if size > self.end else ""
        unpack = struct.Struct(_PREFIX[self.order] + "".join(self.format) + padding).unpack
        return partial(_unpack_swapped, unpack) if self.order in _SWAPPED else unpack


def _unpack_swapped(unpack: Unpack, data: bytes) -> tuple[Any, ...]:
    return unpack(swap_bytes(data))


class BlockDecoder:
    """One request's decoder: `points` with their places in the table's columns.

    `decode(data, values, status)` takes the data bytes of an answer (their number already checked)
    and fills in `values`; what cannot be decoded gets BadDecodingError in `status` and no value.
    What is doubtful (a denormal float, a text with more behind its end) gets Uncertain; the places
    of denormal floats are returned.
    """

    __slots__ = ("_convert", "_floats", "_pick", "_places", "_slice", "_unpack")

    def __init__(self, start: int, size: int, points: Sequence[tuple[int, Point]]) -> None:
        ordered = sorted(points, key=lambda item: (item[1].address, item[1].low_byte, item[0]))
        bits = bool(points) and is_bits(points[0][1].object)
        if bits:
            unpack: Callable[[bytes], Raw] = _bits_of
            slots, given = (
                [_cut(point.address - start, point.count) for _, point in ordered],
                -(-size // 8) * 8,
            )
        else:
            unpack, slots, given = _registers(start, size, ordered)
        self._unpack = unpack
        self._floats = Floats.of(start, ordered)
        self._pick = _picker(slots, given)
        self._places = tuple(place for place, _ in ordered)
        first = self._places[0] if ordered else 0
        consecutive = self._places == tuple(range(first, first + len(ordered)))
        self._slice = slice(first, first + len(ordered)) if consecutive else None
        self._convert = tuple(
            (place, convert)
            for place, point in ordered
            if (convert := _conversion(point, bits)) is not None
        )

    def decode(self, data: bytes, values: list[Value], status: dict[int, int]) -> Sequence[int]:
        raw = self._unpack(data)
        if self._pick is not None:
            raw = self._pick(raw)
        if self._slice is not None:
            values[self._slice] = raw
        else:
            for place, value in zip(self._places, raw, strict=True):
                values[place] = value
        arrays: tuple[int, ...] = ()
        for place, convert in self._convert:
            try:
                values[place] = convert(values[place])
            except DoubtfulTextError as doubtful:
                values[place] = doubtful.text
                status[place] = STATUS["Uncertain"]
            except DenormalInArrayError as doubtful:
                values[place] = doubtful.numbers
                status[place] = STATUS["Uncertain"]
                arrays = (*arrays, place)
            except ValueError:
                values[place] = None
                status[place] = STATUS["BadDecodingError"]
        floats = self._floats
        if floats is None:
            return arrays
        small = floats.first_bytes(data).translate(None, LARGE)
        # Zeros look the same by their first byte; they are counted at C speed, and are mostly all
        # there is.
        if not small or len(small) == floats.column(values).count(0.0):
            return arrays
        found = denormals(floats.places, values)
        status.update(dict.fromkeys(found, STATUS["Uncertain"]))
        return [*found, *arrays]


class DoubtfulTextError(ValueError):
    """A text that goes on behind what should be its end; `text` is what stands before it."""

    def __init__(self, text: str) -> None:
        super().__init__("text behind a NUL")
        self.text = text


class Singles:
    """The single-precision numbers of a table, which a read turns into their shortest decimals all
    at once."""

    __slots__ = ("_lists", "_pick", "_places", "_whole")

    def __init__(self, points: Iterable[tuple[int, Point]], width: int) -> None:
        """`points` with their columns in a table of `width` columns."""
        singles = sorted((place, point.count) for place, point in points if point.type == "float32")
        self._places = tuple(place for place, count in singles if count == 1)
        self._lists = tuple(place for place, count in singles if count > 1)
        self._whole = len(self._places) == width
        if singles:
            prepare_singles()
        self._pick: Callable[[list[Value]], Any] | None = (
            itemgetter(*self._places) if len(self._places) > 1 else None
        )

    def shorten(self, values: list[Value], status: dict[int, int]) -> None:
        """Change the values in place; what is bad has none."""
        for place in self._lists:
            items = values[place]
            if isinstance(items, list):
                values[place] = shortest_singles(cast("list[float]", items))
        if not self._places:
            return
        if status or self._pick is None:
            places = tuple(place for place in self._places if type(values[place]) is float)
            picked: Any = [values[place] for place in places]
        else:
            places = self._places
            picked = values if self._whole else self._pick(values)
        short = shortest_singles(picked)
        if len(places) == len(values):
            values[:] = short
            return
        for place, value in zip(places, short, strict=True):
            values[place] = value


def _bits_of(data: bytes) -> list[bool]:
    return list(chain.from_iterable(map(_BITS.__getitem__, data)))


def _cut(first: int, count: int) -> int | slice:
    return first if count == 1 else slice(first, first + count)


def _picker(slots: list[int | slice], given: int) -> Callable[[Raw], Raw] | None:
    """From the `given` items unpacked to one raw value for each point, in order; None when they are
    just that."""
    if slots == list(range(len(slots))):
        return None if len(slots) == given else itemgetter(slice(0, len(slots)))
    if len(slots) == 1:
        return partial(_single, slots[0])
    return itemgetter(*slots)


def _single(slot: int | slice, raw: Raw) -> Raw:
    return (raw[slot],)


def _registers(
    start: int, size: int, ordered: Sequence[tuple[int, Point]]
) -> tuple[Callable[[bytes], Raw], list[int | slice], int]:
    """The unpacker of a block of registers, where in what it gives each point is (a slice for
    several), and how many items it gives."""
    fields = [_field(start, point) for _, point in ordered]
    layers: list[_Layer] = []
    found = {key: _place(layers, key) for key in fields}
    offsets = [0, *accumulate(layer.slots for layer in layers)]
    slots = [_cut(offsets[found[key][0]] + found[key][1], key.repeat) for key in fields]
    unpackers = [layer.compiled(2 * size) for layer in layers]
    return (
        (unpackers[0] if len(unpackers) == 1 else partial(_unpack_all, unpackers)),
        slots,
        offsets[-1],
    )


def _unpack_all(unpackers: Sequence[Unpack], data: bytes) -> list[Any]:
    return [value for unpack in unpackers for value in unpack(data)]


class _Field(NamedTuple):
    """What one point takes from its block. Points with equal fields (the bits of a register) share
    one."""

    order: ByteOrder
    start: int
    """Byte in the block."""
    code: str
    repeat: int


def _field(start: int, point: Point) -> _Field:
    first = 2 * (point.address - start)
    if point.type == "string":
        return _Field(point.order, first, f"{2 * point.size}s", 1)
    if point.type == "bool":
        return _Field(point.order, first, "H", point.size)
    if point.type in HALVES:
        return _Field(point.order, first + point.low_byte, _CODES[point.type], 1)
    return _Field(point.order, first, _CODES[point.type], point.count)


def _place(layers: list[_Layer], key: _Field) -> tuple[int, int]:
    """Put a field into the first layer that has room: the numbers of the layer and of the slot in
    it."""
    roomy = (
        n for n, layer in enumerate(layers) if layer.order == key.order and layer.end <= key.start
    )
    number = next(roomy, len(layers))
    if number == len(layers):
        layers.append(_Layer(key.order))
    slot = layers[number].slots
    layers[number].add(key)
    return number, slot


def _conversion(point: Point, bits: bool) -> Convert | None:
    """What is left to do for a point after unpacking; None for plain numbers and bits."""
    if bits:
        return None
    if point.type == "string":
        return partial(text, point.length or 0, point.encoding, point.nul)
    if point.type == "bool":
        return _bool_conversion(point)
    if point.type in ("bcd16", "bcd32"):
        one = partial(bcd, 4 * WORDS[point.type])
        return one if point.count == 1 else partial(_each, one)
    if point.count == 1:
        return None
    return partial(_float_list, point) if point.type in FLOATS else list


def _float_list(point: Point, raw: Sequence[float]) -> list[float]:
    numbers = list(raw)
    if denormal_of(numbers, point) is not None:
        raise DenormalInArrayError(numbers)
    return numbers


def _bool_conversion(point: Point) -> Convert:
    if point.bit is None:
        return bool
    if point.count == 1:
        return partial(_bit, point.bit)
    return partial(_bit_list, point.bit, point.count)


def _bit(bit: int, word: int) -> bool:
    return bool(word >> bit & 1)


def _bit_list(first: int, count: int, words: int | Sequence[int]) -> list[bool]:
    """`count` bits from bit `first` of the first register on, running over into the next ones."""
    registers = (words,) if isinstance(words, int) else words
    return [bool(registers[n // 16] >> n % 16 & 1) for n in range(first, first + count)]


def _each(convert: Callable[[int], int], raw: Sequence[int]) -> list[int]:
    return [convert(number) for number in raw]


def bcd(digits: int, number: int) -> int:
    """Packed BCD, a decimal digit in each nibble. Raises ValueError for a nibble above 9."""
    return int(f"{number:0{digits}x}")


def text(length: int, encoding: str, nul: NulRule, data: bytes) -> str:
    """The first `length` bytes as text, without padding: NULs before it, NULs and spaces behind it.

    Raises DoubtfulTextError where text follows a NUL and nobody said what that means.
    """
    data = data[:length]
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf16", "utf-32", "utf32"))
    if nul == "skip":
        whole = data.decode(encoding) if wide else data.replace(b"\0", b"").decode(encoding)
        return whole.replace("\0", "").strip(" ")
    rest = b""
    if not wide:
        # Cut before decoding where a NUL byte is always a NUL character: what is behind it may be
        # no text at all.
        data, _, rest = data.lstrip(b"\0").partition(b"\0")
    found, _, behind = data.decode(encoding).lstrip("\0").partition("\0")
    found = found.strip(" ")
    if nul == "uncertain" and (_has_text(rest) or any(map(str.isalnum, behind))):
        raise DoubtfulTextError(found)
    return found


def _has_text(rest: bytes) -> bool:
    return any(byte in _ALPHANUMERIC for byte in rest)
