"""Two documents side by side, figure by figure: before and after, this month and the last, two
revisions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from edge_agent.errors import FindingsError
from edge_agent.report.blocks import Json


@dataclass(frozen=True, slots=True)
class FigureDifference:
    """One figure that is not the same in both. Values are exact fractions as text; None = no value
    there."""

    key: str
    name_zh: str
    name_en: str
    unit: str
    before: str | None
    after: str | None
    change: float | None
    """after - before."""
    entered: tuple[str, ...]
    """Ids new in the numerator."""
    left: tuple[str, ...]

    @property
    def lists(self) -> str:
        """The numerator's coming and going in one line."""
        return " ".join([*(f"+{key}" for key in self.entered), *(f"-{key}" for key in self.left)])

    def to_json(self) -> Json:
        return asdict(self)


def compare(
    before: Mapping[str, Any], after: Mapping[str, Any], *, all_figures: bool = False
) -> list[FigureDifference]:
    """The figures that differ (or all), in the order of the later document, then those that are
    gone."""
    old = {figure_key(figure): figure for figure in before["figures"]}
    new = {figure_key(figure): figure for figure in after["figures"]}
    keys = [*new, *(key for key in old if key not in new)]
    found = [_difference(key, old.get(key), new.get(key)) for key in keys]
    return [
        each
        for each in found
        if all_figures or _differs(each, old.get(each.key), new.get(each.key))
    ]


def figure_key(figure: Mapping[str, Any]) -> str:
    """A stored result has no key of its own: it speaks of the whole site."""
    return str(figure.get("key") or figure["id"])


def _differs(
    each: FigureDifference, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> bool:
    if each.before is None and each.after is None:
        # no value then, none now: counts that make up no figure are no difference
        return bool(each.lists)
    counts = [
        (figure or {}).get(name) for name in ("numerator", "denominator") for figure in (old, new)
    ]
    return (
        each.before != each.after
        or bool(each.lists)
        or counts[0] != counts[1]
        or counts[2] != counts[3]
    )


def _difference(
    key: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> FigureDifference:
    told = new or old or {}
    before, after = (figure.get("value_exact") if figure else None for figure in (old, new))
    values = [figure.get("value") if figure else None for figure in (old, new)]
    change = None if None in values else values[1] - values[0]  # type: ignore[operator]
    ids = [set(figure["numerator_ids"]) if figure else set() for figure in (old, new)]
    return FigureDifference(
        key, told["name_zh"], told["name_en"], told.get("unit", "1"), before, after, change,
        tuple(sorted(ids[1] - ids[0])), tuple(sorted(ids[0] - ids[1])),
    )  # fmt: skip


def months(points: Iterable[tuple[str, Mapping[str, Any]]], wanted: Iterable[str]) -> list[Json]:
    """A trend series per metric from (month, document with figures): `[month, value or None]`."""
    rows = [
        (month, {figure_key(figure): figure for figure in document["figures"]})
        for month, document in points
    ]
    series = []
    for key in wanted:
        told = next((figures[key] for _, figures in rows if key in figures), None)
        if told is not None:
            name = {"zh": told["name_zh"], "en": told["name_en"]}
            values = [[month, _meaningful(figures.get(key))] for month, figures in rows]
            series.append({"id": key, "name": name, "points": values})
    return series


def _meaningful(figure: Mapping[str, Any] | None) -> Any:
    """A figure's value; None where there is none, or none yet."""
    return None if figure is None or figure.get("effective_after") else figure["value"]


def read_document(path: Path) -> Json:
    """A report, a snapshot, or a pack (folder or zip), as a document with figures. FindingsError
    for anything else."""
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise FindingsError.one(
            "no-report",
            f"不是报告、快照或证据包（{error}）：请指定 report 的 .json 或证据包。",
            f"This is no report, snapshot or pack ({error}): name a report's .json, or a pack.",
            str(path),
        ) from error


def _read(path: Path) -> Json:
    if path.is_dir():
        return _pack((path / "figures.json").read_bytes(), (path / "manifest.json").read_bytes())
    if path.suffix == ".zip":
        with ZipFile(path) as archive:
            return _pack(archive.read("figures.json"), archive.read("manifest.json"))
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict) or not isinstance(document.get("figures"), list):
        raise ValueError("no figures in it")
    return document


def _pack(figures: bytes, manifest: bytes) -> Json:
    return {**json.loads(manifest), "figures": json.loads(figures)}
