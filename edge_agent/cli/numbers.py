"""Numbers on the command line, refused with a sentence."""

from __future__ import annotations

import argparse


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: 应为大于 0 的数 / must be a number above 0")
    return number
