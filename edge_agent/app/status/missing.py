"""What is missing, from when to when, and why: outages of devices and gaps in the data, out of the
store.

An outage is a time in which a device gave no good value. Three kinds of evidence tell of it: a
transition to `offline`; the restart of an agent, before which its health rows end; and health rows
that do not come, any more or for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from edge_agent.app.status.absent import holes
from edge_agent.production.site_devices import SiteDevices
from edge_agent.reasons import sentence, status_of_cause
from edge_agent.stores.base import HealthSummary, Silence
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.protocols import MonitoredStore
from edge_agent.words import command

_SECOND: Final = 1_000_000_000
_MINUTE: Final = 60 * _SECOND
_DAY: Final = 86_400 * _SECOND
_ANSWERS: Final = ("online", "degraded")
#: How far back the state at the window's start is looked for.
BEFORE_NS: Final = 7 * _DAY
#: Rows that may be missing before a device counts as silent, and the shortest time for that.
SILENT_ROWS: Final = 3
SILENT_AT_LEAST_NS: Final = 10 * _SECOND
#: Between the last row of an agent that stops and the first of its next life lies at least this;
#: less is no outage.
SHORTEST_NS: Final = _SECOND


#: A device that is renamed answers under its new name after so long at the most.
RENAMING_NS: Final = _MINUTE
_REMOVED: Final = status_of_cause("removed")


@dataclass(frozen=True, slots=True)
class Outage:
    """One device without good values, `from_t` to `to_t` (ns; None = still)."""

    device: str
    from_t: int
    to_t: int | None
    seconds: float
    reason: str
    """A status name; `agent_stopped`; `no_report`."""
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class _Window:
    """`start` to `end`, and how long a device may say nothing; ns."""

    start: int
    end: int
    silent: int


@dataclass(frozen=True, slots=True)
class HealthSpan:
    """What the health rows of one device say in a stretch of time: between which times they lie,
    what the newest one says, and for how long there were good values."""

    first_t: int
    last_t: int
    state: str
    reason: str
    covered_s: float

    @classmethod
    def of(cls, row: HealthSummary) -> HealthSpan:
        """Of what the store says."""
        return cls(row.first_t, row.last_t, row.state, row.reason, row.covered_s)


@dataclass(frozen=True, slots=True)
class DeviceEvidence:
    """What there is of one device in a window."""

    before: HealthSpan | None
    within: HealthSpan | None
    moves: Sequence[Mapping[str, Any]] = ()
    """Its transitions in the window, sorted."""
    silences: Sequence[Silence] = ()
    """Holes between its rows that end in the window."""
    starts: Mapping[int, int] = field(default_factory=dict)
    """Time at which it started anew -> time of its last row before."""
    why: tuple[str, str] | None = None
    """(zh, en): the exact sentence of its state when the window begins, where one is known."""
    states: Sequence[tuple[int, str, str]] | None = None
    """(t, state, reason): what its rows say from `t` on; None: the store is to be asked."""


def report(
    store: MonitoredStore,
    from_ns: int,
    to_ns: int,
    devices: Iterable[str] | None = None,
    row_s: float = 5.0,
    pending_from: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The whole answer for a window: outages, gaps, tags that went bad, and the covered share of
    each device.

    `devices`: only these, by their keys; `row_s`: how often health rows come; `pending_from`: as
    `absent.holes` has it.
    """
    span = _Window(from_ns, to_ns, silent_ns(row_s))
    moves = store.transitions(from_ns, to_ns)
    heard = _evidence_from_store(store, span, [row for row in moves if not row.get("tag")])
    if devices is not None:
        wanted = set(devices)
        heard = {key: each for key, each in heard.items() if key in wanted}
    return _document(store, span, heard, [row for row in moves if row.get("tag")], pending_from)


def recent_report(
    store: MonitoredStore,
    recent: RecentAnswers,
    from_ns: int,
    to_ns: int,
    devices: Iterable[str],
    row_s: float = 5.0,
    pending_from: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The same of a window within the last day that ends now and begins with a full minute, from
    what is kept of it."""
    span = _Window(from_ns, to_ns, silent_ns(row_s))
    wanted = set(devices)
    heard = {key: each for key, each in recent.evidence(from_ns, to_ns).items() if key in wanted}
    return _document(store, span, heard, recent.tag_moves(from_ns, to_ns), pending_from)


class RecentAnswers(Protocol):
    """What `recent_health.RecentHealth` answers here."""

    def evidence(self, from_ns: int, to_ns: int) -> dict[str, DeviceEvidence]: ...

    def tag_moves(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]: ...


def silent_ns(row_s: float) -> int:
    """How long a device may say nothing whose rows come every `row_s`."""
    return max(SILENT_AT_LEAST_NS, int(SILENT_ROWS * row_s * _SECOND))


def _document(
    store: MonitoredStore,
    span: _Window,
    heard: Mapping[str, DeviceEvidence],
    tag_moves: Iterable[Mapping[str, Any]],
    pending_from: Mapping[str, int] | None,
) -> dict[str, Any]:
    outages = [
        outage for key, each in sorted(heard.items()) for outage in _outages(key, each, span, store)
    ]
    streams = holes(store, pending_from)
    return {
        "from": span.start,
        "to": span.end,
        "outages": [asdict(outage) for outage in outages],
        "gaps": [_gap(row) for row in sorted(store.gaps(span.start, span.end), key=_begin)],
        "absent": streams.absent,
        "before": streams.before,
        "waiting": streams.waiting,
        "tags": [row for row in tag_moves if row["device"] in heard],
        "covered": {
            key: _share(each.within, each.before, span) for key, each in sorted(heard.items())
        },
    }


def _evidence_from_store(
    store: MonitoredStore, span: _Window, moves: Sequence[Mapping[str, Any]]
) -> dict[str, DeviceEvidence]:
    """From the store; a device that has only transitions there is not known."""
    before = store.health(span.start - BEFORE_NS, span.start)
    within = store.health(span.start, span.end)
    ends = _ends_before_restarts(store, span.start, moves)
    silences = _silences(store, span, before, within)
    began = _causes_at_start(store, span, list(before.values()))
    by_device: dict[str, list[Mapping[str, Any]]] = {}
    for row in moves:
        by_device.setdefault(row["device"], []).append(row)
    found = {}
    for key in sorted({*before, *within}):
        own = by_device.get(key, [])
        starts = {
            t: ends[t][key].last_t
            for t in (row["t"] for row in own)
            if t in ends and key in ends[t]
        }
        spans = [HealthSpan.of(rows[key]) if key in rows else None for rows in (before, within)]
        found[key] = DeviceEvidence(
            spans[0], spans[1], own, silences.get(key, ()), starts, began.get(key)
        )
    return found


def of_plant(
    store: MonitoredStore,
    devices: SiteDevices,
    from_ns: int,
    to_ns: int,
    row_s: float,
    pending_from: Mapping[str, int] | None = None,
    recent: RecentAnswers | None = None,
) -> dict[str, Any]:
    """The same of a plant, its devices as people are shown them; of guests nothing is missing.
    `recent`: answers for the window, which is within the last day."""
    if recent is None:
        found = report(store, from_ns, to_ns, devices.by_key, row_s, pending_from)
    else:
        found = recent_report(store, recent, from_ns, to_ns, devices.by_key, row_s, pending_from)
    for part in ("outages", "tags"):
        found[part] = [row | {"device": devices.shown(row["device"])} for row in found[part]]
    for part in ("gaps", "absent", "before", "waiting"):
        found[part] = [row for row in found[part] if not devices.is_guest_agent(row["agent"])]
    found["covered"] = {devices.shown(key): share for key, share in found["covered"].items()}
    return found


def _begin(gap: Mapping[str, Any]) -> int:
    return int(gap["from_t"])


def _gap(row: Mapping[str, Any]) -> dict[str, Any]:
    """A gap record with its number of messages and its sentence. Where nobody can know any more how
    many values they held, `values` is None: a file that is gone did not hold 0, and neither did
    bytes that cannot be read."""
    reason = row.get("reason") or ""
    zh, en = _GAP_REASONS.get(reason, _GAP_UNKNOWN)
    unknown = reason == "missing" or (reason in ("damaged", "store_damaged") and not row["values"])
    values = None if unknown else row["values"]
    entries = row["to_seq"] - row["from_seq"] + 1
    return {**row, "values": values, "entries": entries, "reason": reason, "zh": zh, "en": en}


def _share(row: HealthSpan | None, before: HealthSpan | None, span: _Window) -> dict[str, float]:
    """Seconds with good values, and seconds of the window in which the device was known. What the
    newest rows do not speak of yet is not asked for, as long as they come."""
    if row is None:
        return {"covered_s": 0.0, "window_s": (span.end - span.start) / _SECOND}
    start = span.start if before is not None else max(span.start, row.first_t)
    end = span.end if span.end - row.last_t > span.silent else row.last_t
    window = max(0.0, (end - start) / _SECOND)
    return {"covered_s": min(row.covered_s, window), "window_s": window}


def _ends_before_restarts(
    store: MonitoredStore, from_ns: int, moves: Sequence[Mapping[str, Any]]
) -> dict[int, dict[str, HealthSummary]]:
    """For each moment at which devices started anew: the last that was heard of each before it."""
    starts = {row["t"] for row in moves if row["from"] == "starting"}
    ends: dict[int, dict[str, HealthSummary]] = {}
    newest: dict[str, HealthSummary] = {}
    at = from_ns - BEFORE_NS
    for t in sorted(starts):
        newest = newest | store.health(at, t - 1)
        ends[t], at = newest, t - 1
    return ends


def _silences(
    store: MonitoredStore,
    span: _Window,
    before: Mapping[str, HealthSummary],
    within: Mapping[str, HealthSummary],
) -> dict[str, list[Silence]]:
    """Holes between health rows that end in the window. Those that began before it are looked for
    where there are some."""
    begun = [
        before[device].last_t
        for device, row in within.items()
        if device in before and row.first_t - before[device].last_t > span.silent
    ]
    return store.silences(min([span.start, *(t - 1 for t in begun)]), span.end, span.silent)


def _causes_at_start(
    store: MonitoredStore, span: _Window, before: Sequence[HealthSummary]
) -> dict[str, tuple[str, str]]:
    """The exact sentences of devices that may have been away already when the window began."""
    if not any(row.state == "offline" for row in before):
        return {}
    found: dict[str, tuple[str, str]] = {}
    # in order of time: the newest stays
    for row in store.transitions(span.start - BEFORE_NS, span.start):
        if not row.get("tag"):
            why = _sentence_of(row)
            if why is None:
                found.pop(row["device"], None)
            else:
                found[row["device"]] = why
    return found


def _outages(
    device: str, heard: DeviceEvidence, span: _Window, store: MonitoredStore
) -> list[Outage]:
    """The outages of one device in the window, in order."""
    story = _Story(device, span.start, store.catalogue)
    before = heard.before
    within = heard.within
    if before is not None and before.state == "offline":
        story.begin(span.start, before.reason, heard.why)
    holes = deque(heard.silences)
    for row in heard.moves:
        while holes and holes[0].until <= row["t"]:
            hole = holes.popleft()
            story.silent(hole, began_anew=hole.until == row["t"] and row["from"] == "starting")
        story.moved(row, heard.starts.get(row["t"]) if row["from"] == "starting" else None)
    for hole in holes:
        story.silent(hole, began_anew=False)
    if (
        story.since is not None
        and within is not None
        and within.state in _ANSWERS
        and within.last_t > story.since
    ):
        # the transition that ended it was lost
        back = _answered_again(store, device, heard, story.since, within.last_t)
        story.end(back, back)
    if story.since is None and within is not None and within.state == "offline":
        # the transition that began it was lost, or went to the store before this one
        begun = max(
            [within.first_t, *(outage.to_t for outage in story.outages if outage.to_t is not None)]
        )
        story.begin(_offline_since(store, device, heard, begun, within.last_t), within.reason)
    last = max((row.last_t for row in (before, within) if row is not None), default=span.start)
    if story.since is None and span.end - last > span.silent:
        story.begin(last, "no_report")
    if story.since is not None:
        story.end(None, span.end)
    return story.outages


def _answered_again(
    store: MonitoredStore, device: str, heard: DeviceEvidence, since: int, last: int
) -> int:
    """When rows say that the device answers again, to a minute; `last`: its newest row, which says
    so."""
    if heard.states is not None:
        return next((t for t, state, _ in heard.states if t > since and state in _ANSWERS), last)
    for _, row in store.health_by(since, last, _MINUTE).get(device, ()):
        if row.state in _ANSWERS:
            return row.last_t
    return last


def _offline_since(
    store: MonitoredStore, device: str, heard: DeviceEvidence, start: int, last: int
) -> int:
    """Since when the rows from `start` on have told of no good value any more, to a minute; in few
    questions."""
    if heard.states is not None:
        return max(
            start, next((t for t, state, _ in reversed(heard.states) if state == "offline"), start)
        )

    def good_after(t: int) -> bool:
        row = store.health(t, last).get(device)
        return row is not None and row.covered_s > 0

    before = start - 1
    since = last
    if not good_after(before):
        return start
    while since - before > _MINUTE:
        middle = (before + since) // 2
        if good_after(middle):
            before = middle
        else:
            since = middle
    return since


class _Story:
    """What is known of one device, told in the order in which it happened."""

    def __init__(self, device: str, start: int, catalogue: Catalogue) -> None:
        self.outages: list[Outage] = []
        self.device = device
        self.since: int | None = None
        """When the outage began that lasts at this point."""
        self._catalogue = catalogue
        self._start = start
        self._reason = ""
        self._renamed = len(catalogue.former.devices(device)) > 1
        self._why: tuple[str, str] | None = None

    def begin(self, t: int, reason: str, why: tuple[str, str] | None = None) -> None:
        """From now on there is nothing, or for another reason than before; `why` is its exact
        sentence."""
        self.since, self._reason, self._why = max(self._start, t), reason, why

    def end(self, until: int | None, t: int, sentences: tuple[str, str] | None = None) -> None:
        """The outage is over at `t`, or at least this reason for it; `until` None: it lasts."""
        if self.since is not None:
            exact = sentences or self._why
            if exact is None and until is None:
                exact = self._catalogue.causes.sentence(self.device, self._reason)
            zh, en = exact or _OWN_REASONS.get(self._reason) or sentence(self._reason)
            seconds = (t - self.since) / _SECOND
            self.outages.append(
                Outage(self.device, self.since, until, seconds, self._reason, zh, en)
            )
        self.since = None

    def silent(self, hole: Silence, *, began_anew: bool) -> None:
        """No rows came for a while; of a device that was away before, and may be yet, that is no
        news."""
        if self.since is not None:
            return
        if began_anew or hole.state == "starting":
            self.begin(hole.since, "agent_stopped")  # until it is heard that the device has started
            return
        self.begin(hole.since, "no_report")
        self.end(hole.until, hole.until, _WAS_SILENT)

    def _is_renaming(self, row: Mapping[str, Any]) -> bool:
        """Whether a device that left the configuration goes on here under another name: that is no
        outage."""
        left = self.since is not None and self._reason == _REMOVED and row["from"] == "starting"
        return left and self._renamed and row["t"] - (self.since or 0) <= RENAMING_NS

    def moved(self, row: Mapping[str, Any], last: int | None) -> None:
        """A transition; `last`: time of the last row before it, when it is the first one of an
        agent."""
        t = row["t"]
        reason = row["reason"]
        if row["to"] != "offline" and self._is_renaming(row):
            self.since = None
            return
        if last is not None and self.since is None and t - last > SHORTEST_NS:
            self.begin(last, "agent_stopped")
        if row["to"] != "offline":
            self.end(t, t)
        elif self.since is None:
            self.begin(t, reason, _sentence_of(row))
        elif self._reason != reason:
            self.end(t, t)
            self.begin(t, reason, _sentence_of(row))
        else:
            self._why = _sentence_of(row) or self._why  # the same status for another cause


def _sentence_of(row: Mapping[str, Any]) -> tuple[str, str] | None:
    """The sentence that came with a transition."""
    return (row["zh"], row["en"]) if row.get("zh") and row.get("en") else None


#: How rows that did not come are told once rows come again.
_WAS_SILENT: Final = (
    "这段时间没有健康记录：采集代理停顿过（进程被挂起或虚拟机暂停），或这些记录已丢失、"
    "仍在本机排队。",
    "There are no health rows of this time: the agent stood still (suspended, its machine "
    "paused), or the rows were"
    " lost or still wait where they are.",
)

_OWN_REASONS: Final = {
    "agent_stopped": (
        "采集代理没有运行（停机、断电或被终止），这段时间没有采集。",
        "The agent did not run (stopped, without power, or killed); nothing was read.",
    ),
    "no_report": (
        "没有收到健康记录：采集代理没有运行，或它的数据还在本机排队。",
        "No health rows have come: the agent does not run, or its data still waits where it is.",
    ),
}

_GAP_REASONS: Final = {
    "full": (
        "发件箱写满，最旧的数据被丢弃：消息服务器或入库服务离开太久，请加大 outbox.max_bytes。",
        "The outbox was full and its oldest data was dropped: broker or store service were away "
        "too long; raise"
        " outbox.max_bytes.",
    ),
    "disk": (
        "磁盘写不进，内存也放不下：请检查磁盘空间和状态。",
        "The disk took nothing and memory was full: check the disk's space and its health.",
    ),
    "damaged": (
        f"发件箱中的数据已损坏，已隔离，未送出：请检查磁盘（{command('outbox', 'verify')}）。",
        "Bytes of the outbox were damaged; they were set aside and not sent: check the disk"
        f" (`{command('outbox', 'verify')}`).",
    ),
    "store_damaged": (
        "数据库文件有损坏，这一部分读不出来（编号是表中的行）；采集代理还留着的会重新送来，"
        "损坏的文件保留在旁边：请检查磁盘。",
        "Bytes of the store's file were damaged and this part does not read (the numbers are "
        "rows of the table); what"
        " the agents still have is sent again, and the damaged file is kept: check the disk.",
    ),
    "missing": (
        "发件箱的文件不见了、被截断，或停机时磁盘已满，其中有多少个值已无从得知：请查明原因，"
        "并检查磁盘。",
        "A file of the outbox is gone or cut short, or the disk was full when the agent ended; "
        "how many values that"
        " were cannot be known: find out why, and check the disk.",
    ),
}
_GAP_UNKNOWN: Final = ("原因没有记录。", "The reason was not recorded.")
