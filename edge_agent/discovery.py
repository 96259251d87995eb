"""What a connector can find out about a device that nobody has configured yet, and the data in
which it says so.

A plug-in that offers any of it has a `Discovery` (see `sdk.Plugin.discovery`). None of its
functions writes to a device, and none asks an address that was not named.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Progress = Callable[[int, int | None, str], None]
"""Steps done, steps altogether (None while that is not known), and what is being asked."""

TagKeys = Mapping[str, Any]
"""The YAML keys of one tag."""


@dataclass(frozen=True, slots=True)
class FoundNode:
    """One node of a device that can be browsed."""

    path: str
    """Its names from the root, as the connector writes a path."""
    name: str
    """Its own name."""
    address: str
    """Its address alone, as a tag would say it."""
    is_variable: bool
    """Whether it has a value; else it is an object or a folder."""
    type: str = ""
    """The type of its value in the words of the protocol, or the name of its type definition."""
    value: object = None
    """Its value now, plain data; None where it has none."""
    status: str = "Good"
    """The quality of the value."""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    description: str = ""
    keys: TagKeys | None = None
    """A tag that reads it; None where it cannot be one."""


@dataclass(frozen=True, slots=True)
class FoundMachine:
    """A machine that was recognised by its type definition."""

    name: str
    address: str
    standard: str
    """The specification and its type, for people."""
    profile: str | None
    """The device profile that reads it; None where there is none."""
    fitted: Mapping[str, TagKeys] = field(default_factory=dict)
    """Tags of that profile -> the keys with which they are read on this machine."""
    absent: Sequence[str] = ()
    """Tags of that profile that this machine does not have."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it says of itself: manufacturer, serial number."""
    covered: Sequence[str] = ()
    """The addresses of the nodes that the profile reads."""


@dataclass(frozen=True, slots=True)
class Browsed:
    """What was found below a node."""

    nodes: Sequence[FoundNode]
    machines: Sequence[FoundMachine]
    seen: int
    """Nodes looked at, those that are only properties of others included."""
    cut: bool = False
    """Whether there is more than `BrowseWanted.limit` allowed to look at."""


@dataclass(frozen=True, slots=True)
class BrowseWanted:
    """What is to be browsed."""

    start: str = ""
    """A node id or a path; empty for all that the device offers."""
    depth: int | None = None
    """Levels below the start; None for all."""
    limit: int = 50_000
    """Nodes looked at, at the most."""
    profiles: Mapping[str, Mapping[str, TagKeys]] = field(default_factory=dict)
    """Device profiles of this connector: name -> tag -> its keys."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """What some registers would mean in one type and order."""

    type: str
    order: str
    """The order of the bytes on the wire in the letters of `word_order`; empty where there is only
    one."""
    value: int | float | str | None
    """None where the registers are no value of this type."""


@dataclass(frozen=True, slots=True)
class ProbedPlace:
    """One register or bit, and what begins there."""

    address: str
    raw: int | None
    """The register; None where the device refuses it."""
    refused: str = ""
    """Why there is none, in English and Chinese."""
    decodings: Sequence[Decoding] = ()


@dataclass(frozen=True, slots=True)
class Plausible:
    """The reading of the registers that makes most sense, with the reason."""

    address: str
    type: str
    order: str
    value: int | float | str
    zh: str
    en: str
    keys: TagKeys = field(default_factory=dict)
    """A tag that reads it so."""
    certain: bool = True
    """Whether a file may have it as a tag; else a person has to confirm it first."""


@dataclass(frozen=True, slots=True)
class ProbeLook:
    """All places as they are now."""

    places: Sequence[ProbedPlace]
    plausible: Sequence[Plausible]
    """The best first."""


@dataclass(frozen=True, slots=True)
class ProbeWanted:
    """Which registers or bits of a device are to be read."""

    area: str
    first: int
    count: int
    expect: float | str | None = None
    """What a person reads on the device's own display."""


class Prober(Protocol):
    """Reads the same registers again and again."""

    async def look(self) -> ProbeLook:
        """Read now. Raises DeviceError."""

    async def close(self) -> None:
        """Release the connection; never raises."""


@dataclass(frozen=True, slots=True)
class ScanAnswer:
    """Something that answered."""

    where: str
    """Who, for people: `tcp://10.0.1.50:502 unit 3`, `opc.tcp://10.0.1.31:4840`."""
    device: Mapping[str, Any]
    """The keys of a device that reaches it."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What it says of itself, by the names of its protocol."""
    offers: Sequence[str] = ()
    """Ways in that it offers (security policies)."""
    zh: str = ""
    en: str = ""
    """What is to be known of it, as a sentence."""
    readable: bool = True
    """Whether values can be read as things are, so that profiles can be compared."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of a device with which profiles are compared."""
    look: Sequence[object] = ()
    """The words of a command that shows more of it."""
    said: str = ""
    """The kind of its first answer, by which units are told apart."""


@dataclass(frozen=True, slots=True)
class ScanWanted:
    """Which addresses are to be asked. Nothing else is."""

    targets: Sequence[str]
    units: Sequence[int] = ()
    baud: Sequence[int] = ()
    """Bit rates of a serial line to try; empty: the one of the target."""
    parity: Sequence[str] = ()
    stop_bits: Sequence[int] = ()
    timeout: float | None = None
    """Seconds for one answer; None: what suits the line."""
    pause: float = 0.02
    """Seconds between two requests."""


@dataclass(frozen=True, slots=True)
class DiscoveryTarget:
    """Where a device is, as far as the operating system can say something of it."""

    host: str = ""
    port: int = 0
    serial: str = ""
    """The path of a serial port."""
    secured: bool = False
    exclusive: bool = False
    """Whether two that ask at the same time may disturb one another: a bus, a device with room for
    one connection."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a connector offers before anything is configured. Each function raises DeviceError for a
    device that does not answer, and ValueError, whose text is a sentence, for what it was asked
    wrongly."""

    schemes: Sequence[str]
    """The schemes of its addresses (`tcp`, `opc.tcp`)."""
    target: Callable[[Any], DiscoveryTarget]
    """Where a device is: its options -> host and port, or serial port. Raises ValueError."""
    scan: Callable[[ScanWanted, Progress], AsyncIterator[ScanAnswer]]
    browse: Callable[[Any, BrowseWanted, Progress], Awaitable[Browsed]] | None = None
    """The device's options, and what is wanted."""
    probe: Callable[[Any, ProbeWanted], Awaitable[Prober]] | None = None
    """The device's options; connected when it returns."""
    chance: Callable[[object, float, float], float] | None = None
    """How likely a device of another kind makes a tag (`Tag.where`) read between two raw numbers:
    what such a reading is worth as evidence. None: an address that is there says by itself what it
    is, as names do."""
    has_units: bool = False
    """Whether several devices share an address and are told apart by units, which a scan has to be
    given."""
    place: Callable[[object], tuple[str, float]] | None = None
    """The run of addresses in which a tag is, and how likely a device of another kind has something
    there."""
