"""The data bytes of an answer as people compare them with a manual. Pure."""

from __future__ import annotations

from connectors.modbus.plan import AddressSpan
from connectors.modbus.point import is_bits


def raw_text(data: bytes, span: AddressSpan, start: int) -> str:
    """The points of a span out of an answer that begins at address `start`: `0x45FA 0x2000`, or
    bits as `1 0 1`."""
    first = span.start - start
    last = span.end - start
    if is_bits(span.table):
        return " ".join(str(data[bit // 8] >> bit % 8 & 1) for bit in range(first, last))
    words = (data[2 * place : 2 * place + 2].hex().upper() for place in range(first, last))
    return " ".join(f"0x{word}" for word in words)
