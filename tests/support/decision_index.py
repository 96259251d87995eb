"""The index of the decision records, docs/decisions/README.md, and what heads a record.

`python -m tests.support.decision_index` writes the index, and dates a record that has no date by
its first commit. Below its heading a record says

    - Date: 2026-11-30
    - Status: accepted

or `superseded by [112](0112-file.md)`, or `accepted; amended by [113](0113-file.md)`.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"
INDEX = DECISIONS / "README.md"
HEADER = re.compile(r"# (\d+)\. (.+)\n\n- Date: (\d{4}-\d\d-\d\d)\n- Status: (.+)\n\n")
LINK = r"\[\d+\]\([\w.-]+\.md\)"
STATUS = re.compile(rf"accepted|(superseded|accepted; amended) by {LINK}(, {LINK})*")

HEAD = """\
# 决策记录 / Decision records

每份记录写明背景、决定与后果。决定改变时写一份新的记录，旧的记录写明被哪一份取代或修改；旧文不改。
新的记录取下一个未用的编号，写上当天的日期与状态 `accepted`；
本页由 `python -m tests.support.decision_index` 生成。

A record says what was decided, why, and what follows from it. When a decision changes, a new
record says so, and the status of the old one names it; its text stays. A new record takes the
next free number, the date of its day and the status `accepted`;
`python -m tests.support.decision_index` writes this page.

| No. | Decision | Date | Status |
|---|---|---|---|
"""


@dataclass(frozen=True)
class DecisionRecord:
    """What the head of a record says; `status` is Markdown."""

    number: int
    title: str
    date: str
    status: str
    file: str


def records() -> list[Path]:
    """The files of the records, by number."""
    return sorted(DECISIONS.glob("[0-9]*.md"))


def parse(file: Path) -> DecisionRecord:
    """The head of a record; ValueError names what is missing in it."""
    found = HEADER.match(file.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{file.name}: no date and status between blank lines below the heading")
    number, title, day, status = found.groups()
    if STATUS.fullmatch(status) is None:
        raise ValueError(f"{file.name}: no such status: {status}")
    return DecisionRecord(int(number), title, day, status, file.name)


def index() -> str:
    """The text of the index page."""
    text = HEAD
    for file in records():
        record = parse(file)
        link = f"[{record.title}]({record.file})"
        text += f"| {record.number} | {link} | {record.date} | {record.status} |\n"
    return text


def add_head(file: Path) -> None:
    """Give a record without date and status those of its first commit, or of today."""
    text = file.read_text(encoding="utf-8")
    if HEADER.match(text):
        return
    command = ["git", "log", "--follow", "--format=%ad", "--date=short"]
    log = subprocess.check_output([*command, "--", file.name], cwd=DECISIONS, text=True)
    days = log.split() or [date.today().isoformat()]
    heading, _, rest = text.partition("\n")
    head = f"{heading}\n\n- Date: {days[-1]}\n- Status: accepted\n\n"
    file.write_text(head + rest.lstrip(), encoding="utf-8")


if __name__ == "__main__":
    for record_file in records():
        add_head(record_file)
    INDEX.write_text(index(), encoding="utf-8")
