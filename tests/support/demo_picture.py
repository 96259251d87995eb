"""The picture in the README: what a running demo shows in a terminal of 120 x 36, as SVG.

`python -m tests.support.demo_picture data/demo/<time>/demo.yaml > docs/demo.svg`, while that demo
runs.
"""

from __future__ import annotations

import html
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from edge_agent.app.demo.view import picture
from edge_agent.app.status.ask import ask_agent, ask_metrics, ask_serve
from edge_agent.app.status.terminal import Terminal
from edge_agent.config import load

WIDTH, HEIGHT = 120, 36


@dataclass(frozen=True)
class _Cells:
    """The same with a piece of text for each cell: a font whose Chinese letters are not two columns
    wide keeps them straight, since each piece is given its own place."""

    whole: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.whole, options):
            yield from (
                Segment(part, segment.style)
                for part in re.split(r"( {2,}|\n)", segment.text)
                if part
            )


def drawn(config: Path) -> str:
    """The SVG. Raises ValueError when the demo does not answer."""
    site = load(config)
    status, agent, metrics = ask_serve(site), ask_agent(site), ask_metrics(site)
    if status is None or agent is None or metrics is None:
        raise ValueError(f"no demo runs from {config}")
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False
    )
    shown = Path("data/demo/<time>/demo.yaml")  # no folder of whoever drew it
    console.print(
        _Cells(
            picture(
                status, agent, metrics, shown, site.agent.timezone, Terminal(WIDTH, HEIGHT, "both")
            )
        )
    )
    return _PIECE.sub(_as_wide_as_it_is, console.export_svg(title="edge-agent demo"))


_PIECE = re.compile(r'textLength="([\d.]+)"([^>]*)>([^<]*)<')


def _as_wide_as_it_is(piece: re.Match[str]) -> str:
    """A Chinese letter takes two columns; rich gives a piece the width of as many columns as it has
    letters."""
    text = html.unescape(piece[3])
    width = float(piece[1]) / len(text) * cell_len(text)
    return f'textLength="{width:.1f}"{piece[2]}>{piece[3]}<'


if __name__ == "__main__":
    sys.stdout.write(drawn(Path(sys.argv[1])))
