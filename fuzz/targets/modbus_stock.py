"""pymodbus' framers with our judgement: nothing raises, and no answer is taken that is not there as
a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final

from connectors.modbus.frame import ProtocolError, ReadRequest
from connectors.modbus.pymodbus_framer import FRAMERS, Judged
from fuzz.target import FuzzInput, FuzzTarget, demand
from fuzz.targets._modbus import REQUESTS, said
from fuzz.targets.modbus_rtu import _crc as crc

_TID: Final = 0x0102
_MBAP: Final = frozenset({"tcp", "tls", "udp"})
_SCHEMES: Final = ("tcp", "udp", "rtu", "ascii")


def stock(data: bytes) -> None:
    """Bytes in up to four pieces, as pymodbus' transport hands them on."""
    feed = FuzzInput(data)
    scheme, request = _SCHEMES[feed.number(4)], REQUESTS[feed.number(len(REQUESTS))]
    cuts, stream = [feed.number(256) for _ in range(3)], _stream(feed, scheme)
    broken: list[ProtocolError] = []
    framer = FRAMERS[scheme](broken.append)
    tid = _TID if scheme in _MBAP else 0
    framer.ask(request)
    framer.encode(request.adu[1:], request.unit, tid)
    taken = 0
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        used, found = framer.handleFrame(stream[start:end], request.unit, tid)
        demand(used == end - start, "used", used, "of", end - start)
        if broken:
            break
        if isinstance(found, Judged):
            taken += 1
            _judge(scheme, request, stream[:end], found)
    demand(taken <= 1, taken, "verdicts on one request")


def _judge(scheme: str, request: ReadRequest, stream: bytes, found: Judged) -> None:
    verdict = found.verdict
    if isinstance(verdict, ProtocolError):
        return
    if isinstance(verdict, int):
        adu = bytes((request.unit, request.function | 0x80, verdict))
    else:
        adu = bytes((request.unit, request.function, len(verdict))) + verdict
    demand(said(request, adu) == verdict, verdict, "does not answer", request)
    frame = _FRAMED[scheme](adu)
    where = stream.upper() if scheme == "ascii" else stream
    demand(frame.rstrip(b"\r\n") in where, verdict, "is not in", stream)


def _mbap(adu: bytes) -> bytes:
    return _TID.to_bytes(2, "big") + b"\0\0" + len(adu).to_bytes(2, "big") + adu


def _ascii(adu: bytes) -> bytes:
    """Hex digits with the longitudinal redundancy check (serial line V1.02, 2.5.2)."""
    return b":" + (adu + bytes((-sum(adu) & 0xFF,))).hex().upper().encode() + b"\r\n"


_FRAMED: Final[dict[str, Callable[[bytes], bytes]]] = {
    "tcp": _mbap, "udp": _mbap, "rtu": lambda adu: adu + crc(adu), "ascii": _ascii,
}  # fmt: skip


def _stream(feed: FuzzInput, scheme: str) -> bytes:
    """Bytes as they are, or framed right: no fuzzer would guess a check sum."""
    parts = []
    while feed:
        form = feed.number(256)
        part = feed.take(form & 0x3F)
        parts.append(_FRAMED[scheme](part) if form & 0x40 else part)
    return b"".join(parts)


def _seeds() -> Iterable[bytes]:
    for scheme in range(4):
        for n, request in enumerate(REQUESTS[:2]):
            body = bytes((request.unit, request.function, request.size)) + bytes(
                range(request.size)
            )
            refusal = bytes((request.unit, request.function | 0x80, 6))
            late = bytes((9, 3, 2, 0, 1))
            yield bytes((scheme, n, 255, 255, 255, 0x40 | len(body))) + body
            yield bytes((scheme, n, 2, 9, 255, 0x40 | len(late))) + late + bytes((0x43,)) + refusal
            yield bytes((scheme, n, 4, 4, 4, len(body))) + body


TARGETS = (FuzzTarget("modbus-stock", stock, _seeds, 300_000, longest=200),)
