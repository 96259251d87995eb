"""Replaying a pack: every hash, the chain, and every figure and table computed again from the
pack's own facts."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile
from zoneinfo import ZoneInfo

from edge_agent.errors import FindingsError, newer_format
from edge_agent.metrics.evidence import CHANGE_WITHIN_S
from edge_agent.metrics.result import iso
from edge_agent.production import figures as computing
from edge_agent.production.figures import FigureOptions
from edge_agent.production.plant import Plant
from edge_agent.register.importing import load
from edge_agent.register.kinds import MachineKinds, published
from edge_agent.register.model import Register
from edge_agent.report import tabular
from edge_agent.report.pack.build import MANIFEST, SCHEMA, for_people, stated_options

_LARGEST: Final = 4_000_000_000
"""Bytes of a zip unpacked: a year of a hundred machines."""
_SMALL: Final = 50_000_000
_RATIO: Final = 100
"""Beyond so many bytes, no table of facts is packed to less than a hundredth: it was made to fill
the memory."""
#: What is a figure's own; the rest of it is words, and compared apart: another version may word it
#: otherwise.
_COMPARED: Final = (
    "value_exact",
    "value",
    "value_pct",
    "unit",
    "target",
    "numerator",
    "denominator",
    "numerator_ids",
    "denominator_ids",
    "grade",
    "provisional",
    "window",
    "register_version",
)


#: The format before, which is still read.
_FORMER: Final = "edge-agent/evidence/1"
#: What a pack of the present format has more than one of the former.
_OF_FORMAT_2: Final = ("facts/stored.csv", "kinds.csv", "facts/counter_events.csv")
#: Of these a pack of an earlier version says nothing.
_SINCE_LATER: Final = ("now_online", "effective_after")


@dataclass(frozen=True, slots=True)
class VerifiedItem:
    """One thing that was checked: a file, the chain, or a figure."""

    kind: str
    """`file`, `chain`, `facts`, `manifest` (what it and the options say of the facts), `figure`,
    `words` (those of a file's figures: names, formulas, reasons, notes, details), `table` (for
    people) or `report` (the figures a report of the pack has)."""
    name: str
    equal: bool
    claimed: Any = None
    found: Any = None


def read_pack(path: Path) -> dict[str, bytes]:
    """The files of a pack, a folder or a zip, by name. Raises FindingsError for what is no pack."""
    try:
        return _read_zip(path) if path.is_file() else _read_folder(path)
    except FindingsError:
        raise
    except Exception as error:
        # As broad as that, because zipfile stumbles over malformed archives in many ways.
        raise FindingsError.one(
            "no-pack",
            f"不是证据包或无法读取（{error}）：请指定含 manifest.json 的文件夹或 zip。",
            f"This is no evidence pack, or cannot be read ({error}): name a folder or zip with a "
            "manifest.json.",
            str(path),
        ) from error


def _read_folder(path: Path) -> dict[str, bytes]:
    manifest = (path / MANIFEST).read_bytes()
    files = {MANIFEST: manifest}
    there = (
        place.relative_to(path).as_posix() for place in sorted(path.rglob("*")) if place.is_file()
    )
    for name in dict.fromkeys([*_listed(manifest), *filter(_ours, there)]):
        place = path / name
        if place.is_file() and place.resolve().is_relative_to(path.resolve()):
            files[name] = place.read_bytes()
    return files


def _ours(name: str) -> bool:
    """Whether a file that no manifest lists could be taken for a part of the pack: not what a
    desktop left there."""
    last = name.rpartition("/")[2]
    return not last.startswith(".") and last.lower() not in ("thumbs.db", "desktop.ini")


def _read_zip(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        # one program would unpack the first of them, another the last
        if len(sizes) != len(archive.infolist()):
            raise ValueError("two files of one name in it")
        if MANIFEST not in sizes or sum(sizes.values()) > min(
            _LARGEST, _SMALL + _RATIO * path.stat().st_size
        ):
            raise ValueError("no manifest.json in it, or too large")
        manifest = archive.read(MANIFEST)
        _inside(sizes)
        there = (name for name in sizes if _ours(name) and not name.endswith("/"))
        names = dict.fromkeys([*_listed(manifest), *there])
        return {MANIFEST: manifest, **{name: archive.read(name) for name in names if name in sizes}}


def _listed(manifest: bytes) -> list[str]:
    """The names of a manifest's files. Raises ValueError for one that is not ours, or points out of
    its folder."""
    names = list(dict.fromkeys(entry["path"] for entry in _entries(json.loads(manifest))))
    _inside(names)
    return names


def _inside(names: Iterable[str]) -> None:
    """Raises ValueError for a name that points out of the pack's folder."""
    for name in names:
        if (
            name.startswith(("/", "\\"))
            or ".." in name.replace("\\", "/").split("/")
            or ":" in name
        ):
            raise ValueError(f"a file outside the pack: {name}")


def _refuse_newer(schema: object) -> None:
    """Raises FindingsError for a pack that a newer program has made."""
    (name, _, known), (named, _, found) = SCHEMA.rpartition("/"), str(schema).rpartition("/")
    if named == name and found.isdecimal() and int(found) > int(known):
        raise newer_format(MANIFEST, found, known)


def _entries(document: Any) -> list[dict[str, str]]:
    """The files of a manifest. Raises ValueError for a document of another shape."""
    if isinstance(document, dict):
        _refuse_newer(document.get("schema"))
    if not isinstance(document, dict) or document.get("schema") not in (SCHEMA, _FORMER):
        raise ValueError(f"manifest.json is not {SCHEMA}")
    files = document.get("files")
    if not isinstance(files, list) or not all(isinstance(entry, dict) for entry in files):
        raise ValueError("manifest.json lists no files")
    if not all(isinstance(entry.get(key), str) for entry in files for key in ("path", "sha256")):
        raise ValueError("manifest.json has a file without path or sha256")
    if not isinstance(document.get("previous"), dict | None):
        raise ValueError("manifest.json does not say which pack was before")
    return files


def verify(
    files: Mapping[str, bytes], previous: Mapping[str, bytes] | None = None
) -> list[VerifiedItem]:
    """Hashes, chain, figures, tables, of files as `read_pack` gives them.

    `previous` is the pack before this one, to check that the chain leads to it.
    """
    manifest = json.loads(files[MANIFEST])
    checks = [_file(entry, files) for entry in _entries(manifest)]
    checks += _unlisted(manifest, files)
    if previous is not None:
        checks.append(link(manifest, previous))
    try:
        return [*checks, *_replayed(files, manifest)]
    except Exception as error:  # noqa: BLE001 - whatever was done to the files: not replayed is the answer
        return [
            *checks,
            VerifiedItem("facts", "replay", False, None, f"{type(error).__name__}: {error}"),
        ]


def _unlisted(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> list[VerifiedItem]:
    """Files that lie in the pack and that its manifest does not vouch for."""
    listed = {entry["path"] for entry in manifest["files"]}
    extra = sorted(files.keys() - listed - {MANIFEST})
    return [
        VerifiedItem("file", name, False, "不在清单中 not in the manifest", _sha(files[name]))
        for name in extra
    ]


def link(manifest: Mapping[str, Any], previous: Mapping[str, bytes]) -> VerifiedItem:
    """Whether a manifest names just this pack as the one before it."""
    before = manifest.get("previous") or {}
    claimed = before.get("manifest_sha256")
    found = _sha(previous[MANIFEST])
    return VerifiedItem(
        "chain", str(before.get("pack") or "previous"), claimed == found, claimed, found
    )


def chain(path: Path) -> tuple[list[VerifiedItem], str | None]:
    """Follow a pack's chain through the folder it lies in, back to the first one; and the pack that
    is not there.

    Every pack on the way must be the very one its successor names.
    """
    checks: list[VerifiedItem] = []
    manifest = json.loads(read_pack(path)[MANIFEST])
    seen = {path.resolve()}
    while before := manifest.get("previous"):
        name = str(before.get("pack", ""))
        place = next(
            (each for each in (path.parent / name, path.parent / f"{name}.zip") if each.exists()),
            None,
        )
        if not name or "/" in name or place is None or place.resolve() in seen:
            return checks, name
        seen.add(place.resolve())
        files = read_pack(place)
        checks.append(link(manifest, files))
        manifest = json.loads(files[MANIFEST])
    return checks, None


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _file(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> VerifiedItem:
    content = files.get(entry["path"])
    found = None if content is None else _sha(content)
    return VerifiedItem("file", entry["path"], found == entry["sha256"], entry["sha256"], found)


def _replayed(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Iterator[VerifiedItem]:
    plant, options = plant_of(files)
    # as a file says them
    figures = json.loads(json.dumps(computing.to_json(computing.figures(plant, options))))
    former = manifest["schema"] == _FORMER
    found = _by_key(figures, former=former)
    yield from _stated(files, manifest, plant, options)
    claimed = _by_key(json.loads(files["figures.json"]), former=former)
    yield from (
        _compare("figure", key, claimed.get(key), found.get(key))
        for key in sorted(claimed.keys() | found)
    )
    yield _words("figures.json", claimed, found)
    for name in ("report.json", "evidence.json"):
        if name in files:
            told = _by_key(json.loads(files[name])["figures"], former=former)
            yield _compare_report(name, told, found)
            yield _words(name, told, found)
    listed = {entry["path"] for entry in manifest["files"]}
    for name, content in for_people(plant, manifest["project"], _timezone(files)).items():
        there = files.get(name)
        # a listed file that is gone was told by its hash
        if there is not None or name not in listed:
            yield VerifiedItem(
                "table",
                name,
                there == content,
                None if there is None else _sha(there),
                _sha(content),
            )


def _by_key(
    figures: Sequence[Mapping[str, Any]], *, former: bool = False
) -> dict[str, Mapping[str, Any]]:
    """The figures of a file; of a `former` pack those whose rule is still the same. Raises
    ValueError when it has two of one key: a reader would see the first or the last."""
    found = {figure["key"]: figure for figure in figures}
    if len(found) != len(figures):
        raise ValueError("two figures of one key")
    return {key: figure for key, figure in found.items() if not (former and _of_another_rule(key))}


def _of_another_rule(key: str) -> bool:
    """Whether a figure of a pack of format 1 was computed by a rule that is another since: the row
    of a scope."""
    metric, _, scope = key.partition("@")
    return metric in (*computing.ROW, "M-11-all", "M-12-all") and (not scope or ":" in scope)


def _stated(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], plant: Plant, options: FigureOptions
) -> Iterator[VerifiedItem]:
    """What the manifest and the options say of the facts: window, history, register."""
    facts = plant.facts
    found = {"window": {"from": iso(facts.start), "to": iso(facts.end)},
             "register_version": plant.assessment.register.version}  # fmt: skip
    for name, value in found.items():
        yield VerifiedItem("manifest", name, manifest.get(name) == value, manifest.get(name), value)
    told = json.loads(files["options.json"])
    made = stated_options(facts, options, _timezone(files))
    if manifest["schema"] == _FORMER:
        made = {key: value for key, value in made.items() if key in told}
    else:
        same = options.kinds.to_csv() == published().to_csv()
        yield VerifiedItem(
            "manifest", "kinds.csv", same, _sha(files["kinds.csv"]), _sha(published().to_csv())
        )
    yield VerifiedItem("manifest", "options.json", told == made, told, made)


def _timezone(files: Mapping[str, bytes]) -> str:
    """Whose days the pack's tables have: as it says itself, and it shows in them."""
    return str(json.loads(files["options.json"]).get("timezone", "UTC"))


def _compare_report(name: str, told: Mapping[str, Any], found: Mapping[str, Any]) -> VerifiedItem:
    """All figures of a report in one line: the first that differs is named."""
    checks = [
        _compare("report", key, told.get(key), found.get(key))
        for key in sorted(told.keys() | found)
    ]
    wrong = [check for check in checks if not check.equal]
    if not wrong:
        return VerifiedItem("report", name, True, len(checks), len(checks))
    return VerifiedItem(
        "report", f"{name} {wrong[0].name}", False, wrong[0].claimed, wrong[0].found
    )


def _words(name: str, told: Mapping[str, Any], found: Mapping[str, Any]) -> VerifiedItem:
    """All words of a file's figures in one line: the first that differ are named. A key that is
    missing is a figure."""
    keys = sorted(told.keys() & found.keys())
    for key in keys:
        newer = [part for part in _SINCE_LATER if part not in told[key]]
        for part in sorted((told[key].keys() | found[key].keys()).difference(_COMPARED, newer)):
            claimed = told[key].get(part)
            made = found[key].get(part)
            if claimed != made:
                return VerifiedItem("words", f"{name} {key} {part}", False, claimed, made)
    return VerifiedItem("words", name, True, len(keys), len(keys))


def _compare(
    kind: str, key: str, claimed: Mapping[str, Any] | None, found: Mapping[str, Any] | None
) -> VerifiedItem:
    if claimed is None or found is None:
        return VerifiedItem(
            kind, key, False, claimed and claimed.get("value_exact"), found and found["value_exact"]
        )
    differing = [name for name in _COMPARED if claimed.get(name) != found[name]]
    shown = differing[0] if differing else "value_exact"
    return VerifiedItem(kind, key, not differing, claimed.get(shown), found[shown])


def plant_of(files: Mapping[str, bytes]) -> tuple[Plant, FigureOptions]:
    """The plant as the pack's register and facts alone tell it.

    Raises FindingsError, KeyError or ValueError for files that are not as they were written.
    """
    options = json.loads(files["options.json"])
    if json.loads(files[MANIFEST])["schema"] == SCHEMA and not {*_OF_FORMAT_2} <= files.keys():
        raise ValueError(f"not all of {', '.join(_OF_FORMAT_2)} are there")
    names = {
        name.removeprefix("facts/").removesuffix(".csv"): name
        for name in files
        if name.startswith("facts/")
    }
    facts = tabular.facts(
        options["start_ns"], options["end_ns"], {key: files[name] for key, name in names.items()}
    )
    within_h = tabular.number(str(options.get("change_within_h", float(CHANGE_WITHIN_S / 3600))))
    facts = replace(facts, states_until=options.get("states_until_ns"), timezone=_timezone(files))
    chosen = FigureOptions(
        bool(options["robot_is_nc"]),
        tabular.number(str(options["kgce_per_kwh"])),
        ZoneInfo(_timezone(files)),
        within_h * 3600,
        MachineKinds.read(files["kinds.csv"]) if "kinds.csv" in files else MachineKinds(),
    )
    return computing.plant_of(facts, _register(files), chosen), chosen


def _register(files: Mapping[str, bytes]) -> Register:
    """Through the same reader as any register, which reads from files; as CSV only, which is what a
    pack has."""
    if any(files[name].startswith(b"PK") for name in ("register.csv", "processes.csv")):
        raise ValueError("a workbook in the place of a CSV file")
    with tempfile.TemporaryDirectory(prefix="edge-agent-verify-") as folder:
        equipment = Path(folder) / "register.csv"
        processes = Path(folder) / "processes.csv"
        equipment.write_bytes(files["register.csv"])
        processes.write_bytes(files["processes.csv"])
        return load(equipment, processes)[0]


def summary(checks: Sequence[VerifiedItem]) -> dict[str, Any]:
    """How many of each kind, and whether all are equal."""
    kinds = sorted({check.kind for check in checks})
    return {
        "equal": all(check.equal for check in checks),
        "counts": {
            kind: {
                "checked": sum(check.kind == kind for check in checks),
                "different": sum(check.kind == kind and not check.equal for check in checks),
            }
            for kind in kinds
        },
    }
