"""`edge-agent register versions|keep|export`: the versions of the register that a store keeps."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge_agent.app.figures.served_facts import fact_source
from edge_agent.app.reports.command import subject
from edge_agent.errors import FindingsError
from edge_agent.production.registers import keep, midnight
from edge_agent.production.windows import instant
from edge_agent.register.model import Register
from edge_agent.stores.registers import unpacked

_S: Final = 1_000_000_000


def kept_versions(config: Path) -> list[dict[str, Any]]:
    """`{"version", "valid_from", "kept_at", "equipment", "is_file"}` of every version, the newest
    first."""
    about = subject(config)
    with fact_source(about.site) as source:
        found = []
        for each in reversed(source.register_versions()):
            document = source.register_document(each.version)
            register = Register(()) if document is None else unpacked(document)[0]
            found.append(
                {
                    "version": each.version,
                    "valid_from": _day(each.valid_from, about.zone),
                    "kept_at": datetime.fromtimestamp(each.kept_at // _S, about.zone).isoformat(),
                    "equipment": len(register.equipment),
                    "is_file": each.version == about.register.version,
                }
            )
        return found


def keep_configured(config: Path, valid_from: str | None) -> tuple[str, str, bool]:
    """Keep the register of a configuration from a day on (None: today): its version, that day,
    whether it is new.

    Raises FindingsError for a day that is none, or lies ahead."""
    about = subject(config)
    since = (
        midnight(about.now_ns, about.zone)
        if valid_from is None
        else _start(valid_from, about.zone, about.now_ns)
    )
    with fact_source(about.site) as source:
        kept = keep(source, about.register, about.checked, about.now_ns, about.zone, since)
    return about.register.version, _day(since, about.zone), kept is not None


def kept_register(config: Path, version: str) -> Register:
    """The kept version that begins with these digits. Raises FindingsError where there is none, or
    several."""
    about = subject(config)
    with fact_source(about.site) as source:
        names = {each.version for each in source.register_versions()}
        matching = [name for name in names if name.startswith(version.lower())]
        document = source.register_document(matching[0]) if len(matching) == 1 else None
    if document is None:
        raise FindingsError.one(
            "register-version-unknown",
            f"没有唯一的台账版本以“{version}”开头：请用 register versions 查看并多写几位。",
            f"Not exactly one kept register version begins with “{version}”: see `register "
            "versions`, and write more "
            "digits.",
            "VERSION",
        )
    return unpacked(document)[0]


def _day(t: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(t // _S, zone).date().isoformat()


def _start(text: str, zone: ZoneInfo, now_ns: int) -> int:
    try:
        since = instant(datetime.strptime(text.strip(), "%Y-%m-%d"), zone)
    except (ValueError, OverflowError) as error:
        raise FindingsError.one(
            "register-valid-from",
            f"日期“{text}”应写作 2026-10-01。",
            f"The date “{text}” must be written 2026-10-01.",
            "--valid-from",
        ) from error
    if not 0 <= since <= now_ns:
        raise FindingsError.one(
            "register-valid-from",
            f"“{text}”不能晚于今天。",
            f"“{text}” must not lie after today.",
            "--valid-from",
        )
    return since
