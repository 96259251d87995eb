"""From the rows of a point list to the keys of tags; every problem with its row and column, and all
at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from edge_agent import names
from edge_agent.commissioning.lists import cells
from edge_agent.commissioning.lists.addresses import (
    UNSTATED,
    AddressCounting,
    LocatedAddress,
    locate,
)
from edge_agent.commissioning.lists.columns import COLUMNS, IGNORED, column_of, is_for_people
from edge_agent.commissioning.lists.spreadsheet import FractionCell, SheetRows
from edge_agent.commissioning.lists.words import (
    WordError,
    is_write_only,
    report_word,
    type_and_order,
    type_word,
    word_order,
)
from edge_agent.errors import Finding, FindingsError
from edge_agent.register.columns import fold

_HEAD_WITHIN: Final = 10
"""A title or a note may stand above the head, in the first rows."""
_NEEDED: Final = ("tag", "address")


@dataclass(frozen=True, slots=True)
class ListTarget:
    """What the list is for: the keys that a tag of the connector has, and the device's own
    numbers."""

    keys: frozenset[str]
    unit: int | None = None
    """The unit number of the device, which addresses with one must have; None: it is not known."""
    counting: AddressCounting = UNSTATED

    @property
    def has_registers(self) -> bool:
        """Whether tags are at addresses of registers, and not at nodes."""
        return "address" in self.keys


@dataclass(frozen=True, slots=True)
class ListedTag:
    """One tag of a list: its keys as the configuration has them."""

    name: str
    keys: Mapping[str, Any]
    row: int
    columns: Mapping[str, str]
    """Key, or `tag` for the name -> the head of the column it comes from."""
    unit: int | None = None
    """The unit number its address names."""
    device: str = ""
    """The device its row names."""


@dataclass(slots=True)
class PointList:
    """What a file holds: points, and everything there is to say about its cells."""

    place: str
    points: list[ListedTag] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    devices: set[str] = field(default_factory=set)
    """The devices that rows name."""

    def at(self, row: int, head: str) -> str:
        """`file:row:column`, as a finding names a cell."""
        return f"{self.place}:{row}:{head}"


@dataclass(frozen=True, slots=True)
class _Table:
    """A sheet with its head understood."""

    heads: Mapping[str, str]
    """Column name -> its head as written."""
    positions: Mapping[str, int]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def parse(sheets: list[SheetRows], target: ListTarget, device: str | None = None) -> PointList:
    """The points of the first sheet with a head of a point list. `device`: only its rows, where
    rows name a device.

    Raises FindingsError when there is no such sheet; problems with cells are in the result.
    """
    for rows in sheets:
        found = PointList(rows.place)
        table = _head(rows, found)
        if table is not None:
            found.notes += [] if rows.doubt is None else [rows.doubt]
            _rows(table, target, device, found)
            return found
    needed = "、".join(f"{column.zh}/{column.en}" for column in COLUMNS if column.name in _NEEDED)
    raise FindingsError.one(
        "no-head",
        f"没有找到表头行；至少要有这些列：{needed}。",
        f"no head was found; these columns are needed at least: {needed}.",
        sheets[0].place,
    )


def _head(rows: SheetRows, found: PointList) -> _Table | None:
    for index, (number, cells_) in enumerate(rows.rows[:_HEAD_WITHIN]):
        positions: dict[str, int] = {}
        for position, text in enumerate(cells_):
            name = column_of(text) if text else None
            if name is not None and name not in positions:
                positions[name] = position
        _prefer_names(cells_, positions)
        if all(name in positions for name in _NEEDED) or {"tag", "hex_address"} <= positions.keys():
            heads = {name: cells_[position] for name, position in positions.items()}
            _note_heads(number, cells_, positions, found)
            return _Table(heads, positions, rows.rows[index + 1 :])
    return None


def _prefer_names(heads: tuple[str, ...], positions: dict[str, int]) -> None:
    """Of two columns with names (变量名 and 名称) the one for people is the description, where the
    list has none."""
    named = [at for at, text in enumerate(heads) if text and column_of(text) == "tag"]
    for_people = [at for at in named if is_for_people(heads[at])]
    if len(named) == 2 and len(for_people) == 1 and "description" not in positions:
        positions["description"] = for_people[0]
        positions["tag"] = next(at for at in named if at != for_people[0])


def _note_heads(
    number: int, heads: tuple[str, ...], positions: Mapping[str, int], found: PointList
) -> None:
    for position, text in enumerate(heads):
        if not text or position in positions.values() or fold(text) in IGNORED:
            continue
        name = column_of(text)
        if name is None:
            zh, en = (
                f"不认识的列“{text}”，已忽略。",
                f"the column “{text}” is not known and was ignored.",
            )
            found.notes.append(Finding("unknown-column", found.at(number, text), zh, en))
        else:
            zh = f"列“{text}”与前面的列含义相同，已忽略；请只保留一列。"
            en = (
                f"the column “{text}” means the same as one before it and was ignored; keep one "
                "of them."
            )
            found.problems.append(Finding("duplicate-column", found.at(number, text), zh, en))


def _rows(table: _Table, target: ListTarget, device: str | None, found: PointList) -> None:
    seen: dict[str, int] = {}
    of_others = 0
    for number, texts in table.rows:
        row = {
            name: texts[at] for name, at in table.positions.items() if at < len(texts) and texts[at]
        }
        named = row.get("device", "")
        if named:
            found.devices.add(named)
        if device is not None and named and named != device:
            of_others += 1
            continue
        _Row(number, row, table.heads, target, found).read(seen)
    if device is not None and of_others and not found.points:
        listed = "、".join(sorted(found.devices)[:8])
        zh = f"没有一行属于设备 {device!r}；表中的设备有：{listed}。"
        en = f"no row is of the device {device!r}; the devices of the list are: {listed}."
        found.problems.append(Finding("no-rows", found.place, zh, en))


class _Row:
    """One row on its way to a point."""

    def __init__(
        self,
        number: int,
        cells_: Mapping[str, str],
        heads: Mapping[str, str],
        target: ListTarget,
        found: PointList,
    ) -> None:
        self._number = number
        self._cells = cells_
        self._heads = heads
        self._target = target
        self._found = found
        self._keys: dict[str, Any] = {}
        self._columns: dict[str, str] = {"tag": heads.get("tag", "tag")}
        self._faulty = False

    def read(self, seen: dict[str, int]) -> None:
        """Add the point, or its problems. `seen`: the rows of the names so far."""
        if self._is_title() or self._skipped():
            return
        name = self._name(seen)
        unit = self._place()
        self._shape()
        self._scale()
        self._others()
        if name and not self._faulty:
            order = {key: at for at, key in enumerate(_ORDER)}
            keys = dict(sorted(self._keys.items(), key=lambda item: order.get(item[0], len(order))))
            device = self._cells.get("device", "")
            self._found.points.append(
                ListedTag(name, keys, self._number, self._columns, unit, device)
            )

    def _problem(self, column: str, zh: str, en: str, code: str = "bad-cell") -> None:
        self._faulty = True
        self._found.problems.append(
            Finding(code, self._found.at(self._number, self._heads.get(column, column)), zh, en)
        )

    def _note(self, column: str, zh: str, en: str) -> None:
        self._found.notes.append(
            Finding("note", self._found.at(self._number, self._heads.get(column, column)), zh, en)
        )

    def _put(self, key: str, value: Any, column: str) -> None:
        """Set a key that the connector's tags have; a problem otherwise."""
        if key not in self._target.keys:
            zh = f"这种设备的变量没有 {key} 这一项；请清空此格。"
            en = f"tags of this device have no {key}; clear this cell."
            self._problem(column, zh, en, "unknown-key")
            return
        self._keys[key] = value
        self._columns[key] = self._heads.get(column, column)

    def _read(self, column: str, key: str, read: Callable[[str], Any]) -> None:
        """A cell that holds one key."""
        if column in self._cells:
            value = self._understood(column, read)
            if value is not None:
                self._put(key, value, column)

    def _understood(self, column: str, read: Callable[[str], Any]) -> Any:
        try:
            return read(self._cells[column])
        except WordError as error:
            self._problem(column, error.zh, error.en)
            return None

    def _name(self, seen: dict[str, int]) -> str:
        name = self._cells.get("tag", "")
        if not name:
            self._problem(
                "tag",
                "没有变量名，请填写。",
                "the name of the tag is missing; fill it in.",
                "missing-cell",
            )
        elif (fault := names.fault(name)) is not None:
            self._problem(
                "tag", f"变量名{fault[0]}。", f"the name of a tag {fault[1]}.", "bad-name"
            )
        elif name in seen:
            zh, en = (
                f"变量名 {name!r} 重复（第 {seen[name]} 行已有），请改名。",
                (f"the name {name!r} is used twice (first in row {seen[name]}); rename one."),
            )
            self._problem("tag", zh, en, "duplicate-name")
        else:
            seen[name] = self._number
        return name

    def _is_title(self) -> bool:
        """A row with a name alone stands above a part of the list."""
        if self._cells.keys() <= {"tag", "description"} and len(self._cells) == 1:
            zh, en = (
                "这一行只有名称，当作小标题，已略过。",
                "the row has a name alone; it was taken for a title and left out.",
            )
            self._note("tag", zh, en)
            return True
        return False

    def _skipped(self) -> bool:
        if is_write_only(self._cells.get("access", "")):
            zh = "只写的点读不到，已略过。"
            en = "the point can only be written, and was left out."
            self._note("access", zh, en)
            return True
        return False

    def _place(self) -> int | None:
        column = "address" if "address" in self._cells else "hex_address"
        text = self._cells.get(column, "")
        if not text:
            self._problem(
                "address",
                "没有地址，请填写。",
                "the address is missing; fill it in.",
                "missing-cell",
            )
            return None
        if not self._target.has_registers:
            self._put("node" if cells.is_node(text) else "path", text, column)
            return None
        if isinstance(text, FractionCell):
            zh = (
                f"地址 {text} 是数字格式，末尾的零可能已丢失（40001.10 会变成 40001.1）；"
                "请把此列设为文本格式再填写。"
            )
            en = (
                f"the address {text} is in a cell of numbers, where a final zero is lost "
                "(40001.10 becomes 40001.1); "
                "format the column as text and write it again."
            )
            self._problem(column, zh, en)
            return None
        if column == "hex_address" and not text.lower().startswith("0x"):
            text = f"0x{text.rstrip('hH')}"
        return self._located(column, text)

    def _located(self, column: str, text: str) -> int | None:
        def read(_: str) -> LocatedAddress:
            return locate(
                text, self._cells.get("area", ""), self._target.counting, text_type=self._is_text()
            )

        found = self._understood(column, read)
        if found is None:
            return None
        if self._target.unit is not None and found.unit not in (None, self._target.unit):
            zh = f"此行的站号是 {found.unit}，而设备的是 {self._target.unit}；请分到另一台设备。"
            en = (
                f"the row is of unit {found.unit}, and the device is unit {self._target.unit}; "
                "give it another device."
            )
            self._problem(column, zh, en, "other-unit")
        if found.note is not None:
            self._note(column, *found.note)
        self._put("address", cells.scalar(found.address), column)
        for key in ("base", "word_order", "length"):
            if (value := getattr(found, key)) is not None:
                self._put(key, value, column)
        return found.unit  # type: ignore[no-any-return]

    def _is_text(self) -> bool:
        try:
            return type_word(self._cells.get("type", "")) == "string"
        except WordError:
            return False

    def _shape(self) -> None:
        opcua = not self._target.has_registers
        self._type(opcua)
        self._read("bit", "bit", cells.whole_number)
        self._read("length", "length", cells.whole_number)
        self._read("count", "count", cells.whole_number)
        self._read("word_order", "word_order", word_order)
        if self._keys.get("type") != "string":
            # many lists give a length to numbers, too; only a string takes one
            self._keys.pop("length", None)
        if self._keys.get("word_order") is not None and self._keys.get("type") in (
            "bool",
            "int8",
            "uint8",
        ):
            # a list states it for every row; where there is one byte it means nothing
            del self._keys["word_order"]

    def _type(self, opcua: bool) -> None:
        """The type; the byte order, too, where both are in one cell."""
        if opcua:
            self._read("type", "type", lambda text: type_word(text, opcua=True))
            return
        text, order = type_and_order(self._cells.get("type", ""))
        if text.strip():
            self._read("type", "type", lambda _: type_word(text))
        if order is not None and "word_order" not in self._cells:
            self._put("word_order", order, "type")

    def _scale(self) -> None:
        self._read("scale", "scale", cells.factor)
        if "decimals" in self._cells and "scale" not in self._keys:
            places = self._understood("decimals", cells.places)
            if places:
                self._put("scale", cells.scalar(f"{Decimal(1).scaleb(-places):f}"), "decimals")
        self._read("offset", "offset", cells.number)
        self._linear()
        for key, empty in (("scale", 1), ("offset", 0)):
            if self._keys.get(key) == empty:
                del self._keys[key]
        if self._keys.get("scale") == 0:  # Neuron's way to say that there is none
            del self._keys["scale"]

    def _linear(self) -> None:
        """The scaling of Kepware: raw and scaled ends of a straight line."""
        kind = fold(self._cells.get("scaling", ""))
        if kind in ("", "none", "无"):
            return
        if kind not in ("linear", "线性"):
            zh = f"换算方式“{self._cells['scaling']}”不是一次式，无法照搬；请在上层计算。"
            en = (
                f"the scaling “{self._cells['scaling']}” is no straight line and cannot be "
                "carried over."
            )
            self._problem("scaling", zh, en)
            return
        ends = []
        for column in ("raw_low", "raw_high", "scaled_low", "scaled_high"):
            if column not in self._cells:
                self._problem(
                    column, "换算需要这个数字。", "the scaling needs this number.", "missing-cell"
                )
            elif (end := self._understood(column, cells.exact)) is not None:
                ends.append(end)
        if len(ends) < 4:
            return
        raw_low, raw_high, low, high = ends
        if raw_low == raw_high:
            self._problem("raw_high", "原始上下限相等。", "both raw ends are equal.")
            return
        scale = (high - low) / (raw_high - raw_low)
        self._put("scale", cells.decimal(scale), "scaling")
        self._put("offset", cells.decimal(low - raw_low * scale), "scaling")

    def _others(self) -> None:
        self._read("unit", "unit", str)
        self._bounds()
        self._read("map", "map", cells.labels)
        self._read("deadband", "deadband", cells.deadband)
        self._read("every", "every", cells.duration)
        if "every" not in self._keys:
            self._read("every_ms", "every", cells.milliseconds)
        self._read("report", "report", report_word)
        self._read("description", "description", str)
        self._read("business_link", "business_link", str)
        if "negate" in self._cells and cells.flag(self._cells["negate"]):
            zh, en = (
                "取反没有照搬；请用 scale: -1。",
                "the negation was not carried over; use scale: -1.",
            )
            self._note("negate", zh, en)
        for key, value in (
            (self._understood("more", cells.mapping) or {}).items() if "more" in self._cells else ()
        ):
            self._put(key, value, "more")

    def _bounds(self) -> None:
        if "range" in self._cells:
            self._read("range", "range", cells.bounds)
            return
        there = [column for column in ("low", "high") if column in self._cells]
        if not there:
            return
        if len(there) == 1:
            absent = "high" if there == ["low"] else "low"
            self._problem(
                absent,
                "上限和下限要么都写，要么都不写。",
                "write both bounds or none.",
                "missing-cell",
            )
            return
        low, high = (self._understood(column, cells.number) for column in there)
        if low is not None and high is not None:
            self._put("range", [low, high], "low")


_ORDER: Final = (
    "address",
    "node",
    "path",
    "type",
    "bit",
    "length",
    "count",
    "word_order",
    "base",
    "scale",
    "offset",
    "unit",
    "range",
    "map",
    "deadband",
    "every",
    "report",
    "description",
    "business_link",
)


def units(points: list[ListedTag]) -> Iterator[int]:
    """The unit numbers that addresses name, each once, in order."""
    yield from sorted({point.unit for point in points if point.unit is not None})
