"""The keys of the YAML file as pydantic models. Unknown keys are errors; every default is stated here once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|min|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: object) -> object:
    """`100ms`, `1s`, `5m`, `2h`, `1d` -> seconds; plain numbers are seconds; anything else is left to pydantic."""
    if isinstance(text, str) and (match := _DURATION.fullmatch(text.strip())):
        return float(match["number"]) * _SECONDS[match["unit"]]
    return text


Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=str | float),
    Field(gt=0, examples=["100ms", "1s", "5m"]),
]
"""Seconds, written `100ms`, `1s`, `5m`."""

#: One level of a topic: no white space, no `/`, `+`, `#`, nothing invisible, and not `.` alone (brokers refuse them).
Level = Annotated[str, Field(pattern=r"^[^\s/+#\x00-\x1f.$][^\s/+#\x00-\x1f]{0,63}$")]


class Model(BaseModel):
    """Base of all configuration models."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Agent(Model):
    """Who and where this agent is (ISA-95: enterprise, site, area)."""

    id: Level
    enterprise: Level = "enterprise"
    site: Level = "site"
    area: Level = "area"
    timezone: str = "Asia/Shanghai"
    health: Duration = 5.0
    """How often the health of each device is recorded."""


class Mqtt(Model):
    """The broker, and when an entry may leave the outbox."""

    url: str = Field(pattern=r"^mqtts?://[^/@\s]+(:\d+)?$")
    version: Literal["3.1.1", "5"] = "3.1.1"
    client_id: str | None = None
    """Default: the agent's id (the store service adds `-ingest`)."""
    username: str | None = None
    password: SecretStr | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keepalive: Duration = 15.0
    window: int = Field(default=50, ge=1, le=1000)
    """Messages sent and not yet acknowledged."""
    topic_prefix: Level = "edge"
    confirm: Literal["broker", "store"] = "broker"
    drain: int | None = Field(default=None, gt=0)
    """Backlog messages per second at the most; none = as fast as broker and store take them."""


class Outbox(Model):
    """The durable buffer between read and sent."""

    path: Path = Path("data/outbox")
    max_bytes: int = Field(default=2_000_000_000, ge=1_000_000)
    fsync_ms: int = Field(default=100, ge=0, le=10_000)


class Retention(Model):
    """How much the embedded store keeps; the oldest goes first."""

    days: float = Field(default=400, gt=0)
    max_bytes: int | None = Field(default=None, ge=10_000_000)


class Store(Model):
    """Where `edge-agent serve` puts the data."""

    kind: Literal["duckdb", "influxdb", "influxdb1", "line"] = "duckdb"
    url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    path: Path = Path("data/store.duckdb")
    org: str | None = None
    bucket: str | None = None
    token: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    retention: Retention = Retention()
    quarantine: Path = Path("data/quarantine")


class Register(Model):
    """The equipment register (设备台账), the processes, and the shift calendar."""

    equipment: Path | None = None
    processes: Path | None = None
    calendar: Path | None = None
    robot_is_nc: bool = True
    """Whether a robot counts as numerically controlled in M-01 and M-02; printed with the result."""


class StateRule(Model):
    """First rule that fits gives the state: the tag equals one of `is`, or (no `tag`) always."""

    tag: str | None = None
    equals: list[bool | int | str] | bool | int | str | None = None
    gives: str


class State(Model):
    """How the device's own tags become the common machine state (OPC 40001-1, MTConnect execution).

    Each part is a list of rules, or `{tag, map}`: value of the tag -> word of the vocabulary.
    """

    item: StateSource | None = None
    """NotAvailable, OutOfService, NotExecuting, Executing."""
    mode: StateSource | None = None
    """None, Maintenance, Setup, Processing."""
    execution: StateSource | None = None
    """MTConnect: ACTIVE, FEED_HOLD, INTERRUPTED, OPTIONAL_STOP, READY, PROGRAM_COMPLETED, PROGRAM_STOPPED, STOPPED."""


class StateMap(Model):
    """The value of one tag, translated."""

    tag: str
    map: dict[int | str, str]


StateSource = StateMap | list[StateRule]
State.model_rebuild()


class TagCommon(Model):
    """The keys of a tag that have nothing to do with the protocol."""

    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    range: tuple[float, float] | None = None
    map: dict[int, str] | None = None
    sentinels: tuple[float, ...] = ()
    deadband: float | str = 0.0
    """Absolute in the tag's unit, or percent of its range: `0.5` or `1%`."""
    every: Duration | None = None
    report: Literal["always", "change"] | None = None
    max_silence: Duration = 60.0
    description: str = ""
    business_link: str = ""


class DeviceCommon(Model):
    """The keys of a device that have nothing to do with the protocol."""

    id: Level
    name: str = ""
    area: Level | None = None
    line: Level = "line"
    cell: str = ""
    connector: str
    profile: str | None = None
    every: Duration = 1.0
    staleness: Duration | None = None
    """Age after which a value is no longer good; default three periods, at least 3 s."""
    report: Literal["always", "change"] = "always"
    state: State | None = None
    business_link: str = ""
    tags: dict[str, Any] = {}
    """In a loaded site: name -> the connector's tag model with these common keys."""


class Site(Model):
    """A whole configuration file, templates expanded, includes and profiles merged."""

    agent: Agent
    mqtt: Mqtt
    outbox: Outbox = Outbox()
    store: Store = Store()
    register_: Register = Field(default=Register(), alias="register")
    devices: tuple[DeviceCommon, ...] = ()
    """Each an instance of its connector's device model, which adds that connector's keys to DeviceCommon's."""
