"""How single values are written in the YAML file, and what they must be: a text becomes a number or
is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from edge_agent import names

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|min|h|d)")
_PERCENT = re.compile(r"\d+(?:\.\d+)?\s*%")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def refusal(code: str, zh: str, en: str) -> PydanticCustomError:
    """What a validator raises: how the value must be, after the name of its key, in both
    languages."""
    return PydanticCustomError("said", "{en}", {"code": code, "zh": zh, "en": en})


def parse_duration(text: object) -> object:
    """`100ms`, `1s`, `5m`, `2h`, `1d` -> seconds; plain numbers are seconds; anything else is
    refused."""
    if isinstance(text, str) and (match := _DURATION.fullmatch(text.strip())):
        return float(match["number"]) * _SECONDS[match["unit"]]
    if isinstance(text, int | float) and not isinstance(text, bool):
        return text
    raise PydanticCustomError("duration", "a duration such as 100ms, 1s or 5m")


def parse_deadband(text: object) -> object:
    """A number (absolute), or a percentage `1%` as text; anything else is refused."""
    if isinstance(text, int | float) and not isinstance(text, bool) and 0 <= text < math.inf:
        return text
    if isinstance(text, str) and _PERCENT.fullmatch(text.strip()):
        return text.strip()
    raise PydanticCustomError("deadband", "a number from 0, or a percentage such as 1%")


_RATE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*/\s*(?P<unit>h|min|m|s|d)")
_PER_HOUR = {"d": 1 / 24, "h": 1.0, "m": 60.0, "min": 60.0, "s": 3600.0}


def parse_rate(text: object) -> object:
    """`90/h`, `2/min`, `0.5/s` -> per hour; plain numbers are per hour; anything else is
    refused."""
    if isinstance(text, str) and (match := _RATE.fullmatch(text.strip())):
        return float(match["number"]) * _PER_HOUR[match["unit"]]
    if isinstance(text, int | float) and not isinstance(text, bool):
        return text
    zh = "应为速率，如 90/h、2/min、0.5/s"
    en = "must be a rate such as 90/h, 2/min or 0.5/s"
    raise refusal("bad-value", zh, en)


Rate = Annotated[
    float,
    BeforeValidator(parse_rate, json_schema_input_type=str | float),
    Field(gt=0, allow_inf_nan=False, examples=["90/h", "2/min", "0.5/s"]),
]
"""In the tag's unit per hour, written `90/h`, `2/min`, `0.5/s`; a number alone is per hour."""

Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=str | float),
    Field(gt=0, allow_inf_nan=False, examples=["100ms", "1s", "5m"]),
]
"""Seconds, written `100ms`, `1s`, `5m`."""


def digits(value: object) -> object:
    """A whole number as text: `version: 5` is written without quotes by everyone."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Period = Annotated[Duration, Field(ge=0.01)]
"""How often something is read: a period of nearly nothing would be a busy loop."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        zh, en = (
            "应为时区名称，如 Asia/Shanghai",
            "must be the name of a time zone such as Asia/Shanghai",
        )
        raise refusal("unknown-value", zh, en) from None
    return name


def port_in_range(url: str) -> str:
    """The URL, when its port can be one."""
    try:
        fine = urlsplit(url).port != 0
    except ValueError:
        fine = False
    if not fine:
        raise refusal(
            "out-of-range", "的端口应在 1 到 65535 之间", "must have a port from 1 to 65535"
        )
    return url


def _loopback(address: str) -> str:
    """`host:port` of this machine only: what it tells is for those who are on it."""
    host, _, port = address.rpartition(":")
    try:
        local = host == "localhost" or ip_address(host.strip("[]")).is_loopback
        fine = port.isdecimal() and 0 < int(port) < 65536
    except ValueError:
        local = fine = False
    if not (local and fine):
        zh, en = (
            "应为本机回环地址和端口，如 127.0.0.1:9470",
            "must be a loopback address and port, as in 127.0.0.1:9470",
        )
        raise refusal("bad-value", zh, en)
    return address


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] >= bounds[1]:
        raise refusal("bad-value", "应先写小的数，再写大的数", "must have the smaller number first")
    return bounds


TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""An IANA name."""

Listen = Annotated[str, AfterValidator(_loopback), Field(examples=["127.0.0.1:9470"])]
"""A loopback address and port."""

Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Lowest and highest."""

Deadband = Annotated[
    float | str, BeforeValidator(parse_deadband, json_schema_input_type=float | str)
]
"""`0.5` in the tag's unit, or `1%`."""


def _judged(
    fault: Callable[[str], names.Sentence | None],
    form_fault: Callable[[str], names.Sentence | None] = names.level_form_fault,
) -> Callable[[str], str]:
    """A validator that refuses what `fault` or `form_fault` finds fault with."""

    def judge(name: str) -> str:
        if (found := fault(name) or form_fault(name)) is not None:
            raise refusal("bad-name", *found)
        return name

    return judge


_NO_SIGNS = {"type": "string", "minLength": 1, "maxLength": names.MAX_BYTES}

Name = Annotated[
    str,
    AfterValidator(_judged(names.fault, names.form_fault)),
    WithJsonSchema(_NO_SIGNS | {"pattern": r"^\S(.*\S)?$"}),
]
"""The name of a tag: what `edge_agent.names` calls one."""

Level = Annotated[
    str,
    AfterValidator(_judged(names.level_fault)),
    WithJsonSchema(_NO_SIGNS | {"pattern": r"^(?![*>]$)[^\s/+#\\.$][^\s/+#\\]*$"}),
]
"""A name that is a level of a topic."""

LineName = Annotated[
    str,
    AfterValidator(_judged(names.line_fault)),
    WithJsonSchema(_NO_SIGNS | {"pattern": r"^(?!(_agent|[*>])$)[^\s/+#\\.$][^\s/+#\\]*$"}),
]
"""A level that is not the agent's own."""

AgentId = Annotated[
    str,
    AfterValidator(_judged(names.agent_fault)),
    WithJsonSchema(_NO_SIGNS | {"pattern": r"^(?![*>]$)[^\s/+#:\\.$][^\s/+#:\\]*$"}),
]
"""A level without a colon."""
