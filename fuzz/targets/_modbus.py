"""What the Modbus framing targets share: requests, and what the specification makes of an
answer."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from connectors.modbus.frame import Answer, ProtocolError, ReadRequest
from connectors.modbus.framing import Framing

REQUESTS: Final = (
    ReadRequest(1, "holding", 100, 4),
    ReadRequest(1, "coil", 0, 11),
    ReadRequest(2, "input", 7, 125),
    ReadRequest(3, "discrete", 9, 1),
    ReadRequest(255, "holding", 0, 1),
)

Answers = list[tuple[int, Answer | None]]
"""By slot; None: a whole frame that is wrong inside."""


def fed(framing: Framing, stream: bytes, cuts: list[int]) -> tuple[Answers, bool]:
    """The answers taken from a stream cut into pieces, and whether it was refused in the end."""
    answers: Answers = []
    for start, end in pairwise([0, *cuts, len(stream)]):
        try:
            for slot, found in framing.feed(stream[start:end]):
                answers.append((slot, None if isinstance(found, ProtocolError) else found))
        except ProtocolError:
            return answers, True
    return answers, False


def said(request: ReadRequest, adu: bytes) -> Answer | None:
    """What the specification (V1.1b3, 6.1-6.4 and 7) makes of an answer; None when it answers
    something else."""
    if adu[:2] == bytes((request.unit, request.function)) and adu[2:3] == bytes((request.size,)):
        return adu[3:] if len(adu) == 3 + request.size else None
    if adu[:2] == bytes((request.unit, request.function | 0x80)) and len(adu) == 3:
        return adu[2]
    return None
