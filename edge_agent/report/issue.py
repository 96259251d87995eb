"""Issued reports are never changed silently: a different result of the same period is the next
revision.

`index.json` in the report folder lists every issue with the hash of its content and of its files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_agent.errors import FindingsError
from edge_agent.metrics.definitions import Text
from edge_agent.report.blocks import Json, TableColumn, paragraph, part, table
from edge_agent.report.compare import FigureDifference, compare

INDEX: Final = "index.json"
SUMS: Final = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Issue:
    """What became of a document: its final form, the stem of its files, and whether it is new."""

    document: Json
    stem: str
    new: bool
    stands: Text | None = None
    """Why it was not made anew, where it could not be as good as it is."""


def read_index(folder: Path) -> list[dict[str, Any]]:
    """The issues so far, oldest first. Raises FindingsError for an index that cannot be read."""
    try:
        document = json.loads((folder / INDEX).read_bytes())
        issues: list[dict[str, Any]] = document["issues"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FindingsError.one(
            "report-index",
            f"报告目录的 index.json 无法读取（{error}）：请恢复它，或换一个目录；修订号依赖它。",
            f"index.json of the report folder cannot be read ({error}): restore it, or use "
            "another folder; revisions "
            "depend on it.",
            str(folder / INDEX),
        ) from error
    return issues


def assign_revision(folder: Path, document: Json) -> Issue:
    """Decide the revision of a document by what was issued before for the same kind and period.

    Equal content is the issue that exists already; other content becomes revision n+1 with the list
    of what changed.
    """
    earlier = [row for row in read_index(folder) if _same(row, document)]
    if not earlier:
        return Issue({**document, "revision": 1, "changes": []}, _stem(document, 1), True)
    last = earlier[-1]
    if last["content_sha256"] == document["content_sha256"]:
        return Issue(_load(folder, last["stem"]) or document, last["stem"], False)
    revision = int(last["revision"]) + 1
    before = _load(folder, last["stem"])
    changes = [] if before is None else compare(before, document)
    again = {**document, "revision": revision, "changes": [change.to_json() for change in changes]}
    again["parts"] = [
        *document["parts"],
        _changes_part(len(document["parts"]) + 1, revision, changes, before),
    ]
    return Issue(again, _stem(document, revision), True)


def standing(folder: Path, kind: str, period: str, why: Text) -> Issue | None:
    """The last issue of a period, which stands because of `why`; None where there is none, or its
    file is gone."""
    earlier = [row for row in read_index(folder) if (row["kind"], row["period"]) == (kind, period)]
    document = _load(folder, earlier[-1]["stem"]) if earlier else None
    return None if document is None else Issue(document, earlier[-1]["stem"], False, why)


def _same(row: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    return (row["kind"], row["period"]) == (document["kind"], document["period"])


def _stem(document: Mapping[str, Any], revision: int) -> str:
    return f"{document['kind']}-{document['period']}" + ("" if revision == 1 else f"-r{revision}")


def _load(folder: Path, stem: str) -> Json | None:
    try:
        document: Json = json.loads((folder / f"{stem}.json").read_bytes())
    except (OSError, ValueError):
        return None  # moved away by its owner; the index still knows its hash
    return document


def _changes_part(
    number: int, revision: int, changes: list[FigureDifference], before: Json | None
) -> Json:
    columns = (
        TableColumn("数值", "figure"),
        TableColumn("上一版", "revision before"),
        TableColumn("本版", "this revision"),
        TableColumn("分子变化", "numerator list"),
    )
    rows = [[change.key, change.before, change.after, change.lists] for change in changes]
    found = [
        table(
            "changes",
            f"第 {revision} 版的变化",
            f"what changed in revision {revision}",
            columns,
            rows,
        )
    ]
    if before is None:
        found.append(
            paragraph(
                "上一版文件已不在目录中。", "The files of the revision before are gone.", "warning"
            )
        )
    elif not changes:
        found.append(
            paragraph(
                "数值相同，文字或名单有变。",
                "The figures are equal; words or lists differ.",
                "note",
            )
        )
    return part(number, "修订记录", "revision", found)


def record(folder: Path, issue: Issue, files: Mapping[str, bytes]) -> None:
    """Write the files, their sums, and for a new issue its line of the index."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _replace(folder / name, content)
    issues = read_index(folder)
    document = issue.document
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    if issue.new:
        issues.append(
            {
                "kind": document["kind"],
                "period": document["period"],
                "revision": document["revision"],
                "stem": issue.stem,
                "content_sha256": document["content_sha256"],
                "issued": document["issued"],
                "register_version": document["register_version"],
                "project": document.get("project"),
                "files": sums,
            }
        )
    else:
        row = next(row for row in issues if row["stem"] == issue.stem)
        row["files"] = {**row["files"], **sums}
    index = json.dumps(
        {"schema": "edge-agent/report-index/1", "issues": issues}, ensure_ascii=False, indent=1
    )
    _replace(folder / INDEX, index.encode())
    lines = sorted(f"{digest}  {name}\n" for row in issues for name, digest in row["files"].items())
    _replace(folder / SUMS, "".join(lines).encode())


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_bytes(content)
    draft.replace(path)
