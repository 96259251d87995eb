"""All a connector may import: the contract between the agent and the code that speaks a protocol.

*Where* a value lives is data: two pydantic models, one for a device's keys and one for a tag's.
*How* to
read it is code: a `Connection`. The agent owns the clock, the retries, the circuit breakers and the
quality of what was not answered; a connector plans, reads, decodes and raises `DeviceError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from edge_agent.clock import Clock
from edge_agent.decimals import prepare_singles, shortest_single, shortest_singles
from edge_agent.discovery import Discovery
from edge_agent.errors import DeviceError
from edge_agent.model import GOOD, STATUS, Batch, Kind, Tag, TagTable, Value, status_name
from edge_agent.process import state_folder
from edge_agent.reasons import (
    Cause,
    cause,
    cause_of_error,
    cause_of_status,
    status_of_cause,
    words_of,
)
from edge_agent.words import command

__all__ = [
    "GOOD",
    "STATUS",
    "Batch",
    "Cause",
    "Clock",
    "Confirmable",
    "Connection",
    "Deadline",
    "DeviceError",
    "DevicePlan",
    "Discovery",
    "Kind",
    "Options",
    "Plugin",
    "Pollable",
    "Problem",
    "Retrying",
    "ShowsRaw",
    "Sink",
    "Streaming",
    "Tag",
    "TagTable",
    "Value",
    "cause",
    "cause_of_error",
    "cause_of_status",
    "command",
    "prepare_singles",
    "shortest_single",
    "shortest_singles",
    "state_folder",
    "status_name",
    "status_of_cause",
    "words_of",
]


class Options(BaseModel):
    """Base of a connector's own YAML keys: unknown keys are errors, defaults are validated,
    instances frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


@dataclass(frozen=True, slots=True, eq=False)
class DevicePlan:
    """One configured device, compiled: its options and its tags by period."""

    id: str
    options: Options
    """An instance of the plugin's `device_options` (which may carry common keys besides)."""
    tables: tuple[TagTable, ...]
    """One per period; every tag of the device is in exactly one."""
    state: Path | None = None
    """A folder that outlives the process, for small files of the connector; all its devices have
    the same, and it may not exist yet. None: nothing is to be kept."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a device's configuration that only the connector can judge, found before any
    socket opens."""

    tag: str | None
    key: str
    zh: str
    en: str
    certain: bool = False
    """Wrong whatever else the device says: told also while a profile, or another key, is not
    known."""
    rests_on: tuple[str, ...] | None = None
    """The keys beside `key`, of the same tag or device, that it is concluded from: told whenever
    these are sound, whatever is wrong elsewhere. None = any of the connector's."""


class Connection(Protocol):
    """One TCP socket, serial bus or session, with the devices that share it. Never used by two
    tasks at once."""

    async def open(self) -> None:
        """Connect. Raises DeviceError(lost=True). Called again only after `close`."""

    async def close(self) -> None:
        """Release everything; never raises; may be called at any time, also twice."""


@runtime_checkable
class Pollable(Connection, Protocol):
    """The agent asks, table by table."""

    async def read(self, table: TagTable) -> Batch:
        """Read one table. Tags the device refuses are bad in the batch; a device that does not
        answer raises DeviceError, with `lost=True` when the connection cannot be trusted any
        more."""


@runtime_checkable
class Confirmable(Connection, Protocol):
    """It may find that a device is not the one it was, and then waits for a person."""

    def confirm(self) -> list[str]:
        """A person has reloaded the configuration: accept what answers now. The devices that had
        been doubted."""


Sink = Callable[[Batch], None]


@runtime_checkable
class Streaming(Connection, Protocol):
    """The device speaks when something changes."""

    async def stream(self, sink: Sink, alive: Callable[[str], None]) -> None:
        """Push batches into `sink` until cancelled; call `alive(device_id)` whenever the peer has
        shown within its keep-alive that the device's values are current. Raises
        DeviceError(lost=True) when it is dead."""


@runtime_checkable
class Retrying(Protocol):
    """A connection that remembers what its devices refused, and can ask for that again on
    request."""

    def retry_refused(self) -> None:
        """Ask for everything that was refused with the next read, or as soon as may be. Called
        between any steps."""


@runtime_checkable
class ShowsRaw(Protocol):
    """A connection that can say what stands behind its values before they were decoded, for a
    person who asks."""

    async def raw(self, table: TagTable, *, ask: bool) -> Sequence[str | None]:
        """A short text for each tag of a table: the words, or the value with its type, as the
        device gave them; None where there is none. Called beside the task that uses the connection,
        so it must not disturb a read under way.

        `ask`: what is not at hand may be asked of the device, over this connection. Raises
        DeviceError.
        """


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a connector package offers; named in the entry point group `edge_agent.connectors`."""

    name: str
    device_options: type[Options]
    tag_options: type[Options]
    kind: Callable[[Options], Kind]
    """The kind of value a tag's options describe."""
    check: Callable[[DevicePlan], Iterable[Problem]]
    """Everything wrong that the models alone cannot see. Pure: opens nothing."""
    connection_key: Callable[[Options], str]
    """Devices with equal keys share one connection."""
    connect: Callable[[Sequence[DevicePlan], Clock], Connection]
    """A connection object for devices of one key; nothing is opened yet."""
    describe: Callable[[DevicePlan], dict[str, Any]]
    """What a simulator serves to stand in for this device: plain JSON, `{"protocol", "tags": {name:
    {...}}, ...}`."""
    endpoint_key: str
    """The YAML key that says where the device is (`url`, `endpoint`); `simulate` replaces its
    value."""
    notes: Callable[[DevicePlan], Iterable[Problem]] | None = None
    """What is worth knowing about this machine before the start and no fault of the file: a serial
    port that is not there. May look at files; opens nothing."""
    tag_notes: Callable[[DevicePlan], Mapping[str, str]] | None = None
    """Tag -> what whoever uses its values should know of how it is read, for its entry in the birth
    document."""
    kinds: Callable[[Options], Callable[[Options], Kind]] | None = None
    """Where a device's own keys have a say in the kind of its tags: device options -> what is used
    instead of `kind`. It is hashable, equal for equal devices (they share what is compiled of their
    tags), and can be pickled."""
    requests: Callable[[DevicePlan], int] | None = None
    """How many requests read all tables of a device once; 0 when the device speaks by itself."""
    address: Callable[[object], str] | None = None
    """Where a tag is in its device (`Tag.where`), as the configuration says it, for people."""
    discovery: Callable[[], Discovery] | None = None
    """What it can find out of devices before they are configured; imported when it is asked for."""
    modulus: Callable[[object], int | None] | None = None
    """How many numbers a tag (`Tag.where`) has before a counter in it begins again at 0: 65536 of
    an unsigned integer of 16 bits. None: it does not begin again, or nobody knows."""


async def within(seconds: float, clock: Clock) -> None:
    """Sleep `seconds` of the given clock."""
    await asyncio.sleep(clock.real(seconds))


class Deadline:
    """A time-out that moves with every request. It has one timer, which is left alone while it is
    due too early and looks again when it fires: a request that is answered in time costs the event
    loop nothing."""

    __slots__ = ("_at", "_due", "_expired", "_loop", "_timer")

    def __init__(self, expired: Callable[[], None]) -> None:
        """`expired` is called by the event loop when the deadline is over. Made while that loop
        runs."""
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._at: float | None = None

    def set(self, seconds: float) -> None:
        """From now on it is over after so many real seconds, whatever was set before."""
        self._at = at = self._loop.time() + seconds
        if self._timer is None or self._due > at:
            if self._timer is not None:
                self._timer.cancel()
            self._due = at
            self._timer = self._loop.call_at(at, self._look)

    def clear(self) -> None:
        """Nothing is waited for; the timer may go on."""
        self._at = None

    def stop(self) -> None:
        """Nothing will be waited for any more."""
        self._at = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._at is None:
            return
        if self._loop.time() < self._at:
            self._due = self._at
            self._timer = self._loop.call_at(self._at, self._look)
        else:
            self._at = None
            self._expired()
