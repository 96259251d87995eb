"""What persons wrote down about counters, by device and tag as the store names them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from edge_agent.config.models import Site
from edge_agent.errors import RegisterError
from edge_agent.metrics.plausibility import Decision
from edge_agent.production.counting import CounterExchange
from edge_agent.production.site_devices import SiteDevices
from edge_agent.register.count_files import (
    EventDecision,
    MeterExchange,
    read_decisions,
    read_exchanges,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CountNotes:
    """The rows of `register.meters` and `register.events`."""

    meters: tuple[MeterExchange, ...] = ()
    events: tuple[EventDecision, ...] = ()

    @classmethod
    def of(cls, site: Site) -> CountNotes:
        """Raises RegisterError for a file that cannot be read, or has a row that is not
        understood."""
        files = site.register_
        zone = ZoneInfo(site.agent.timezone)
        return cls(
            () if files.meters is None else tuple(read_exchanges(files.meters, zone)),
            () if files.events is None else tuple(read_decisions(files.events, zone)),
        )

    @classmethod
    def usable(cls, site: Site) -> CountNotes:
        """The same for a service: it logs what is wrong with a file, and goes on without it."""
        try:
            return cls.of(site)
        except RegisterError as error:
            for finding in error.findings:
                log.error(
                    "counter-file-faulty code=%s where=%s: %s",
                    finding.code,
                    finding.where,
                    finding.en,
                )
            return NO_NOTES

    def resolved(self, devices: SiteDevices) -> ResolvedNotes:
        """By the devices' keys."""
        keys = {member.name: member.key for member in devices.members}

        def key(written: str) -> str:
            name = devices.named(written)
            return keys.get(name, name)

        return ResolvedNotes(
            [(key(row.device), row) for row in self.meters],
            [(key(row.device), row) for row in self.events],
        )


NO_NOTES: Final = CountNotes()


@dataclass(frozen=True, slots=True)
class ResolvedNotes:
    """The rows beside the keys of their devices."""

    meters: Sequence[tuple[str, MeterExchange]] = ()
    events: Sequence[tuple[str, EventDecision]] = ()

    def exchanges(self, key: str, tag: str, *, energy: bool) -> tuple[CounterExchange, ...]:
        """Of one counter; a row without a tag is of the device's energy counter."""
        return tuple(
            CounterExchange(row.t, row.last_old, row.first_new)
            for device, row in self.meters
            if device == key and (row.tag == tag or (not row.tag and energy))
        )

    def decisions(self, key: str, tag: str) -> tuple[Decision, ...]:
        """Of one counter."""
        return tuple(
            Decision(row.since, row.until, row.counted)
            for device, row in self.events
            if device == key and row.tag == tag
        )
