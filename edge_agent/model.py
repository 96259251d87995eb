"""What the agent talks about: tags, the tables they are compiled into, batches and their quality.

Nothing but the tables of names below it, and columns instead of objects: one poll of one device is
one `Batch`, and nothing is allocated per reading between the socket and the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from edge_agent.reasons import Cause
from edge_agent.status_codes import STATUS_CODES

Kind = Literal["bool", "int", "float", "text", "array", "any"]
"""The shape of a value: JSON boolean, integer, number, string, or a list of one of these; `any`: as
the device has it, which is not known before it is asked."""

KIND_OF_TYPE: Final[Mapping[type, Kind]] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "text",
    list: "array",
}

Value = bool | int | float | str | list[bool] | list[int] | list[float] | list[str] | None

T = TypeVar("T")

GOOD: Final = 0x00000000

#: Every status code of OPC UA by its symbolic name.
STATUS: Final = STATUS_CODES
_NAMES: Final[Mapping[int, str]] = {code: name for name, code in STATUS.items()}

#: Statuses that say 'there is no such tag on this device': an optional tag with one of them is
#: absent. (Modbus calls an address that it does not have BadConfigurationError here.)
NOT_THERE: Final = frozenset(
    STATUS[name]
    for name in (
        "BadNodeIdUnknown",
        "BadNodeIdInvalid",
        "BadAttributeIdInvalid",
        "BadNotFound",
        "BadNoMatch",
        "BadConfigurationError",
    )
)

_SEVERITY: Final = 0xC0000000
_CODE: Final = 0xFFFF0000


def status_name(code: int) -> str:
    """The symbolic name of a status code; a code that OPC UA does not have reads as `0x` and eight
    digits."""
    return _NAMES.get(code & _CODE) or f"0x{code & 0xFFFFFFFF:08X}"


def status_code(name: str) -> int:
    """The inverse of `status_name`. Raises ValueError for a text that is neither a name nor a
    code."""
    code = STATUS.get(name)
    return int(name, 16) if code is None else code


def is_good(code: int) -> bool:
    """Severity 00."""
    return code & _SEVERITY == 0


def is_not_there(code: int) -> bool:
    """One of `NOT_THERE`."""
    return code & _CODE in NOT_THERE


def is_bad(code: int) -> bool:
    """Severity 10 or 11 (reserved, so not trusted): no number travels with it."""
    return code & 0x80000000 != 0


@dataclass(frozen=True, slots=True)
class Report:
    """When a value leaves the agent: always, or by change beyond a deadband, and at the latest
    after a silence."""

    on_change: bool = False
    deadband: float = 0.0
    """Absolute, in the tag's unit."""
    deadband_percent: float = 0.0
    """Percent of the tag's range where it has one, else of the last value sent."""
    max_silence: float = 60.0
    """Seconds after which an unchanged value is sent all the same."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One named value of a device: what it means (here) and where it lives (`where`, the
    connector's own)."""

    name: str
    kind: Kind
    where: object
    """The connector's tag options, an instance of its plugin's `tag_options`."""
    unit: str = ""
    description: str = ""
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    labels: Mapping[int, str] | None = None
    """Names of an enumeration's numbers. The number travels; the birth document carries the
    names."""
    scale_exponent_from: str | None = None
    """The tag of the same table whose value is the power of ten that this one's is multiplied
    by."""
    sentinels: tuple[int | float, ...] = ()
    """Raw numbers by which the device says 'no value'; integers compare exactly."""
    report: Report = field(default_factory=Report)
    business_link: str = ""
    was: str = ""
    """The name it had before."""
    optional: bool = False
    """Not every device of its kind has it: one that is not there is absent, and not a fault."""
    max_rate: float | None = None
    """Of a counter: the most it can count, in its unit per hour."""


@dataclass(frozen=True, slots=True, eq=False)
class TagTable:
    """The tags of one device that are read together, in the fixed order every batch follows."""

    device: str
    every: float
    """Period in seconds (of a subscription: its publishing interval)."""
    tags: tuple[Tag, ...]
    names: tuple[str, ...] = field(init=False)
    _made: dict[tuple[Any, ...], Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(tag.name for tag in self.tags))
        object.__setattr__(self, "_made", {})

    def __len__(self) -> int:
        return len(self.tags)

    def same_for(self, device: str) -> TagTable:
        """The table of another device with equal tags. Tags, names, and what is made of them
        `once`, are shared."""
        table = copy(self)
        object.__setattr__(table, "device", device)
        return table

    def once(self, make: Callable[..., T], *arguments: Hashable) -> T:
        """`make(self.tags, *arguments)`, made one time for all tables that share these tags.

        So a thousand equal devices hold one plan and one decoder. `make` must be pure, and nobody
        may change what it gave: what a device teaches while it runs belongs to that device.
        """
        key = (make, *arguments)
        if key not in self._made:
            self._made[key] = make(self.tags, *arguments)
        made: T = self._made[key]
        return made


class Batch:
    """One device, one read: columns aligned with a table.

    `values[i]` belongs to `table.tags[columns[i]]`, or to `table.tags[i]` when `columns` is None
    (the whole table, the usual case). `status` holds an entry only for positions that are *not*
    good; a bad position's value is None. `t` is the wall clock when the response arrived, integer
    nanoseconds; `source` the device's own times (ns, aligned with `values`) where the protocol has
    them; `causes` says more of a position that is not good than its status does, where the
    connector knows more. A batch has no tag twice: queued values of one tag become successive
    batches with distinct `t`.
    """

    __slots__ = ("causes", "columns", "source", "status", "t", "table", "values")

    def __init__(
        self,
        table: TagTable,
        t: int,
        values: list[Value],
        status: dict[int, int] | None = None,
        source: Sequence[int | None] | None = None,
        columns: Sequence[int] | None = None,
    ) -> None:
        self.table = table
        self.t = t
        self.values = values
        self.status: dict[int, int] = {} if status is None else status
        self.source = source
        self.columns = columns
        self.causes: Mapping[int, Cause] | None = None

    def __repr__(self) -> str:
        return (
            f"Batch({self.table.device}, t={self.t}, {len(self.values)} values, "
            f"{len(self.status)} not good)"
        )

    @classmethod
    def failed(cls, table: TagTable, t: int, status: int) -> Batch:
        """Every tag of the table without a value and with the same reason; one that is not bad
        becomes Bad."""
        n = len(table)
        status = status if is_bad(status) else STATUS["Bad"]
        return cls(table, t, [None] * n, dict.fromkeys(range(n), status))
