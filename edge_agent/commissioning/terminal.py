"""What all commissioning commands need of a terminal: its width and language, a sign of life, and
an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_agent.app.status.terminal import Terminal, padded, wrapped
from edge_agent.discovery import Progress
from edge_agent.errors import DeviceError, Finding

T = TypeVar("T")

#: Columns of what does not go to a terminal.
PLAIN_WIDTH: Final = 160
_GAP: Final = 2
"""Columns between those of a table."""


def console() -> Console:
    """Standard output; wide enough for a pipe, where nobody cuts lines."""
    made = Console(highlight=False, markup=False, emoji=False)
    return (
        made
        if made.is_terminal
        else Console(width=PLAIN_WIDTH, highlight=False, markup=False, emoji=False)
    )


def sentence_lines(
    terminal: Terminal,
    zh: str,
    en: str,
    *,
    lead: Text | str = "",
    indent: int = 0,
    hang: int = 4,
    style: str = "",
) -> list[Text]:
    """A sentence as lines: in the terminal's language, broken at its width; where there is no
    terminal, in both languages, each on one line. All lines but the first are `hang` columns
    further in than `indent`.

    `lead`: what stands before it, whatever the language.
    """
    lines: list[Text] = []
    texts = list(terminal.sentences(zh, en))
    texts[0] = f"{lead}{texts[0]}"
    for number, text in enumerate(texts):
        first = indent if number == 0 else indent + hang
        parts = [text]
        if not terminal.whole:
            parts = _broken(
                text, max(1, terminal.width - indent - hang), max(1, terminal.width - first)
            )
        blanks = [first] + [indent + hang] * (len(parts) - 1)
        lines += [
            Text(" " * blank + part, style) for blank, part in zip(blanks, parts, strict=True)
        ]
    if isinstance(lead, Text) and lines[0].plain[indent:].startswith(lead.plain):
        for span in lead.spans:
            lines[0].stylize(span.style, span.start + indent, span.end + indent)
    return lines


def _broken(text: str, width: int, first: int) -> list[str]:
    head, *others = text.split("\n")
    lines = wrapped(head, width, first)
    for other in others:
        lines += wrapped(other.strip(), width)
    return lines


class SentencePrinter:
    """Prints sentences on a console, see `sentence_lines`."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self.terminal = Terminal.of(screen)
        self.say = self.terminal.say

    def pair(
        self,
        zh: str,
        en: str,
        *,
        lead: Text | str = "",
        indent: int = 0,
        hang: int = 4,
        style: str = "",
    ) -> None:
        """A sentence in Chinese and in English."""
        for line in sentence_lines(
            self.terminal, zh, en, lead=lead, indent=indent, hang=hang, style=style
        ):
            self._put(line)

    def line(self, text: str, *, indent: int = 0, hang: int = 4, style: str = "") -> None:
        """What is the same in both languages, or says both: once."""
        parts = [text]
        if not self.terminal.whole:
            width = self.terminal.width - indent
            parts = _broken(text, max(1, width - hang), max(1, width))
        for number, part in enumerate(parts):
            blank = indent if number == 0 else indent + hang
            self._put(Text(" " * blank + part, style))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int) -> None:
        """A table; on a terminal cells that have no room go on in the next line, those of the
        columns from `numbers` on last."""
        widths = [max(cell_len(row[at]) for row in (head, *rows)) for at in range(len(head))]
        if self.terminal.whole or sum(widths) + _GAP * (len(widths) - 1) <= self.terminal.width:
            for row in (head, *rows):
                cells = [padded(text, width) for text, width in zip(row, widths, strict=True)]
                self._put(Text((" " * _GAP).join(cells).rstrip()))
            return
        made = Table(
            box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=True, header_style=""
        )
        for at, title in enumerate(head):
            made.add_column(
                title,
                overflow="fold",
                no_wrap=False,
                min_width=widths[at] if at >= numbers else None,
            )
        for row in rows:
            made.add_row(*map(Text, row))
        self._screen.print(made)

    def finding(self, finding: Finding, *, lead: str = "", indent: int = 0, hang: int = 4) -> None:
        """A finding with its place."""
        place = f"{finding.where}: " if finding.where else ""
        self.pair(finding.zh, finding.en, lead=lead + place, indent=indent, hang=hang)

    def _put(self, line: Text) -> None:
        """One line, which is not broken any more. Into a pipe as it stands: its reader may hang up,
        as `head` does."""
        if self.terminal.whole:
            print(line.plain, file=self._screen.file)
        else:
            self._screen.print(line, soft_wrap=True)


def printer(*, stderr: bool = False) -> SentencePrinter:
    """For standard output, or standard error."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    return SentencePrinter(made)


@contextlib.contextmanager
def progress(zh: str, en: str) -> Iterator[Progress]:
    """A line on standard error while something long goes on; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, of, what: None
        return
    screen = Console(stderr=True, highlight=False, markup=False, emoji=False)
    title = Terminal.of(screen).say(zh, en, " / ")
    with screen.status(title) as status:

        def show(done: int, of: int | None, what: str) -> None:
            count = f"{done}" if of is None else f"{done}/{of}"
            status.update(f"{title} {count} {what}"[:78])

        yield show


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; SIGTERM ends it like Ctrl-C, with every connection closed."""
    # whoever runs it in a thread minds the signals
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(work)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(work)
    finally:
        signal.signal(signal.SIGTERM, before)


def show_unreachable(error: DeviceError, where: str) -> None:
    """Say why a device gave nothing."""
    printer().finding(Finding(error.cause.name, where, error.cause.zh, error.cause.en))
