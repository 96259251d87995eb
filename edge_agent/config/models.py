"""The keys of the YAML file as pydantic models. Unknown keys are errors; every default is stated
here once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
)

from edge_agent.config.values import (
    AgentId,
    Deadband,
    Duration,
    Level,
    LineName,
    Listen,
    Name,
    Period,
    Range,
    Rate,
    TimeZone,
    digits,
    port_in_range,
)
from edge_agent.errors import ConfigError, Finding


class Model(BaseModel):
    """Base of all configuration models."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class Agent(Model):
    """Who and where this agent is (ISA-95: enterprise, site, area)."""

    id: AgentId
    """The name of this agent in topics and reports; without `:`, which stands before the device in
    `agent:device`."""
    enterprise: Level = "enterprise"
    """ISA-95 enterprise, a level of every topic."""
    site: Level = "site"
    """ISA-95 site."""
    area: Level = "area"
    """ISA-95 area of devices that name none themselves."""
    timezone: TimeZone = "Asia/Shanghai"
    """IANA name; days, shifts and months of the metrics follow it."""
    health: Duration = 5.0
    """How often the health of each device is recorded."""
    listen: Listen | None = None
    """Loopback address for `/metrics` (Prometheus) and `/healthz` of `edge-agent run`; none = no
    port is opened."""
    group: str | None = Field(default=None, min_length=1, max_length=64, examples=["plant"])
    """A group of this machine whose members may ask the running parts (`status`, `read`, ...); none
    = their user."""
    workers: int | None = Field(default=None, ge=1)
    """Without effect, of former versions: an agent is one process. 1 may stay; for more see
    docs/operations.md."""


class Mqtt(Model):
    """The broker, and when an entry may leave the outbox."""

    url: Annotated[str, AfterValidator(port_in_range)] = Field(
        pattern=r"^mqtts?://[^/@\s]+(:\d+)?$", examples=["mqtts://broker.plant:8883"]
    )
    """`mqtt://host:port`, or `mqtts://host:port` with TLS."""
    version: Annotated[
        Literal["3.1.1", "5"], BeforeValidator(digits, json_schema_input_type=str | int)
    ] = "3.1.1"
    """Version of MQTT."""
    client_id: str | None = None
    """Default: the agent's id (the store service adds `-ingest`)."""
    username: str | None = None
    """The account at the broker."""
    password: SecretStr | None = None
    """Best as `!env NAME` or `!file path`; never shown."""
    ca: Path | None = None
    """The certificate authority to trust instead of the system's, PEM."""
    cert: Path | None = None
    """The client's own certificate, PEM."""
    key: Path | None = None
    """The key of `cert`, PEM."""
    keepalive: Duration = 15.0
    """Longest silence before a ping."""
    window: int = Field(default=50, ge=1, le=1000)
    """Messages sent and not yet acknowledged."""
    topic_prefix: Level = "edge"
    """First level of every topic."""
    retain: Literal["auto", False] = "auto"
    """`false` for a broker without retained messages: births and state are then sent again every
    minute and after each reconnection. `auto`: the same once a broker of MQTT 5 has said that it
    keeps none."""
    confirm: Literal["broker", "store"] | None = None
    """An entry is freed when the broker acknowledged it, or when the store is known to have it.
    Default: `store` when the file has a `store:` section, an empty one too; else `broker`."""
    drain: int | None = Field(default=None, gt=0)
    """Backlog messages per second at the most; none = as fast as broker and store take them."""


class OutboxConfig(Model):
    """The durable buffer between read and sent."""

    path: Path = Path("data/outbox")
    """Folder of the segments."""
    max_bytes: int = Field(default=2_000_000_000, ge=1_000_000)
    """Size limit; beyond it the oldest entries are dropped and counted."""
    fsync_ms: int = Field(default=100, ge=0, le=10_000)
    """Longest time in milliseconds that an entry waits to be safe from a power cut."""


class Retention(Model):
    """How much the embedded store keeps; the oldest goes first."""

    days: float = Field(default=400, gt=0)
    """Age after which values are deleted."""
    health_days: float = Field(default=3660, gt=0)
    """Age after which the health of devices is deleted, which figures and reports of the past rest
    on. It is kept by hour and minute; the rows themselves, one every few seconds, are kept for two
    days."""
    max_bytes: int | None = Field(default=None, ge=10_000_000)
    """Size after which the oldest values are deleted."""


class StoreSection(Model):
    """Where `edge-agent serve` puts the data: the keys that every store has."""

    kind: str = "duckdb"
    """Which store."""
    path: Path = Path("data/store.duckdb")
    """The database file of `duckdb`."""
    retention: Retention = Retention()
    """How much `duckdb` keeps, and stores of other packages."""
    quarantine: Path = Path("data/quarantine")
    """Folder of messages the store can never take, with the reason."""
    listen: Listen | None = None
    """Loopback address for `/metrics` and `/healthz` of `edge-agent serve`; none = no port is
    opened."""


class StoreConfig(StoreSection):
    """Where `edge-agent serve` puts the data."""

    kind: Literal["duckdb", "influxdb", "influxdb1", "line"] = "duckdb"
    """`duckdb` is embedded; `influxdb` is 2 and 3; `influxdb1` is 1.x; `line`: VictoriaMetrics and
    its like. Other packages may bring more (docs/store-guide.md)."""
    url: Annotated[str, Field(pattern=r"^https?://\S+$"), AfterValidator(port_in_range)] | None = (
        Field(default=None, examples=["http://127.0.0.1:8086"])
    )
    """Where the store listens; needed by all but `duckdb`."""
    org: str | None = None
    """Organisation (InfluxDB 2)."""
    bucket: str | None = None
    """Bucket, or database of InfluxDB 1.x."""
    token: SecretStr | None = None
    """Access token; best as `!env NAME` or `!file path`; never shown."""
    username: str | None = None
    """The account, where there is no token."""
    password: SecretStr | None = None
    """Best as `!env NAME` or `!file path`; never shown."""
    timeout: Annotated[Duration, Field(ge=0.1)] = 5.0
    """How long a store that is not embedded may take to accept a batch; then it counts as away and
    is tried again."""


class RegisterConfig(Model):
    """The equipment register (设备台账), the processes, and the shift calendar."""

    equipment: Path | None = None
    """The equipment register, CSV."""
    processes: Path | None = None
    """The processes and which of them are key, CSV."""
    calendar: Path | None = None
    """Shifts and planned stops, YAML."""
    meters: Path | None = None
    """Meters that were exchanged (device, tag, time, last reading of the old, first of the new),
    CSV."""
    events: Path | None = None
    """What a person decided of readings that were set aside (device, tag, time, count or
    set_aside), CSV."""
    robot_is_nc: bool = True
    """Whether a robot counts as numerically controlled in M-01 and M-02; printed with the
    result."""
    change_within: Annotated[Duration, Field(ge=60)] = 28_800.0
    """A networked machine shows a change of some value (a heartbeat, the controller's clock) within
    so much planned working time; a gateway that repeats its cache does not."""


class StateComparison(Model):
    """What is asked of one tag; everything stated must hold."""

    tag: str | None = None
    """The tag looked at."""
    equals: list[bool | int | str] | bool | int | str | None = None
    """The value or values with which it holds."""
    above: float | None = None
    """It holds with numbers greater than this."""
    below: float | None = None
    """It holds with numbers less than this."""
    between: Range | None = None
    """It holds with numbers from the first to the second, both included."""
    for_: Duration | None = Field(default=None, alias="for", examples=["5s"])
    """It must have held for so long without a break."""


class StateGroup(StateComparison):
    """A tag with what is asked of it, or `all` or `any` of several such comparisons."""

    all: list[StateComparison] | None = None
    """Holds when each of these does."""
    any: list[StateComparison] | None = None
    """Holds when at least one of these does."""


class StateRule(StateGroup):
    """First rule that fits gives the state: by one tag, by `all` or `any` of several, or (none of
    these) always.

    A rule whose `for` is not over does not fit yet; when no other fits meanwhile, the state stays
    as it was.
    """

    all: list[StateGroup] | None = None  # type: ignore[assignment]  # one level more than in a group
    """Holds when each of these does; each may be `all` or `any` of others again."""
    any: list[StateGroup] | None = None  # type: ignore[assignment]  # one level more than in a group
    """Holds when at least one of these does; each may be `all` or `any` of others again."""
    gives: str
    """A word of the vocabulary."""


class StateConfig(Model):
    """How the device's own tags become the common machine state (OPC 40001-1, MTConnect execution).

    Each part is a list of rules, or `{tag, map}`: value of the tag -> word of the vocabulary.
    """

    item: StateSource | None = None
    """NotAvailable, OutOfService, NotExecuting, Executing."""
    mode: StateSource | None = None
    """None, Maintenance, Setup, Processing."""
    execution: StateSource | None = None
    """MTConnect: ACTIVE, FEED_HOLD, INTERRUPTED, OPTIONAL_STOP, READY, PROGRAM_COMPLETED,
    PROGRAM_STOPPED, STOPPED."""


class StateMap(Model):
    """The value of one tag, translated."""

    tag: str
    """The tag whose value is translated."""
    map: dict[int | str, str]
    """Value -> word of the vocabulary."""


StateSource = StateMap | list[StateRule]
StateConfig.model_rebuild()


def _measures(asked: StateComparison) -> bool:
    """Whether a rule, or what it consists of, has a threshold or a time."""
    if any(value is not None for value in (asked.above, asked.below, asked.between, asked.for_)):
        return True
    parts = (*(asked.all or ()), *(asked.any or ())) if isinstance(asked, StateGroup) else ()
    return any(map(_measures, parts))


#: Part of `state` -> the tag derived from it, and the words it may give.
STATE_WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "item": ("machine_state", ("NotAvailable", "OutOfService", "NotExecuting", "Executing")),
    "mode": ("operation_mode", ("None", "Maintenance", "Setup", "Processing")),
    "execution": (
        "execution",
        ("ACTIVE", "FEED_HOLD", "INTERRUPTED", "OPTIONAL_STOP",
         "READY", "PROGRAM_COMPLETED", "PROGRAM_STOPPED", "STOPPED"),
    ),
}  # fmt: skip


class TagCommon(Model):
    """The keys of a tag that have nothing to do with the protocol."""

    scale: float = 1.0
    """Value = raw number x scale + offset."""
    offset: float = 0.0
    """See scale."""
    unit: str = ""
    """Engineering unit, such as `rpm`, `kW`, `Cel`."""
    range: Range | None = None
    """Lowest and highest plausible value; outside it the value is uncertain."""
    max_rate: Rate | None = None
    """Of a counter: the most it can count, in its unit per hour (`90/h`, `2/min`). A step beyond it
    is no production: it is set aside, and figures say so."""
    map: dict[int, str] | None = None
    """Names of an enumeration's numbers: `{0: idle, 1: running}`."""
    scale_exponent_from: str | None = None
    """Another tag of the device whose value n is the power of ten of this one, as SunSpec's scale
    factors are: value = raw number x 10^n x scale + offset. It is an integer without a scale of its
    own, read in the same period."""
    sentinels: tuple[int | float, ...] = ()
    """Raw numbers by which the device says that it has no value; compared exactly."""
    deadband: Deadband = 0.0
    """Absolute in the tag's unit, or percent of its range: `0.5` or `1%`."""
    every: Period | None = None
    """Period of this tag; default: the device's."""
    optional: bool = False
    """Not every device of this kind has the tag: where it is not there it is shown as absent, and
    that is no fault."""
    report: Literal["always", "change"] | None = None
    """Default: the device's."""
    max_silence: Duration = 60.0
    """With `report: change`, time after which an unchanged value is sent all the same."""
    description: str = ""
    """What the value is, for people."""
    was: str = ""
    """The name this tag had before on its device: its history goes on under the new one."""
    business_link: str = ""
    """The business object this tag serves (order, quality, energy, ...)."""


class DeviceCommon(Model):
    """The keys of a device that have nothing to do with the protocol."""

    id: Level
    """Unique within its agent; its topic, its series and its history hang on it."""
    name: str = ""
    """The name people use, in any language."""
    was: str = ""
    """The id this device had before, or `agent:id` where another agent read it: its history goes
    on."""
    area: Level | None = None
    """ISA-95 area; default: the agent's."""
    line: LineName = "line"
    """The production line, a level of the topic."""
    cell: str = ""
    """The work cell, for people."""
    connector: str
    """`modbus` or `opcua`; with a `profile` it may be left out."""
    profile: str | None = None
    """Name of a device profile (`edge-agent profiles`), or a path that ends in .yaml."""
    every: Period = 1.0
    """How often its tags are read."""
    staleness: Duration | None = None
    """Age after which a value is no longer good; default three periods, at least 3 s."""
    clock_tolerance: Duration = 60.0
    """How far the device's clock may be from ours before its health says so; its times never order
    anything."""
    report: Literal["always", "change"] = "always"
    """Every reading, or only those that differ by more than the deadband."""
    state: StateConfig | None = None
    """How this device's tags become the common machine state."""
    state_basis: Literal["controller", "derived"] | None = None
    """What that state rests on: `controller`, the words of the machine's own controller,
    translated; or `derived`, currents, lamps and contacts from which it is concluded, which never
    counts as evidence of grade E3. Default: `derived` where a rule has above, below, between or
    for, else `controller`."""
    business_link: str = ""
    """The business object this device serves."""
    tags: dict[Name, Any] = {}
    """Tag name -> its keys; in a loaded site instances of the connector's tag model, common keys
    included."""

    @property
    def derives_state(self) -> bool:
        """Whether its machine state is concluded from measurements, lamps or contacts; False
        without a state."""
        if self.state is None:
            return False
        if self.state_basis is not None:
            return self.state_basis == "derived"
        sources = (self.state.item, self.state.mode, self.state.execution)
        return any(
            _measures(rule) for source in sources if isinstance(source, list) for rule in source
        )


ConfirmReason = Literal["mqtt.confirm", "store", "no store"]
"""Why an entry is freed when it is: it is written, or there is a `store:` section, or none."""


class Site(Model):
    """A whole configuration file, templates expanded, includes and profiles merged."""

    confirm_reason: ConfirmReason = "mqtt.confirm"
    """What decided `mqtt.confirm`, which is always set in a loaded site."""

    agent: Agent
    mqtt: Mqtt
    outbox: OutboxConfig = OutboxConfig()
    store: StoreSection = StoreConfig()
    register_: RegisterConfig = Field(default=RegisterConfig(), alias="register")
    agents: tuple[AgentId, ...] = ()
    devices: tuple[DeviceCommon, ...] = ()
    """Each an instance of its connector's device model, which adds that connector's keys to
    DeviceCommon's."""
    _absent_secrets: tuple[Finding, ...] = PrivateAttr(default=())

    def note_absent_secrets(self, of_store: Sequence[Finding]) -> None:
        """What `store` refers to and is not there, of a site that was loaded without its
        secrets."""
        self._absent_secrets = tuple(of_store)

    def require_store_secrets(self) -> None:
        """Call it before the store itself is opened. Raises ConfigError for secrets that are not
        there, and that this store needs: the embedded one needs none."""
        if self._absent_secrets and self.store.kind != "duckdb":
            raise ConfigError(self._absent_secrets)


class File(Model):
    """The top level of a configuration file, before includes, templates, defaults and profiles are
    applied."""

    agent: Agent
    """Who and where this agent is."""
    mqtt: Mqtt
    """The broker."""
    outbox: OutboxConfig = OutboxConfig()
    """The durable buffer."""
    store: StoreConfig = StoreConfig()
    """Where the data goes."""
    register_: RegisterConfig = Field(default=RegisterConfig(), alias="register")
    """The files of the plant: equipment, processes, calendar."""
    agents: list[AgentId] = []
    """Other agents of this plant, for its store service: their devices are in its figures; of
    agents that stand nowhere here the data is stored, and no more."""
    include: str | list[str] = []
    """Files (patterns allowed) with more devices, templates and defaults, relative to this one."""
    defaults: dict[str, Any] = {}
    """Connector name -> keys for all its devices; profile, template and device override them."""
    templates: dict[str, Any] = {}
    """Template name -> keys of a device that names it with `template`."""
    devices: list[Any] = []
    """The devices; see below."""


class Bilingual(Model):
    """A text in Chinese and English."""

    zh: str
    en: str


class Profile(Model):
    """The keys of a profile file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    """The name of the file without .yaml."""
    title: Bilingual
    """What it is for, in Chinese (`zh`) and English (`en`)."""
    connector: str
    """The connector its devices use."""
    manufacturer: str = ""
    """The maker."""
    models: list[str] = []
    """The types it fits."""
    source: list[str] = []
    """Where the map comes from: manual and page, or repository and file."""
    notes: list[Bilingual] = []
    """What an integrator should know before trusting it."""
    defaults: dict[str, Any] = {}
    """Keys of the device."""
    areas: dict[str, Any] = {}
    """Names of memory areas, for connectors that have them."""
    state: dict[str, Any] = {}
    """As at a device."""
    tags: dict[str, Any] = {}
    """As at a device."""
