"""What is not well, as one list: who, since when, why in a sentence with the next step. Worst
first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.app.status.overview import SILENT
from edge_agent.health import sentence
from edge_agent.health.ne107 import NAMES, Health
from edge_agent.words import command, number_of

Document = Mapping[str, Any]

#: The word for a connection that is not as it should be, how bad it is (0: somebody must act now),
#: Chinese, English.
CONNECTIONS: Final[Mapping[str, tuple[int, str, str]]] = {
    "offline": (0, "离线", "offline"),
    "silent": (0, "无消息", "silent"),
    "degraded": (1, "部分", "degraded"),
    "uncertain": (1, "不确定", "uncertain"),
    "starting": (2, "启动", "starting"),
    "stale": (2, "陈旧", "stale"),
    "online": (9, "在线", "online"),
}
#: The quality of a device none of whose tags is bad, and whose last good value is older than it may
#: be.
_OLD: Final = "UncertainLastUsableValue"
_STALE: Final = (
    "最后的有效值已过时限：采集代理停顿过，或数据还在路上；持续出现时请检查本机负载。",
    "Its last good value is older than it may be: the agent stood still, or data is on the way. "
    "If it stays so, check"
    " this machine's load.",
)
#: It answers, and some of its values are not good: nothing says since when.
_IN_PART: Final = ("degraded", "uncertain")
#: Devices named in one line; the rest is counted.
_NAMED: Final = 3
_SEVERITY: Final = {"FAILURE": 0, "CHECK_FUNCTION": 2}


@dataclass(frozen=True, slots=True)
class StatusFault:
    """One thing that is not well."""

    severity: int
    """0: somebody must act now; 1: something is wrong; 2: it passes by itself."""
    word: tuple[str, str]
    who: tuple[str, str]
    since: int | None
    """ns; None where nobody knows."""
    sentence: tuple[str, str]
    """Why, and the next step: Chinese, English."""


def not_well(
    document: Document, config: object, configured: Collection[str] | None = None
) -> list[StatusFault]:
    """Of the documents `serve`, `agent` and (where it was asked for) `missing`; `configured`: only
    these devices."""
    store = document["serve"]
    agent = document["agent"]
    found = [*_process(store, "serve", config), *_process(agent, "run", config)]
    if store is not None and "devices" in store:
        found += _never_reported(store["devices"], configured or ())
        said = {} if agent is None else {row["id"]: row for row in agent.get("devices", ())}
        found += _devices(
            [_exact(row, said) for row in own_rows(store["devices"], configured)], store["t"]
        )
        found += _unfollowed_names(store.get("was_aside", ()))
    elif agent is not None and "devices" in agent:
        found += _devices([_as_row(row) for row in agent["devices"]], None)
    missing = document.get("missing")
    if missing is not None and "gaps" in missing:
        found += _lost(missing, config)
    return sorted(found, key=lambda each: each.severity)


def own_rows(rows: Sequence[Document], configured: Collection[str] | None) -> list[Document]:
    """The devices this configuration answers for: its own, and those of the other agents of the
    plant. A guest's, and those that it has no longer, are no concern of its."""
    return [
        row
        for row in rows
        if not row.get("guest") and (configured is None or _answered_for(row, configured))
    ]


def never_reported(rows: Sequence[Document], configured: Collection[str]) -> list[str]:
    """The configured devices of which the store has never heard."""
    known = {_device(row) for row in rows if not row.get("guest") and not row.get("by_birth")}
    return sorted(set(configured) - known)


def _answered_for(row: Document, configured: Collection[str]) -> bool:
    return bool(row.get("by_birth")) or _device(row) in configured


def _device(row: Document) -> str:
    """The id alone of a device that may be shown as `agent:device`."""
    own: str = row["id"]
    return own.removeprefix(f"{row.get('agent', '')}:")


_PROCESSES: Final = {
    "serve": (
        ("入库服务", "store service"),
        "没有入库，也没有指标",
        "nothing is stored and no figure computed",
    ),
    "run": (("采集代理", "agent"), "没有采集", "nothing is read"),
}


def _process(part: Document | None, name: str, config: object) -> Iterator[StatusFault]:
    """Of one of the two processes: that it does not run or answer, else what it says of itself."""
    who, zh, en = _PROCESSES[name]
    if part is None:
        start = command(name, str(config))
        told = f"未运行，{zh}。请启动：{start}", f"It does not run: {en}. Start it: {start}"
        yield StatusFault(0, ("未运行", "not running"), who, None, told)
    elif "ne107" not in part:
        yield StatusFault(0, ("没有应答", "no answer"), who, None, (part["zh"], part["en"]))
    else:
        for notice in part["ne107"]["notices"]:
            severity = _SEVERITY.get(notice["health"], 1)
            word = NAMES[Health[notice["health"]]]
            yield StatusFault(
                severity, word, who, notice.get("since"), (notice["zh"], notice["en"])
            )


def _never_reported(rows: Sequence[Document], configured: Collection[str]) -> Iterator[StatusFault]:
    missing = never_reported(rows, configured)
    if missing:
        yield StatusFault(0, ("从未上报", "never reported"), _names(missing), None, SILENT)


def _unfollowed_names(claims: Sequence[Document]) -> Iterator[StatusFault]:
    """`was` of the plant's devices that are not followed; a guest's is no concern of ours."""
    for claim in claims:
        if not claim["guest"]:
            who = f"{claim['device']}  was: {claim['was']}"
            yield StatusFault(
                1,
                ("改名未采用", "rename not followed"),
                (who, who),
                None,
                (claim["zh"], claim["en"]),
            )


def _names(ids: Sequence[str]) -> tuple[str, str]:
    """A few of them, and how many there are."""
    named = ", ".join(ids[:_NAMED])
    rest = len(ids) - _NAMED
    whole = f"{named} … +{rest}" if rest > 0 else named
    return whole, whole


def _exact(row: Document, said: Mapping[str, Document]) -> Document:
    """With the cause as the agent of this machine says it now: the store knows it only as long as
    it has the row in which it was told."""
    own = said.get(_device(row))
    if (
        own is None
        or row.get("by_birth")
        or own["state"] != row["connection"]
        or not own.get("detail")
    ):
        return row
    return {**row, "why": [own["detail_zh"], own["detail"]]}


def _as_row(row: Document) -> Document:
    """A device as the agent tells of it, as the store service would."""
    notices = sorted(row["ne107"]["notices"], key=lambda notice: notice["reason"] != row["reason"])
    why = [notices[0]["zh"], notices[0]["en"]] if notices else ["", ""]
    return {
        "id": row["id"],
        "connection": row["state"],
        "quality": "",
        "why": why,
        "last_good_t": row["last_good_t"],
    }


def _devices(rows: Sequence[Document], now: int | None) -> Iterator[StatusFault]:
    """Devices that are not online, those for one reason together."""
    groups: dict[tuple[str, str], list[Document]] = {}
    for row in rows:
        if row["connection"] == "online" and row["quality"] == _OLD:
            row = {**row, "connection": "stale", "why": _STALE}
        elif row["connection"] == "online" and row["quality"].startswith("Uncertain"):
            status = row["quality"].partition(" ")[0]
            row = {**row, "connection": "uncertain", "why": sentence(status)}
        if row["connection"] != "online":
            groups.setdefault((row["connection"], row["why"][1]), []).append(row)
    for (connection, _), group in groups.items():
        severity, zh, en = CONNECTIONS.get(connection, (1, connection, connection))
        since = (
            []
            if connection in _IN_PART
            else [t for row in group if (t := _last_good(row, now)) is not None]
        )
        first = group[0]["why"]
        yield StatusFault(
            severity,
            (zh, en),
            _names([row["id"] for row in group]),
            min(since, default=None),
            (_fault_sentence(group, first[0]), _fault_sentence(group, first[1])),
        )


def _fault_sentence(group: Sequence[Document], why: str) -> str:
    """The sentence; of a single device that answers in part, with what is wrong and how many tags
    it is."""
    quality = group[0]["quality"]
    if len(group) > 1 or group[0]["connection"] not in _IN_PART or not quality:
        return why
    status, _, count = quality.partition(" ")
    if count and group[0].get("reason", status) != status:
        quality = count  # tags of several reasons, of which the sentence is another one's
    return f"{quality}: {why}"


def _last_good(row: Document, now: int | None) -> int | None:
    if "last_good_t" in row:
        t: int | None = row["last_good_t"]
        return t
    age = row.get("last_good_age_s")
    return None if age is None or now is None else now - int(age * 1e9)


def _lost(missing: Document, config: object) -> Iterator[StatusFault]:
    """Data that will never come, and data that never came."""
    look = command("status", str(config), "--wide")
    gaps = missing["gaps"]
    absent = missing.get("absent", ())
    if gaps:
        entries = sum(row["entries"] for row in gaps)
        last = gaps[-1]
        word = ("丢失数据", "data lost")
        who = (f"{entries:,} 条消息", number_of(entries, "message"))
        since = min(row["from_t"] for row in gaps)
        yield StatusFault(
            1, word, who, since, (f"{last['zh']}详情：{look}", f"{last['en']} Details: {look}")
        )
    if absent:
        entries = sum(row["entries"] for row in absent)
        who = (f"{entries:,} 条消息", number_of(entries, "message"))
        zh = f"没有入库，也没有缺口记录：仍在排队，或已被消息服务器丢弃。详情：{look}"
        en = (
            "Not stored, and no gap record: they still queue, or the broker dropped them. "
            f"Details: {look}"
        )
        yield StatusFault(1, ("未到达", "never arrived"), who, None, (zh, en))
