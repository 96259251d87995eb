"""What reading a table takes as long as the device refuses nothing, made once for all devices that
are read alike.

Devices of one type have the same tags, and mostly the same unit number and limits. They share the
points, the plan, the encoded requests and the compiled decoders. What a device teaches by its
refusals is its own (`reader`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import chain

from connectors.modbus.codec import BlockDecoder, Singles
from connectors.modbus.frame import ReadRequest
from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import ModbusDevice, ObjectName, tag_options
from connectors.modbus.parts import PartRead
from connectors.modbus.plan import AddressSpan, Knowledge, RequestLimits, RequestSpans, plan
from connectors.modbus.point import Point, is_wide_number, resolve
from edge_agent.sdk import Problem, Tag, TagTable


class PlanKey:
    """A device's options, equal to others' where they lead to the same requests and the same
    meaning of answers."""

    __slots__ = ("_key", "accepted", "options")

    def __init__(self, options: ModbusDevice) -> None:
        # Without the common keys, tags among them: what is shared must not hold on to the device it
        # was made for first.
        self.options = ModbusDevice.model_construct(
            **{key: getattr(options, key) for key in ModbusDevice.model_fields}
        )
        self.accepted = frozenset(options.accept_unit)
        limits = options.max_registers, options.max_bits, options.max_gap
        who = options.unit, options.accept_unit
        self._key = *who, options.base, options.word_order, *limits, *options.areas.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlanKey) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def request(self, table: ObjectName, start: int, size: int) -> ReadRequest:
        """A read of such a device."""
        return ReadRequest(self.options.unit, table, start, size, self.accepted)


class CompiledRequest:
    """A group, its request and its decoder."""

    __slots__ = ("block", "group", "places", "request")

    def __init__(
        self, group: RequestSpans, alike: PlanKey, points: Sequence[tuple[int, Point]]
    ) -> None:
        self.group = group
        start = group.start
        size = group.end - group.start
        self.request = alike.request(group.table, start, size)
        self.block = BlockDecoder(start, size, points)
        self.places = tuple(place for place, _ in points)


class RequestLayout:
    """The points of a table by their spans, and the requests that read all of them."""

    def __init__(self, tags: Sequence[Tag], alike: PlanKey) -> None:
        self._alike = alike
        self._limits = RequestLimits.of(alike.options)
        self._width = len(tags)
        self.points: dict[AddressSpan, tuple[tuple[int, Point], ...]] = {}
        """Span -> the columns it fills and what they hold."""
        self.problems: list[Problem] = []
        """Of tags that cannot be read, which have no points."""
        resolved: dict[int, Point] = {}
        for place, tag in enumerate(tags):
            try:
                point = resolve(tag_options(tag.where), alike.options)
            except InvalidError as error:
                self.problems.append(
                    Problem(tag.name, error.key, error.zh, error.en, error.certain)
                )
            else:
                resolved[place] = point
        names = {tag.name: place for place, tag in enumerate(tags)}
        for place, point in resolved.items():
            source = tags[place].scale_exponent_from
            exponent = None if source is None else resolved.get(names.get(source, -1))
            try:
                span = self._span(point, exponent, str(source))
            except InvalidError as error:
                self.problems.append(Problem(tags[place].name, error.key, error.zh, error.en))
            else:
                self.points[span] = (*self.points.get(span, ()), (place, point))

    def _span(self, point: Point, exponent: Point | None, source: str) -> AddressSpan:
        """The addresses of a point, with those of its power of ten: in two requests they could
        belong to two moments.

        Raises InvalidError where one request cannot carry both.
        """
        if exponent is None:
            return AddressSpan(point.object, point.address, point.end)
        start = min(point.address, exponent.address)
        end = max(point.end, exponent.end)
        limit = self._limits.size(point.object)
        if exponent.object != point.object or end - start > limit:
            raise InvalidError(
                "scale_exponent_from",
                f"{source} 与该标签不能在一次请求中读出（须在同一类寄存器内，相距不超过 {limit} "
                "个）：请核对地址。",
                f"{source} and this tag cannot be read in one request (the same kind of "
                f"register, within {limit}):"
                " check the addresses.",
            )
        return AddressSpan(point.object, start, end)

    @cached_property
    def oversized(self) -> frozenset[AddressSpan]:
        """Numbers with more registers than one request may have: they are read in parts."""
        return frozenset(
            span for span in self.points if span.end - span.start > self._limits.size(span.table)
        )

    @cached_property
    def singles(self) -> Singles:
        """The numbers of single precision among the points, ready for the first read."""
        return Singles(chain.from_iterable(self.points.values()), self._width)

    @cached_property
    def groups(self) -> list[RequestSpans]:
        """The fewest requests, without those for numbers that are read in parts."""
        return plan(self.points.keys() - self.oversized, self._limits, Knowledge())

    @cached_property
    def asks(self) -> list[CompiledRequest]:
        """The same, ready to be sent."""
        return [self.ask(group) for group in self.groups]

    @cached_property
    def requests(self) -> list[ReadRequest]:
        """What is sent."""
        return [ask.request for ask in self.asks]

    def part_read(self, span: AddressSpan) -> PartRead:
        """How to read a number in parts: as large as the limit allows, or register by register
        where the device does not keep to it."""
        size = span.end - span.start
        part = self._limits.registers if self._limits.registers < size else 1
        return PartRead(span, part, self._alike.request, self.points[span])

    def may_be_parted(self, span: AddressSpan) -> bool:
        """Whether the span holds nothing but single numbers of several registers."""
        size = span.end - span.start
        return all(is_wide_number(point) and point.size == size for _, point in self.points[span])

    def ask(self, group: RequestSpans) -> CompiledRequest:
        """How to read a group of spans."""
        return CompiledRequest(
            group, self._alike, [item for span in group.spans for item in self.points[span]]
        )


def layout_of(table: TagTable, device: ModbusDevice) -> RequestLayout:
    """The layout of a table; devices that are read alike have the same one."""
    return table.once(RequestLayout, PlanKey(device))
