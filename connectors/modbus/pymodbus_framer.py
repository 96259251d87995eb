"""pymodbus' framers with our judgement: pymodbus builds the requests, `framing` finds the answers.

pymodbus 3.16.1 by itself takes transaction id 0 as the answer to any request, accepts another
function code, fewer or more registers and an odd byte count, gives up an RTU line at the first
wrong check sum, waits for ever behind a wrong protocol id, and lets struct.error, binascii.Error
and IndexError out of its decoders (into the event loop, which logs a traceback and drops the
connection). So its way from bytes to answers is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pymodbus.framer import FramerAscii, FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

from connectors.modbus.frame import ProtocolError, ReadRequest
from connectors.modbus.framing import AsciiFraming, DatagramFraming, Found, MbapFraming, RtuFraming


class Judged(ModbusPDU):
    """What came for a request, on its way through pymodbus to the one who asked."""

    def __init__(self, verdict: Found, unit: int, tid: int) -> None:
        super().__init__(dev_id=unit, transaction_id=tid)
        self.verdict = verdict


class StrictFramer(FramerBase):
    """Base of the framers: one request under way, one verdict for it."""

    framing_type: type[MbapFraming | RtuFraming | AsciiFraming]

    def __init__(self, broken: Callable[[ProtocolError], None]) -> None:
        """`broken` is called when the bytes are no frames any more."""
        super().__init__(DecodePDU(False))
        self.heard = 0
        """How often bytes came."""
        self._framing = self.framing_type()
        self._broken = broken
        self._request: ReadRequest | None = None

    def ask(self, request: ReadRequest) -> None:
        """The request that pymodbus sends next."""
        self._request = request

    def encode(self, payload: bytes, dev_id: int, tid: int) -> bytes:
        """What pymodbus calls for the bytes to send."""
        if self._request is not None:
            self._framing.forget()  # a cancelled read may have left one
            self._framing.expect(tid, 0, self._request)
        return super().encode(payload, dev_id, tid)

    def handleFrame(  # noqa: N802
        self, data: bytes, exp_devid: int, exp_tid: int
    ) -> tuple[int, ModbusPDU | None]:
        """What pymodbus calls with the bytes that came: all are used, and the verdict on the
        request, once."""
        self.heard += 1
        try:
            found = self._framing.feed(data)
        except ProtocolError as error:
            self._broken(error)
            return len(data), None
        return len(data), Judged(found[0][1], exp_devid, exp_tid) if found else None

    def end_wait(self) -> Found | None:
        """See `Framing`."""
        self._request = None
        return self._framing.end_wait()


class MbapFramer(StrictFramer, FramerSocket):
    """Modbus TCP frames on a connection, TCP or TLS (pymodbus' own TLS framer ignores the length
    field)."""

    framing_type = MbapFraming


class DatagramFramer(MbapFramer):
    """The same over UDP."""

    framing_type = DatagramFraming


class RtuFramer(StrictFramer, FramerRTU):
    """RTU frames on a serial bus or over TCP."""

    framing_type = RtuFraming


class AsciiFramer(StrictFramer, FramerAscii):
    """ASCII frames on a serial bus."""

    framing_type = AsciiFraming


FRAMERS: Final[dict[str, type[StrictFramer]]] = {
    "tcp": MbapFramer,
    "tls": MbapFramer,
    "udp": DatagramFramer,
    "rtu-tcp": RtuFramer,
    "rtu": RtuFramer,
    "ascii": AsciiFramer,
}
