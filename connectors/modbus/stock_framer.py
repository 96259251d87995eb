"""pymodbus' framers with our judgement: it cuts the frames out of the bytes, `frame.answer` says what they mean.

pymodbus 3.16.1 by itself takes transaction id 0 as the answer to any request, accepts another function code, fewer or
more registers and an odd byte count, and lets struct.error, binascii.Error and IndexError out of its decoders (into
the event loop, which logs a traceback and drops the connection). So its PDU decoder is left out, and whatever a
framer raises becomes a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pymodbus.framer import FramerAscii, FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

from connectors.modbus.frame import Answer, ProtocolError, Request, answer


class Judged(ModbusPDU):
    """What came for a request, on its way through pymodbus to the one who asked."""

    def __init__(self, verdict: Answer | ProtocolError, unit: int, tid: int) -> None:
        super().__init__(dev_id=unit, transaction_id=tid)
        self.verdict = verdict


class Strict(FramerBase):
    """Base of the framers: one request under way, one verdict for it."""

    def __init__(self, unasked: Callable[[int], None]) -> None:
        """`unasked` hears of bytes that came while nothing was under way, with their number."""
        super().__init__(DecodePDU(False))
        self.request: Request | None = None
        """The request under way."""
        self._unasked = unasked

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:  # noqa: N802
        """What pymodbus calls with all bytes since the request was sent: how many to forget, and the verdict."""
        if self.request is None:
            self._unasked(len(data))
            return len(data), None
        verdict: Answer | ProtocolError | None
        try:
            used, verdict = self.find(self.request, data, exp_tid)
        except ProtocolError as error:
            verdict = error
        except Exception as error:  # noqa: BLE001 - reason: pymodbus' framers stumble over malformed bytes in many ways
            verdict = ProtocolError(f"{type(error).__name__} in what should answer {self.request}: {error}")
        if verdict is None:
            return used, None
        self.request = None
        return len(data), Judged(verdict, exp_devid, exp_tid)

    def find(self, request: Request, data: bytes, tid: int) -> tuple[int, Answer | None]:
        """The answer in `data`, or None and how many bytes are of no use. Raises ProtocolError."""
        raise ProtocolError("a framer that finds nothing")


class Mbap(Strict, FramerSocket):
    """Modbus TCP frames on a connection (TCP or TLS): whatever is not the answer ends it.

    Used for TLS as well: pymodbus' own TLS framer ignores the length field and loses an answer that comes in pieces.
    """

    def find(self, request: Request, data: bytes, tid: int) -> tuple[int, Answer | None]:
        used, unit, got, pdu = self.decode(data)
        if not used:
            return 0, None
        if not got or got != tid:
            raise ProtocolError.of("modbus_wrong_transaction", found=got)
        if used != len(data):
            raise ProtocolError.of("modbus_not_asked", count=len(data) - used)
        return used, answer(request, bytes([unit]) + pdu)


class Datagram(Mbap):
    """Modbus TCP frames over UDP, one in each datagram. What comes late or from a stranger is passed over."""

    def find(self, request: Request, data: bytes, tid: int) -> tuple[int, Answer | None]:
        if int.from_bytes(data[:2], "big") != tid or not self.decode(data)[0]:
            return len(data), None  # all of it: a datagram is never continued by the next one
        return super().find(request, data, tid)


class Rtu(Strict, FramerRTU):
    """RTU frames on a serial bus or over TCP, found again by unit, function, size and CRC."""

    def find(self, request: Request, data: bytes, tid: int) -> tuple[int, Answer | None]:
        start = 0
        while start < len(data):
            used, unit, _, pdu = self.decode(data[start:])
            if not pdu and used:
                raise ProtocolError.of("modbus_wrong_checksum", request=request)
            if not pdu:
                break
            if unit == request.unit:
                return len(data), answer(request, bytes([unit]) + pdu)
            # Another unit's late answer, whole and valid. pymodbus counts all bytes as used; the next frame is behind
            # this one's check sum.
            start = data.index(pdu, start) + len(pdu) + 2
        return start, None


class Ascii(Strict, FramerAscii):
    """ASCII frames on a serial bus: a colon, hex digits, CR LF."""

    def find(self, request: Request, data: bytes, tid: int) -> tuple[int, Answer | None]:
        start = 0
        while start < len(data):
            used, unit, _, pdu = self.decode(data[start:])
            start += used
            if not pdu:
                break
            if unit == request.unit:
                return start, answer(request, bytes([unit]) + pdu)
        return start, None


FRAMERS: Final[dict[str, type[Strict]]] = {
    "tcp": Mbap, "tls": Mbap, "udp": Datagram, "rtu-tcp": Rtu, "rtu": Rtu, "ascii": Ascii,
}  # fmt: skip
