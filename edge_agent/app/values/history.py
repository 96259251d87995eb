"""A tag's past: every reading, or steps when there are too many for one answer. The same for a
command and for HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from edge_agent.app.values.current import tag_names
from edge_agent.app.values.gaps import GapFinder, UnknownSpan, Vouched
from edge_agent.app.values.names import selected, shown
from edge_agent.app.values.source import HistorySource, ReadingsPage, StoredDevice, pages
from edge_agent.app.values.steps import HistoryStep, HistorySteps, plain_step
from edge_agent.config.compile import plan, staleness
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins
from edge_agent.errors import FindingsError
from edge_agent.model import Tag
from edge_agent.words import command

_SECOND: Final = 1_000_000_000
#: Steps of one tag at the most: more than that is no answer any more.
MOST_STEPS: Final = 200_000
_STALE_PERIODS: Final = 3.0
_STALE_AT_LEAST_S: Final = 3.0

Progress = Callable[[int], None]


class HistoryReading(NamedTuple):
    """One reading as it was stored."""

    t: int
    value: Any
    status: int


@dataclass(frozen=True, slots=True)
class HistoryTag:
    """A tag of which the past is asked: where the store has it, and what its birth or the
    configuration says of it."""

    agent: str
    device: str
    tag: str
    unit: str
    labels: dict[int, str]
    limit: int
    """Ns without a reading after which nothing is known."""
    by_change: bool
    """The device, or the agent, says nothing while nothing changes."""
    stored: bool
    """Whether the store has any series of this name."""
    shown: str
    """The device as people are shown it: its id, or `agent:device` when several agents have one of
    that id."""


@dataclass(frozen=True, slots=True)
class TagHistory:
    """An answer about one tag: `readings` or `steps`, and where nothing is known."""

    tag: HistoryTag
    readings: Sequence[HistoryReading]
    steps: Sequence[HistoryStep]
    step: int | None
    """Length of the steps, ns."""
    downsampled: bool
    """The steps were chosen because there were more readings than the answer may have."""
    gaps: Sequence[UnknownSpan]
    more_gaps: int
    count: int
    """Readings in the window."""


class History:
    """The past of a site's tags between two times."""

    def __init__(
        self,
        site: Site,
        plugins: Plugins,
        source: HistorySource,
        begin: int,
        until: int,
        utc_offset: int = 0,
    ) -> None:
        """`utc_offset`: ns that the site's clock is ahead of UTC, so that steps of hours and days
        begin as there."""
        self._site = site
        self._plugins = plugins
        self._source = source
        self.begin = begin
        self.until = until
        self._utc_offset = utc_offset
        self._evidence: dict[str, list[tuple[int, int]]] = {}

    @cached_property
    def _stored(self) -> dict[str, StoredDevice]:
        return self._source.devices()

    def tags(self, names: Sequence[str]) -> list[HistoryTag]:
        """What `names` mean among what is configured and what is stored. Raises FindingsError for a
        name that fits nothing."""
        configured = {device.id: device for device in self._site.devices}
        known: dict[str, list[str]] = {}
        for name, device in configured.items():
            known[name] = tag_names(device, self._plugins[device.connector])
        for name, entry in self._stored.items():
            own = known.setdefault(name, [])
            own += sorted(set(entry.series) - set(own))
        agents = {name: self._agent(name) for name in known}
        ids = {name: name.removeprefix(f"{agent}:") for name, agent in agents.items()}
        twins = {device for device, users in Counter(ids.values()).items() if users > 1}
        found: list[HistoryTag] = []
        for name, tags in selected(names, agents, known).items():
            own_device = configured.get(name)
            compiled = {} if own_device is None else self._compiled(own_device)
            people_see = shown(agents[name], ids[name], twins)
            found += [
                self._tag(agents[name], name, tag, own_device, compiled.get(tag), people_see)
                for tag in tags
            ]
        return found

    def _agent(self, device: str) -> str:
        stored = self._stored.get(device)
        return (stored.agent if stored is not None else "") or self._site.agent.id

    def _compiled(self, device: DeviceCommon) -> dict[str, tuple[Tag, bool]]:
        """Tag -> what it is, and whether its device speaks by itself."""
        plugin = self._plugins[device.connector]
        compiled = plan(device, plugin)
        speaks = plugin.requests is not None and plugin.requests(compiled) == 0
        return {tag.name: (tag, speaks) for table in compiled.tables for tag in table.tags}

    def _tag(
        self,
        agent: str,
        name: str,
        tag: str,
        device: DeviceCommon | None,
        known: tuple[Tag, bool] | None,
        people_see: str,
    ) -> HistoryTag:
        stored = self._stored.get(name)
        entry = {} if stored is None else stored.series.get(tag, {})
        every = float(entry.get("every", 1.0))
        labels = {int(number): text for number, text in entry.get("map", {}).items()}
        unit, limit, by_change = (
            entry.get("unit", ""),
            max(_STALE_PERIODS * every, _STALE_AT_LEAST_S),
            True,
        )
        if device is not None:
            limit = staleness(device, every)
            by_change = False
            if known is not None:
                options, by_change = known
                unit = unit or options.unit
                labels = labels or dict(options.labels or {})
                if options.report.on_change:
                    limit = max(limit, options.report.max_silence + every)
        there = stored is not None and tag in stored.series
        return HistoryTag(
            agent, name, tag, unit, labels, int(limit * _SECOND), by_change, there, people_see
        )

    def read(
        self, tag: HistoryTag, *, every: int | None, most: int, progress: Progress | None = None
    ) -> TagHistory:
        """One tag's past. `every`: length of the steps, ns; without it every reading, or steps of
        the least and the greatest when there are more than `most`. Raises FindingsError when
        `every` is too short for the window."""
        steps = None if every is None else self.steps(tag, every)
        kept: list[ReadingsPage] = []
        count = 0
        for page in pages(self._source, tag.device, tag.tag, self.begin, self.until, progress):
            count += len(page)
            if steps is None:
                kept.append(page)
                if count > most:
                    steps = self.steps(tag, plain_step(-(-2 * (self.until - self.begin) // most)))
                    for early in kept:
                        steps.feed(early)
                    kept.clear()
            else:
                steps.feed(page)
        if steps is not None:
            found = steps.finish()
            return TagHistory(
                tag, (), found, steps.step, every is None, steps.gaps, steps.more_gaps, count
            )
        finder = GapFinder(self.begin, tag.limit, self.confirmed_by_health(tag))
        readings: list[HistoryReading] = []
        for page in kept:
            finder.feed(page)
            readings += map(HistoryReading, page.t.tolist(), page.values, page.status.tolist())
        finder.finish(self.until)
        return TagHistory(tag, readings, (), None, False, finder.gaps, finder.more, count)

    def steps(self, tag: HistoryTag, length: int, *, aligned: bool = True) -> HistorySteps:
        """Empty steps for a tag. Raises FindingsError when there would be too many."""
        origin = self.begin
        if aligned:
            origin = (self.begin + self._utc_offset) // length * length - self._utc_offset
        if (self.until - origin) // length >= MOST_STEPS:
            raise FindingsError.one(
                "too-many-steps",
                f"--every 相对于这段时间太短，最多 {MOST_STEPS} 步：请加长 --every，或用 --csv "
                "取全部读数。",
                f"--every is too short for this span, at most {MOST_STEPS} steps: make it "
                "longer, or take all readings"
                " with --csv.",
            )
        return HistorySteps(
            self.begin,
            self.until,
            length,
            origin=origin,
            limit=tag.limit,
            vouched=self.confirmed_by_health(tag),
        )

    def columns(
        self, tag: HistoryTag, number: int, progress: Progress | None = None
    ) -> HistorySteps:
        """The window in at most `number` equal steps, for a plot; the caller finishes them."""
        steps = self.steps(tag, max(1, -(-(self.until - self.begin) // number)), aligned=False)
        for page in pages(self._source, tag.device, tag.tag, self.begin, self.until, progress):
            steps.feed(page)
        return steps

    def pages(self, tag: HistoryTag, progress: Progress | None = None) -> Iterator[ReadingsPage]:
        """Every reading, page by page."""
        return pages(self._source, tag.device, tag.tag, self.begin, self.until, progress)

    def newest(self, tag: HistoryTag) -> int | None:
        """When the newest reading of a tag was made, whatever the window is."""
        return self._source.newest(tag.device, tag.tag) if tag.stored else None

    def confirmed_by_health(self, tag: HistoryTag) -> Vouched:
        """Whether silence of this tag means that nothing changed: its device's health says that it
        was watched."""

        def known(begin: int, end: int) -> bool:
            if not tag.by_change:
                return False
            if tag.device not in self._evidence:
                self._evidence[tag.device] = self._source.evidence(
                    tag.device, self.begin, self.until
                )
            covered = sum(
                max(0, min(end, last) - max(begin, first))
                for first, last in self._evidence[tag.device]
            )
            return end - begin - covered <= tag.limit

        return known


def why_empty(tag: HistoryTag, newest: str | None) -> tuple[str, str]:
    """Why there is nothing to show, and what to do; `newest`: the time of the newest reading, for
    people."""
    name = f"{tag.shown}/{tag.tag}"
    if not tag.stored:
        return (
            f"{name}：已配置，但库中还没有它的读数；请检查 {command('run')} 和 "
            f"{command('serve')} 是否都在运行"
            f"（{command('status')}）。",
            f"{name}: configured, and the store has no reading of it yet; check that "
            f"`{command('run')}` and"
            f" `{command('serve')}` both work (`{command('status')}`).",
        )
    if newest is None:
        return (
            f"{name}：库中没有它的读数（可能已超过保留期限）。",
            f"{name}: the store has no reading of it (its time in the store may be over).",
        )
    return (
        f"{name}：这段时间没有读数；最新的一条来自 {newest}，请用 --since 或 --from 把范围放宽。",
        f"{name}: no reading in this window; the newest is from {newest}: widen it with --since "
        "or --from.",
    )
