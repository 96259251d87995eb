"""The rates of a running plant, M-01 to M-10, as of now: from the store's health rows and the
configured devices.

In: the sums of the health rows of 30 days and of the last day, of planned time alone where the
calendar has pauses. Out: one document per metric (`Result.to_full_json`). Cheap enough to be
computed every minute.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.config.models import RegisterConfig as RegisterFiles
from edge_agent.config.models import Site
from edge_agent.errors import ConfigError, Finding, RegisterError
from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.calendar import load_calendar
from edge_agent.metrics.evaluate import compute
from edge_agent.metrics.live import DeviceFacts, HealthSums, LiveEvidence, from_health
from edge_agent.production.change_watch import ChangeWatch
from edge_agent.production.scheduled import ScheduledHealth
from edge_agent.production.signals import business_links, is_controller
from edge_agent.production.site_devices import SiteDevices
from edge_agent.register.importing import load
from edge_agent.register.membership import Membership
from edge_agent.register.model import Register, schedules_of
from edge_agent.register.names import names_in
from edge_agent.stores import LiveFacts
from edge_agent.stores.base import HealthSummary
from edge_agent.stores.protocols import FactStore

log = logging.getLogger(__name__)

_DAY_NS: Final = 86_400_000_000_000
#: The window of effective networking, and the recent one of the online ratio and of automatic
#: acquisition.
LONG_NS: Final = 30 * _DAY_NS
RECENT_NS: Final = _DAY_NS

#: So many health rows may be late before their absence counts as a gap.
PATIENCE_ROWS: Final = 6

#: States of a device in which it answers, wholly or in part.
ANSWERING: Final = frozenset({"online", "degraded"})


class LiveRates:
    """The register of a site and what is configured; computes results from a store."""

    def __init__(self, site: Site) -> None:
        """The errors of a register are logged in full and it is not used: data is stored all the
        same."""
        self._site = site
        self._hours: ScheduledHealth | None = None
        self._watch = ChangeWatch()
        self._change_within_s = Fraction(str(site.register_.change_within))
        self.findings: tuple[Finding, ...] = ()
        self.notes: tuple[Finding, ...] = ()
        """What the check of the register noted."""
        self.register = self._load(site.register_)
        if self.register is not None and site.register_.calendar is not None:
            self._hours = _hours(site.register_.calendar, self.register)

    def _load(self, files: RegisterFiles) -> Register | None:
        if files.equipment is None:
            return None
        try:
            register, notes = load(files.equipment, files.processes, names_in(self._site))
        except RegisterError as error:
            self.findings = error.findings
            for finding in error.findings:
                log.error(
                    "register-faulty code=%s where=%s: %s", finding.code, finding.where, finding.en
                )
            return None
        self.notes = notes
        for note in notes:
            log.info("register-note code=%s where=%s", note.code, note.where)
        return register

    @property
    def ready(self) -> bool:
        """Whether there is a register to compute from."""
        return self.register is not None

    def compute(self, store: FactStore, now_ns: int) -> list[dict[str, Any]]:
        """All metrics as of now, as full documents."""
        if self.register is None:
            return []
        devices = SiteDevices.of(self._site, store)
        newest = self._newest(store, devices, now_ns)
        now_ns = min(now_ns, max((row.last_t for row in newest.values()), default=now_ns))
        online = {key for key, row in newest.items() if row.state in ANSWERING}
        live = self._live(store, devices, now_ns, online)
        nc = self._site.register_.robot_is_nc
        register, names = (
            devices.resolved(self.register),
            frozenset(member.name for member in devices.members),
        )
        zone = ZoneInfo(self._site.agent.timezone)
        within_s = self._change_within_s
        results = compute(
            Assessment(register, live, now_ns, nc, names, zone=zone, change_within_s=within_s)
        )
        return [result.to_full_json() for result in results.values()]

    def _newest(
        self, store: FactStore, devices: SiteDevices, now_ns: int
    ) -> Mapping[str, HealthSummary]:
        """Device key -> its newest health, while its rows come. The last interval they speak of is
        where the figures end: what is not reported yet is no gap."""
        patience = int(PATIENCE_ROWS * 1e9 * self._site.agent.health)
        rows = store.health(now_ns - patience, now_ns)
        return {key: row for key, row in rows.items() if key in devices.by_key}

    def live(self, store: FactStore, now_ns: int) -> LiveEvidence:
        """The facts of every device of the plant up to now, by what registers call it."""
        return self._live(store, SiteDevices.of(self._site, store), now_ns)

    def _live(
        self, store: FactStore, devices: SiteDevices, now_ns: int, online: Collection[str] = ()
    ) -> LiveEvidence:
        """`online`: the keys of the devices that answer."""
        if self._hours is not None and self.register is not None:
            resolved = devices.resolved(self.register)
            members = Membership(resolved, None, now_ns, ZoneInfo(self._site.agent.timezone))
            self._hours.follow(schedules_of(members.standing))
        long_start = now_ns - LONG_NS
        recent_start = now_ns - RECENT_NS
        long = store.live_facts(long_start, now_ns)
        recent = store.live_facts(recent_start, now_ns)
        stored = self._watch.stored(store, self._change_since(devices, now_ns), now_ns)
        facts: dict[str, DeviceFacts] = {}
        for member in devices.members:
            device = member.config
            known = long.get(member.key)
            first = known.first_ns if known else None
            sums: tuple[HealthSums, ...] = (_sums(known), _sums(recent.get(member.key)))
            collected = any(each.scheduled_s > 0 for each in sums)
            hours = calendar = None
            if self._hours is not None:
                calendar = self._hours.calendar(member.name, long_start, now_ns)
                hours = self._hours.planned(
                    member.name, max(long_start, first or long_start), now_ns
                )
                if hours is not None:
                    starts = (long_start, recent_start)
                    sums = tuple(
                        self._hours.sums(store, member.key, hours, start, now_ns)
                        for start in starts
                    )
            facts[member.name] = from_health(
                now_ns,
                first,
                known.last_good_ns if known else None,
                (long_start, sums[0]),
                (recent_start, sums[1]),
                planned=hours,
                controller=is_controller(device),
                normalised=member.normalised,
                business_links=business_links(device),
                collected=collected,
                calendar=calendar,
                online=member.key in online,
                stored=stored[member.key],
            )
        return LiveEvidence(facts, now_ns, RECENT_NS // 1_000_000_000)

    def _change_since(self, devices: SiteDevices, now_ns: int) -> dict[str, int]:
        """Device key -> from when on a change of a value is looked for: the planned time asked for
        lies behind it."""
        within = int(self._change_within_s * 1_000_000_000)
        since = {}
        for member in devices.members:
            hours = self._hours and self._hours.calendar(member.name, now_ns - LONG_NS, now_ns)
            since[member.key] = (
                hours.before(now_ns, within, now_ns - LONG_NS) if hours else now_ns - within
            )
        return since


def _hours(file: Path, register: Register) -> ScheduledHealth | None:
    """None for a calendar that cannot be used, which is logged where the shifts are computed."""
    try:
        return ScheduledHealth(load_calendar(file), register.schedules)
    except ConfigError as error:
        log.error("calendar-faulty reason=%s", error)
        return None


def _sums(facts: LiveFacts | None) -> HealthSums:
    if facts is None:
        return HealthSums(0.0, 0.0, 0, 0)
    return HealthSums(facts.scheduled_s, facts.covered_s, facts.good, facts.bad)
