"""What all commissioning commands need of a terminal: its width, a sign of life, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

from rich.console import Console

from edge_agent.discovery import Progress
from edge_agent.errors import DeviceError, FindingsError

T = TypeVar("T")

#: Columns of what does not go to a terminal.
PLAIN_WIDTH: Final = 160


def console() -> Console:
    """Standard output; wide enough for a pipe, where nobody cuts lines."""
    made = Console(highlight=False, markup=False, emoji=False)
    return made if made.is_terminal else Console(width=PLAIN_WIDTH, highlight=False, markup=False, emoji=False)


@contextlib.contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A line on standard error while something long goes on; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, of, what: None
        return
    with Console(stderr=True, highlight=False, markup=False, emoji=False).status(title) as status:

        def show(done: int, of: int | None, what: str) -> None:
            count = f"{done}" if of is None else f"{done}/{of}"
            status.update(f"{title} {count} {what}"[:78])

        yield show


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; SIGTERM ends it like Ctrl-C, with every connection closed."""
    if threading.current_thread() is not threading.main_thread():  # whoever runs it in a thread minds the signals
        return asyncio.run(work)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(work)
    finally:
        signal.signal(signal.SIGTERM, before)


def unreachable(error: DeviceError, where: str) -> FindingsError:
    """A device that gave nothing, as a finding."""
    return FindingsError.one(error.cause.name, error.cause.zh, error.cause.en, where)
