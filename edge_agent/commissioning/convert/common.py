"""What the converters share: numbers and times of other programs as the configuration writes
them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from edge_agent.commissioning.convert.plant import ConvertedPlant
from edge_agent.commissioning.lists.cells import decimal

ORDERS: Final = frozenset({"ABCD", "DCBA", "BADC", "CDAB"})
_GO_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

NO_COUNTERPART: Final = ("这里没有对应的设置。", "there is no counterpart here.")
WRITES: Final = ("本程序只读不写。", "this program reads and never writes.")


def seconds(value: Any) -> float | None:
    """Seconds of a Go duration such as `1m30s`, or of a number; None for what is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if (
        not isinstance(value, str)
        or re.fullmatch(f"(?:{_GO_TIME.pattern})+", value.strip()) is None
    ):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _GO_TIME.findall(value))


def duration(value: float) -> str:
    """Seconds as the configuration writes them."""
    milliseconds = value * 1000
    return f"{milliseconds:g}ms" if value < 1 else f"{value:.9g}s"


def factor(*parts: Any, divided_by: Any = 1) -> Any:
    """The product of numbers as the shortest one of the configuration; None for 1."""
    product = Decimal(1)
    for part in parts:
        product *= Decimal(str(part))
    product /= Decimal(str(divided_by))
    return None if product == 1 else decimal(product)


def serial_url(scheme: str, port: str, settings: Mapping[str, Any]) -> str:
    """`rtu:///dev/ttyS0?baudrate=9600&parity=N`; settings that are not stated are left to their
    defaults."""
    given = {key: value for key, value in settings.items() if value not in (None, "")}
    query = urlencode(given)
    return f"{scheme}://{port}" + (f"?{query}" if query else "")


def list_unused_keys(
    plant: ConvertedPlant, table: Mapping[str, Any], known: Iterable[str], where: Any, owner: str
) -> None:
    """List the keys that nothing was made of. `where`: key -> place."""
    done = frozenset(known)
    for key in table:
        if key not in done:
            plant.leave_out(where(key), f"{owner} {key}".strip(), *NO_COUNTERPART)
