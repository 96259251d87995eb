"""Structured logs: one line a fact, `time level event key=value ...`, on stderr."""

from __future__ import annotations

import logging
import os
import sys
import time

from edge_agent.app.log_limit import LimitedHandler

EVERY_LINE = "EDGE_AGENT_LOG_ALL"
"""An environment variable: set, every line is written, for a test that counts them."""


class _LogLine(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")


def configure(level: str = "INFO") -> None:
    """Send all logs to stderr; one line per cause (`log_limit`).

    With DEBUG every line is written: somebody is looking. The protocol libraries speak only when
    something is wrong.
    """
    unlimited = level == "DEBUG" or bool(os.environ.get(EVERY_LINE))
    handler = logging.StreamHandler(sys.stderr) if unlimited else LimitedHandler(sys.stderr)
    handler.setFormatter(_LogLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("asyncua", "pymodbus", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL if level != "DEBUG" else logging.INFO)
