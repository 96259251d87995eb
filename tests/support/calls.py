"""What a piece of work calls, counted and not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls_during(work: Callable[[], None]) -> list[str]:
    """Every Python function and every compiled one of pydantic that `work` calls."""
    called: list[str] = []

    def notice(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            called.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
        elif event == "c_call" and "pydantic" in str(getattr(argument, "__module__", "")):
            called.append(f"pydantic:{argument.__name__}")

    sys.setprofile(notice)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called[1:]
