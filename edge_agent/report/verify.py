"""Replaying a pack: every hash, and every figure computed again from the pack's own facts."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from edge_agent.errors import FindingsError
from edge_agent.metrics.importing import load
from edge_agent.metrics.register import Register
from edge_agent.report import figures as computing
from edge_agent.report import tabular
from edge_agent.report.figures import Options
from edge_agent.report.pack import MANIFEST, SCHEMA

_LARGEST: Final = 4_000_000_000
"""Bytes of a zip unpacked: a year of a hundred machines."""
_SMALL: Final = 50_000_000
_RATIO: Final = 100
"""Beyond so many bytes, no table of facts is packed to less than a hundredth: it was made to fill the memory."""
#: What must be equal in a figure; the rest of it is words.
_COMPARED: Final = (
    "value_exact", "numerator", "denominator", "numerator_ids", "denominator_ids", "grade", "provisional", "window",
    "register_version",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked: a file, the chain, or a figure."""

    kind: str
    """`file`, `chain`, `facts` or `figure`."""
    name: str
    equal: bool
    claimed: Any = None
    found: Any = None


def read_pack(path: Path) -> dict[str, bytes]:
    """The files of a pack, a folder or a zip, by name. Raises FindingsError for what is no pack."""
    try:
        return _read_zip(path) if path.is_file() else _read_folder(path)
    except Exception as error:
        # As broad as that, because zipfile stumbles over malformed archives in many ways.
        raise FindingsError.one(
            "no-pack",
            f"不是证据包或无法读取({error}):请指定含 manifest.json 的文件夹或 zip。",
            f"This is no evidence pack, or cannot be read ({error}): name a folder or zip with a manifest.json.",
            str(path),
        ) from error


def _read_folder(path: Path) -> dict[str, bytes]:
    manifest = (path / MANIFEST).read_bytes()
    files = {MANIFEST: manifest}
    for name in _listed(manifest):
        place = path / name
        if place.is_file() and place.resolve().is_relative_to(path.resolve()):
            files[name] = place.read_bytes()
    return files


def _read_zip(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        if MANIFEST not in sizes or sum(sizes.values()) > min(_LARGEST, _SMALL + _RATIO * path.stat().st_size):
            raise ValueError("no manifest.json in it, or too large")
        manifest = archive.read(MANIFEST)
        return {MANIFEST: manifest, **{name: archive.read(name) for name in _listed(manifest) if name in sizes}}


def _listed(manifest: bytes) -> list[str]:
    """The names of a manifest's files. Raises ValueError for one that is not ours, or points out of its folder."""
    names = list(dict.fromkeys(entry["path"] for entry in _entries(json.loads(manifest))))
    for name in names:
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name:
            raise ValueError(f"a file outside the pack: {name}")
    return names


def _entries(document: Any) -> list[dict[str, str]]:
    """The files of a manifest. Raises ValueError for a document of another shape."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ValueError(f"manifest.json is not {SCHEMA}")
    files = document.get("files")
    if not isinstance(files, list) or not all(isinstance(entry, dict) for entry in files):
        raise ValueError("manifest.json lists no files")
    if not all(isinstance(entry.get(key), str) for entry in files for key in ("path", "sha256")):
        raise ValueError("manifest.json has a file without path or sha256")
    if not isinstance(document.get("previous"), dict | None):
        raise ValueError("manifest.json does not say which pack was before")
    return files


def verify(files: Mapping[str, bytes], previous: Mapping[str, bytes] | None = None) -> list[Check]:
    """Hashes, chain, figures, of files as `read_pack` gives them.

    `previous` is the pack before this one, to check that the chain leads to it.
    """
    manifest = json.loads(files[MANIFEST])
    checks = [_file(entry, files) for entry in _entries(manifest)]
    if previous is not None:
        claimed = (manifest.get("previous") or {}).get("manifest_sha256")
        found = hashlib.sha256(previous[MANIFEST]).hexdigest()
        checks.append(Check("chain", "previous", claimed == found, claimed, found))
    try:
        return [*checks, *_figures(files)]
    except Exception as error:  # noqa: BLE001 - whatever was done to the files: not replayed is the answer
        return [*checks, Check("facts", "replay", False, None, f"{type(error).__name__}: {error}")]


def _file(entry: Mapping[str, Any], files: Mapping[str, bytes]) -> Check:
    content = files.get(entry["path"])
    found = None if content is None else hashlib.sha256(content).hexdigest()
    return Check("file", entry["path"], found == entry["sha256"], entry["sha256"], found)


def _figures(files: Mapping[str, bytes]) -> list[Check]:
    claimed = {figure["key"]: figure for figure in json.loads(files["figures.json"])}
    found = {figure["key"]: figure for figure in replay(files)}
    return [_compare(key, claimed.get(key), found.get(key)) for key in sorted(claimed.keys() | found.keys())]


def _compare(key: str, claimed: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> Check:
    if claimed is None or found is None:
        return Check("figure", key, False, claimed and claimed.get("value_exact"), found and found["value_exact"])
    differing = [name for name in _COMPARED if claimed.get(name) != found[name]]
    shown = differing[0] if differing else "value_exact"
    return Check("figure", key, not differing, claimed.get(shown), found[shown])


def replay(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The figures computed from the pack's register and facts alone.

    Raises FindingsError, KeyError or ValueError for files that are not as they were written.
    """
    options = json.loads(files["options.json"])
    names = {name.removeprefix("facts/").removesuffix(".csv"): name for name in files if name.startswith("facts/")}
    facts = tabular.facts(options["start_ns"], options["end_ns"], {key: files[name] for key, name in names.items()})
    chosen = Options(bool(options["robot_is_nc"]), tabular.number(str(options["kgce_per_kwh"])))
    plant = computing.plant_of(facts, _register(files), chosen)
    return computing.to_json(computing.figures(plant, chosen))


def _register(files: Mapping[str, bytes]) -> Register:
    """Through the same reader as any register, which reads from files; as CSV only, which is what a pack has."""
    if any(files[name].startswith(b"PK") for name in ("register.csv", "processes.csv")):
        raise ValueError("a workbook in the place of a CSV file")
    with tempfile.TemporaryDirectory(prefix="edge-agent-verify-") as folder:
        equipment, processes = Path(folder) / "register.csv", Path(folder) / "processes.csv"
        equipment.write_bytes(files["register.csv"])
        processes.write_bytes(files["processes.csv"])
        return load(equipment, processes)[0]


def summary(checks: Sequence[Check]) -> dict[str, Any]:
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
