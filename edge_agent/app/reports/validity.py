"""Which register a report is computed with: today's file, or of a window that is over the version
valid at its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from edge_agent.config.models import Site
from edge_agent.errors import Finding, FindingsError, StoreError
from edge_agent.metrics.calendar import Calendar, check_schedules
from edge_agent.metrics.definitions import Text
from edge_agent.production.figures import FigureOptions
from edge_agent.production.registers import keep, midnight, valid_register
from edge_agent.register.model import Register
from edge_agent.stores.registers import RegisterStore, RegisterVersion

log = logging.getLogger(__name__)

_S: Final = 1_000_000_000
_SHOWN: Final = 12
"""Digits of a version that people are shown."""


@dataclass(frozen=True, slots=True)
class ReportSubject:
    """A site with its register: what a report is about."""

    site: Site
    register: Register
    """As its file has it; of a window that is over the version that was valid at its end."""
    calendar: Calendar | None
    options: FigureOptions
    sources: Mapping[str, str]
    """What was read -> its sha256."""
    now_ns: int
    checked: tuple[Finding, ...] = ()
    """What the check of the register noted."""
    validity: Text | None = None
    """Which version of the register a window that is over was computed with, and why."""

    @property
    def noted(self) -> tuple[Finding, ...]:
        """What the check of register and calendar noted."""
        name = "" if self.site.register_.equipment is None else self.site.register_.equipment.name
        return (*self.checked, *check_schedules(self.register, self.calendar, name))

    @property
    def zone(self) -> ZoneInfo:
        """The plant's."""
        return ZoneInfo(self.site.agent.timezone)


def in_window(
    about: ReportSubject, store: RegisterStore, end_ns: int, *, over: bool
) -> ReportSubject:
    """Keep today's register in the store; for a window that is `over`, the subject with the version
    valid at its end.

    Where the store cannot keep or give one, today's file stands, and the report says so.
    """
    try:
        keep(store, about.register, about.checked, about.now_ns, about.zone)
        found = valid_register(store, end_ns) if over else None
    except (StoreError, FindingsError, ValueError) as error:
        log.warning("register-not-kept reason=%s", error)
        return replace(about, validity=_not_kept()) if over else about
    if found is None:
        return about
    version, register, notes = found
    files = about.site.register_
    read = {path.name for path in (files.equipment, files.processes) if path is not None}
    sources = {name: digest for name, digest in about.sources.items() if name not in read}
    return replace(
        about,
        register=register,
        checked=notes,
        sources={**sources, "register": register.version},
        validity=_said(version, end_ns, about.zone),
    )


def is_over(about: ReportSubject, wanted: str | None, end_ns: int) -> bool:
    """Whether a window that was asked for by its dates had ended before today began."""
    return wanted is not None and ".." in wanted and end_ns <= midnight(about.now_ns, about.zone)


def _said(version: RegisterVersion, end_ns: int, zone: ZoneInfo) -> Text:
    day = datetime.fromtimestamp(version.valid_from // _S, zone).date()
    shown = version.version[:_SHOWN]
    if version.valid_from < end_ns:
        return Text(
            f"窗口已结束：按窗口结束时有效的台账版本计算（{shown}…，自 {day} 起有效）；"
            "此后对台账的修改不改变本窗口。"
            "若当时的台账有误，请用 register keep --valid-from 注明更正自何日起有效。",
            "The window is over: it is computed with the register version valid at its end "
            f"({shown}…, from {day}); "
            "later changes of the register change none of its figures. If that version was "
            "wrong, say with `register "
            "keep --valid-from` from which day its correction is valid.",
        )
    return Text(
        f"窗口已结束，当时没有留存台账版本：按最早留存的版本计算（{shown}…，{day} 留存）；"
        "此后的修改不改变本窗口。"
        "若当时的台账不同，请用 register keep --valid-from 注明。",
        "The window is over and no register version was kept then: it is computed with the "
        f"earliest one ({shown}…, "
        f"kept from {day}); later changes change none of its figures. If the register was "
        "another one then, say so "
        "with `register keep --valid-from`.",
    )


def _not_kept() -> Text:
    return Text(
        "窗口已结束，但存储无法给出当时的台账版本：按当前台账文件计算，请检查存储。",
        "The window is over and the store could not give the register version of that time: it "
        "is computed with "
        "today's file; check the store.",
    )
