"""Production figures by shift and by day: which windows are due, what is kept of them, what is
published.

A window that runs is computed again and again and published; once it is over it is computed a last
time and kept in the store. Data that comes late (from an outbox) touches hours; the windows over
them are computed again, and a figure that changed is kept as the next revision of its window.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.config.models import Site
from edge_agent.metrics.calendar import Calendar, ShiftSchedule, load_calendar
from edge_agent.production.count_notes import CountNotes
from edge_agent.production.gather import first_data
from edge_agent.production.retention import readings_from
from edge_agent.production.signals import PlantSignals
from edge_agent.production.site_devices import SiteDevices
from edge_agent.production.store_source import StoreFacts
from edge_agent.production.window_document import window_document
from edge_agent.register.model import Register
from edge_agent.stores.base import AROUND_NS, NEXT_NS, Name
from edge_agent.stores.changed_series import HOUR_NS
from edge_agent.stores.protocols import FactStore
from edge_agent.stores.registers import unpacked, valid_at

log = logging.getLogger(__name__)

Document = dict[str, Any]

#: Windows computed in one round at the most, the newest first; the others wait for the next round.
ROUND: Final = 4
#: After a start everything this young is looked at again: what came while nobody was computing.
LOOK_BACK_NS: Final = 2 * 86_400_000_000_000
#: A window is over when its last messages had time to come.
_SETTLE_NS: Final = 120_000_000_000
_FIGURE: Final = (
    "value",
    "numerator",
    "denominator",
    "numerator_ids",
    "denominator_ids",
    "register_version",
)


@dataclass(frozen=True, order=True, slots=True)
class Period:
    """A shift or a day."""

    start: int
    end: int
    kind: str
    """`shift` or `day`."""
    name: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "from_ns": self.start, "to_ns": self.end}


class ProductionFigures:
    """Of one site. `due` and `keep` belong to one thread, `compute` only reads and may run in
    any."""

    def __init__(self, site: Site, register: Register) -> None:
        """Raises ConfigError when the shift calendar cannot be used."""
        self._site = site
        self._register = register
        file = site.register_.calendar
        self.calendar = None if file is None else load_calendar(file)
        self._days = self.calendar or Calendar(
            timezone=site.agent.timezone, schedules={"default": ShiftSchedule(shifts=())}
        )
        self._signals = PlantSignals(site, register)
        self._keys: list[str] = []
        names = Tally(machine.schedule_id for machine in self._signals.links.machines)
        self._schedule = min(names, key=lambda name: (-names[name], name), default="")
        self._hours: set[int] = set()
        self._late: set[Period] = set()
        self._awaiting: set[Period] = set()
        """Windows of which a counter's next reading has not come."""
        self._over: set[Period] = set()
        self._started = False
        self._former: dict[str, Register] = {}
        """Former versions of the register that were needed, by version."""
        self.running: dict[str, Document] = {}
        """The newest figures of windows that are not over, by id."""

    def refresh(self, store: FactStore) -> bool:
        """Look again which devices speak for which machines; whether that changed, or this is the
        first look."""
        devices = SiteDevices.of(self._site, store)
        keys = [
            f"{member.name} {member.key} {sorted(member.config.tags)}" for member in devices.members
        ]
        if keys == self._keys:
            return False
        self._keys = keys
        self._signals = PlantSignals(self._site, self._register, devices)
        return True

    @property
    def steady(self) -> list[Name]:
        """The tags whose runs the store should keep."""
        return self._signals.steady

    @property
    def powers(self) -> Mapping[Name, Sequence[Name]]:
        """The powers whose energy the store should keep, and at which tags' changes it is
        divided."""
        return self._signals.powers

    @property
    def counters(self) -> Mapping[Name, Sequence[Name]]:
        """The counters the store should keep the deciding readings of, and at which tags' changes
        they are divided."""
        return self._signals.counters

    def periods(self, start: int, end: int) -> set[Period]:
        """Every shift (of the schedule most machines follow) and every day that overlaps
        `start..end`."""
        found = {
            Period(a, b, "shift", name)
            for name, a, b in self._days.shifts(self._schedule, start, end)
        }
        t = start
        while t < end:
            first, t = self._days.day(t)
            found.add(Period(first, t, "day"))
        return found

    def due(self, now: int, touched: Iterable[int]) -> list[Period]:
        """What to compute in this round: what runs, and what is over and was never computed, or
        touched since."""
        if not self._started:
            self._started = True
            touched = {*touched, *range((now - LOOK_BACK_NS) // HOUR_NS * HOUR_NS, now, HOUR_NS)}
        # The hour that runs is touched all the time; it is looked at once when it is over.
        self._hours |= set(touched)
        past = {hour for hour in self._hours if hour + HOUR_NS <= now}
        self._hours -= past
        for hour in past:
            self._late |= self.periods(max(0, hour - NEXT_NS), hour + HOUR_NS)
            self._late |= {each for each in self._awaiting if each.end <= hour + HOUR_NS}
            # What came in the hours after a window may show that a reading at its end was not
            # possible.
            judged = max(0, hour - AROUND_NS), hour - AROUND_NS + HOUR_NS
            self._late |= {each for each in self.periods(*judged) if each.end <= judged[1]}
        running = self.periods(now - 1, now)
        self._late |= {period for period in self._over if period.end + _SETTLE_NS <= now}
        self._over = {period for period in self._over if period.end + _SETTLE_NS > now} | running
        over = sorted(period for period in self._late if period.end + _SETTLE_NS <= now)
        chosen = over[-ROUND:]
        self._late -= {*chosen, *running}
        return [*sorted(running), *reversed(chosen)]

    def compute(self, store: FactStore, period: Period, now: int) -> list[Document]:
        """One document per metric of every line and of the site; none for a window before the first
        data of all, and none where readings have been deleted since its figures were kept: those
        stand."""
        devices = SiteDevices.of(self._site, store)
        first = first_data(StoreFacts(store), devices, now)
        if first is None or period.end <= first:
            return []
        end = min(period.end, now)
        over = period.end + _SETTLE_NS <= now
        if (
            over
            and period.start < readings_from(self._site, now)
            and store.metrics(period.end, period.end + 1)
        ):
            log.info("figures-stand window_end=%d reason=readings-deleted", period.end)
            self._awaiting -= {period}
            return []
        register = self._valid_register(store, period.end) if over else self._register
        notes = CountNotes.usable(self._site)
        signals = PlantSignals(
            self._site, register, devices, window=(period.start, end), notes=notes
        )
        found = window_document(
            StoreFacts(store), signals, self.calendar, period.start, end, computed_at=now
        )
        documents = []
        for kind, name, scope in _scopes(found):
            for metric, result in scope["results"].items():
                documents.append(
                    _document(kind, name, scope, metric, result, period) | {"complete": over}
                )
        waits = any("unknown_since" in document["details"] for document in documents)
        self._awaiting = (
            (self._awaiting | {period}) if over and waits else self._awaiting - {period}
        )
        if not over:
            self.running |= {document["id"]: document for document in documents}
        return documents

    def _valid_register(self, store: FactStore, end: int) -> Register:
        """The version that was valid at the end of a window that is over: a later change of the
        register is none of its figures."""
        version = valid_at(store.register_versions(), end)
        if version is None or version.version == self._register.version:
            return self._register
        if version.version not in self._former:
            document = store.register_document(version.version)
            try:
                self._former[version.version] = (
                    self._register if document is None else unpacked(document)[0]
                )
            except ValueError as error:
                log.error("kept-register-damaged version=%s reason=%s", version.version, error)
                self._former[version.version] = self._register
        return self._former[version.version]

    def end_running(self, documents: Sequence[Document]) -> None:
        """The window of these figures is over and they are kept."""
        for document in documents:
            self.running.pop(document["id"], None)

    def keep(
        self, store: FactStore, period: Period, documents: Sequence[Document]
    ) -> list[Document]:
        """Store the figures of a window that is over; what is new or changed comes back, with its
        revision."""
        before: dict[str, Document] = {}
        for old in store.metrics(period.end, period.end + 1):
            if old["id"] not in before or old.get("revision", 0) >= before[old["id"]].get(
                "revision", 0
            ):
                before[old["id"]] = old
        changed = []
        for document in documents:
            known = before.get(document["id"])
            if known is not None and all(known.get(key) == document[key] for key in _FIGURE):
                continue
            document["revision"] = 0 if known is None else known.get("revision", 0) + 1
            store.put_metric(document["id"], period.end, document)
            changed.append(document)
        corrected = [document["id"] for document in changed if document["revision"]]
        if corrected:
            log.info(
                "figures-corrected window_end=%d figures=%d first=%s",
                period.end,
                len(corrected),
                corrected[0],
            )
        return changed

    def production(self, store: FactStore, start: int, end: int, now: int) -> Document:
        """Everything of any window, machine by machine."""
        devices = SiteDevices.of(self._site, store)
        notes = CountNotes.usable(self._site)
        signals = PlantSignals(
            self._site, self._register, devices, window=(start, end), notes=notes
        )
        return window_document(
            StoreFacts(store), signals, self.calendar, start, end, computed_at=now
        )


def _scopes(found: Document) -> list[tuple[str, str, Mapping[str, Any]]]:
    lines = [("line", line, scope) for line, scope in found["lines"].items()]
    return [*lines, ("site", "site", found["site"])]


def _document(
    kind: str,
    name: str,
    scope: Mapping[str, Any],
    metric: str,
    result: Mapping[str, Any],
    period: Period,
) -> Document:
    """A result as it is kept and published: `M-14/shift/ML1`."""
    details = dict(result["details"])
    if metric == "M-11":
        details |= {
            key: scope[key] for key in ("seconds", "reasons", "unknown_share", "failures", "losses")
        }
    if metric == "M-19":
        details["energy"] = scope["energy"]
    return {
        **result,
        "id": f"{metric}/{period.kind}/{name}",
        "metric": metric,
        "scope": {"kind": kind, "id": name},
        "period": period.to_json(),
        "revision": 0,
        "details": details,
    }
