"""How requests and answers are packed on a TCP connection: MBAP, or RTU frames. State machines
without I/O.

The caller gives each request a slot and gets (slot, answer) pairs out of the bytes that came. A
whole answer that is wrong inside is paired with its ProtocolError. One that is raised says that the
bytes are no frames any more.
"""

from __future__ import annotations

from binascii import unhexlify
from typing import Final, Protocol

from connectors.modbus.frame import (
    IDENTIFICATION,
    Answer,
    ProtocolError,
    ReadRequest,
    answer,
    identification_size,
)
from connectors.modbus.strangers import no_frame, stranger
from edge_agent.sdk import cause, status_of_cause

#: Bytes of a text after which it is no noise.
_LEAST_TEXT: Final = 4

_MAX_LENGTH: Final = (
    254  # unit and PDU of at most 253 bytes (Messaging on TCP/IP guide V1.0b, 3.1.3)
)

#: Bytes without an answer among them after which a serial line is given up: nobody needs so many
#: before one frame.
MOST_NOISE: Final = 4096

_READS: Final = frozenset({1, 2, 3, 4})
#: Functions whose requests and answers have 8 bytes: writing one point, or the answer to writing
#: many.
_WRITES: Final = frozenset({5, 6, 15, 16})


Found = Answer | ProtocolError
"""What a frame says, or what is wrong with it."""


class Framing(Protocol):
    """One line's framing, with the requests that are under way on it."""

    last: int
    """The transaction id of the last request; 0 where there are none."""

    def encode(self, slot: int, request: ReadRequest) -> bytes:
        """The bytes to send; from now on the request is under way."""

    def feed(self, data: bytes) -> list[tuple[int, Found]]:
        """The answers that `data` completes. Raises ProtocolError for bytes that are no frames."""

    def end_wait(self) -> Found | None:
        """The time is over: forget what is under way. What came in the place of an answer, None for
        nothing; or the answer, where more bytes were waited for. Raises ProtocolError when the line
        stopped amid a frame, so that nobody knows where the next one begins."""


class MbapFraming:
    """Modbus TCP: each frame has a transaction id, so several requests may be under way."""

    def __init__(self, last: int = 0) -> None:
        """`last`: the id before the first one. Gateways have been seen to deliver late answers on
        the next connection: ids that go on from one to the other do not fit them."""
        self._waiting: dict[bytes, tuple[int, ReadRequest]] = {}
        """By the two bytes of the transaction id."""
        self._buffer = b""
        self.last = last
        self._foreign = (0, 0)
        """The transaction ids of the last frame that answers nothing under way, and of the last
        request before it."""

    def encode(self, slot: int, request: ReadRequest) -> bytes:
        # 0 is never used: devices that do not fill in the id answer with 0, and that must not fit
        # anything.
        self.last = self.last % 0xFFFF + 1
        key = self.last.to_bytes(2, "big")
        self._waiting[key] = slot, request
        return key + request.mbap

    def expect(self, number: int, slot: int, request: ReadRequest) -> bytes:
        """A request is under way by this transaction id, which is returned as its bytes."""
        self.last = number
        key = number.to_bytes(2, "big")
        self._waiting[key] = slot, request
        return key

    def feed(self, data: bytes) -> list[tuple[int, Found]]:
        buffer = self._buffer + data if self._buffer else data
        answers: list[tuple[int, Found]] = []
        waiting = self._waiting
        at = 0
        size = len(buffer)
        while size - at >= 6:
            number = buffer[at : at + 2]
            asked = waiting.get(buffer[at : at + 2])
            if asked is not None and buffer[at + 2 : at + 9] == asked[1].promise:
                end = at + 9 + asked[1].size
                if size < end:
                    break
                answers.append((asked[0], buffer[at + 9 : end]))
            else:  # a refusal, a frame that is not here yet, or no answer to anything under way
                try:
                    end = at + 6 + _mbap_length(buffer[at : at + _MAX_LENGTH])
                except ProtocolError:
                    if not answers:
                        raise
                    break  # what came before it was whole; the next bytes will raise
                if size < end:
                    break
                if asked is not None:
                    answers.append((asked[0], _judged(asked[1], buffer[at + 6 : end])))
                else:  # a late answer, or one that comes twice
                    self._foreign = int.from_bytes(number, "big"), self.last
            waiting.pop(number, None)
            at = end
        self._buffer = buffer[at:]
        return answers

    def forget(self) -> None:
        """Nothing is under way any more; its answers are nobody's."""
        self._waiting.clear()

    def end_wait(self) -> Found | None:
        self.forget()
        if self._buffer:
            foreign = stranger(self._buffer)
            if foreign is not None:
                raise ProtocolError(foreign, status_of_cause(foreign.name))
            raise ProtocolError.of("modbus_unfinished", count=len(self._buffer))
        number, last = self._foreign
        if not last or last != self.last:
            return None
        return ProtocolError(cause("modbus_wrong_transaction", found=number), "BadTimeout")


def _judged(request: ReadRequest, adu: bytes) -> Found:
    try:
        return answer(request, adu)
    except ProtocolError as error:
        return error


def _mbap_length(frame: bytes) -> int:
    """The length field of the MBAP header at the beginning. Raises ProtocolError for one that no
    answer can have."""
    length = frame[4] << 8 | frame[5]
    if frame[2] or frame[3]:
        protocol = frame[2] << 8 | frame[3]
        raise _not_modbus(frame, f"协议标识为 {protocol}", f"protocol id {protocol}")
    if not 2 <= length <= _MAX_LENGTH:
        raise _not_modbus(
            frame,
            f"长度为 {length}，应为 2 至 {_MAX_LENGTH}",
            f"length {length}, not 2 to {_MAX_LENGTH}",
        )
    return length


def _not_modbus(data: bytes, why_zh: str, why_en: str) -> ProtocolError:
    foreign = no_frame(data, why_zh, why_en)
    return ProtocolError(foreign, status_of_cause(foreign.name))


def _crc_table() -> tuple[int, ...]:
    """CRC-16 of each byte: polynomial 0xA001 (0x8005 reflected), serial line V1.02, 6.2.2."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC: Final = _crc_table()


def crc16(data: bytes) -> int:
    """The CRC of an RTU frame, sent low byte first; over a frame with its CRC it is 0."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


class DatagramFraming(MbapFraming):
    """Modbus TCP frames over UDP, one in each datagram. What is none, or comes from a stranger, is
    passed over."""

    def feed(self, data: bytes) -> list[tuple[int, Found]]:
        try:
            return super().feed(data)
        except ProtocolError:
            return []
        finally:
            self._buffer = b""  # no datagram is continued by the next one


class _Sought:
    """What is known of the one request under way on a line whose frames carry no transaction id.

    Nothing that arrived before the request was out is kept. A wrong frame does not end the search,
    since another master, an echo or noise may have brought it: the answer may still come until the
    time is over.
    """

    last = 0

    def __init__(self, last: int = 0) -> None:
        self._waiting: tuple[int, ReadRequest] | None = None
        self._buffer = b""
        self._noise = 0
        self._heard_first = b""
        """The first bytes that came while nothing was understood, to tell another service from
        noise."""
        self._instead: ProtocolError | None = None

    def expect(self, number: int, slot: int, request: ReadRequest) -> bytes:
        """A request is under way; there are no transaction ids."""
        self.forget()
        self._waiting = slot, request
        return b""

    def end_wait(self) -> Found | None:
        """See `Framing`; a serial line is never amid a frame for long."""
        waiting, noise, instead, first = (
            self._waiting,
            self._noise,
            self._instead,
            self._heard_first,
        )
        self.forget()
        if waiting is None or instead is not None or not noise:
            return instead
        foreign = stranger(first)
        if foreign is not None and noise >= _LEAST_TEXT:
            return ProtocolError(foreign, status_of_cause(foreign.name))
        return ProtocolError.of("modbus_noise", count=noise, request=waiting[1])

    def forget(self) -> None:
        """Nothing is under way any more."""
        self._waiting = None
        self._buffer = b""
        self._noise = 0
        self._instead = None
        self._heard_first = b""

    def _count(self, data: bytes) -> None:
        if not self._noise:
            self._heard_first = data[:_MAX_LENGTH]
        self._noise += len(data)
        if self._noise > MOST_NOISE:
            raise ProtocolError.of("modbus_not_asked", count=self._noise)

    def _answers(self, request: ReadRequest, adu: bytes) -> Answer | None:
        """What a frame with a right check sum says, or None when it is not the answer."""
        try:
            return answer(request, adu)
        except ProtocolError as error:
            # A wrong answer of the unit itself says more than that some other unit has spoken.
            own = adu[:1] == bytes((request.unit,))
            if own or self._instead is None:
                error.answered = own
                self._instead = error
            return None


class RtuFraming(_Sought):
    """RTU, on a serial line or over TCP: unit, function, byte count and check sum must be those
    asked for."""

    def __init__(self, last: int = 0) -> None:
        super().__init__(last)
        self._asked = self._head = b""
        """The frame that was sent, which some adapters send back, and how its answer begins."""
        self._others = 0
        """Requests of another master to the same unit and function: the next answers are to
        those."""

    def encode(self, slot: int, request: ReadRequest) -> bytes:
        self.expect(0, slot, request)
        return self._asked

    def expect(self, number: int, slot: int, request: ReadRequest) -> bytes:
        super().expect(number, slot, request)
        self._asked = request.adu + crc16(request.adu).to_bytes(2, "little")
        self._head = bytes((request.unit, request.function, request.size))
        self._others = 0
        return b""

    def feed(self, data: bytes) -> list[tuple[int, Found]]:
        if self._waiting is None:
            return []
        self._count(data)
        self._buffer += data
        slot, request = self._waiting
        found = self._search(request, self._head)
        return [] if found is None else [(slot, found)]

    def end_wait(self) -> Found | None:
        found = None if self._waiting is None else self._search(self._waiting[1], b"")
        return super().end_wait() if found is None else found

    def _search(self, request: ReadRequest, head: bytes) -> Answer | None:
        """The answer among the bytes that came, which are then forgotten. Where an answer seems to
        begin with `head` its end is waited for before anything behind is looked at: mostly it is
        the answer, coming in pieces."""
        buffer = self._buffer
        at = 0
        kept = len(buffer)  # where the first frame begins that may still be completed
        while len(buffer) - at >= 4:
            if head and buffer.startswith(head, at) and len(buffer) - at < 5 + request.size:
                break
            size, unfinished = self._frame(buffer, at)
            if unfinished:
                kept = min(kept, at)
            if not size:
                at += 1
                continue
            found = self._judge(request, buffer[at : at + size])
            if found is not None:
                self.forget()
                return found
            at += size
        self._buffer = buffer[min(kept, at) :]
        return None

    def _frame(self, buffer: bytes, at: int) -> tuple[int, bool]:
        """The size of the frame with a right check sum that begins here (0: none), and whether one
        may yet come."""
        unfinished = False
        for size in _rtu_sizes(buffer, at):
            end = at + size
            if end > len(buffer):
                unfinished = True
            elif not crc16(buffer[at:end]):
                # The beginning of an echo may happen to look like a short answer: its last byte
                # shows.
                echo = size < len(self._asked) and self._asked.startswith(buffer[at:end])
                return (0, True) if echo else (size, False)
        return 0, unfinished

    def _judge(self, request: ReadRequest, frame: bytes) -> Answer | None:
        if frame == self._asked or frame[1] & 0x7F != request.function:
            return None
        own = frame[0] == request.unit
        if len(frame) == 8 and frame[2] != 3:  # a request
            self._others += own
            return None
        if own and self._others:
            self._others -= 1
            return None
        return self._answers(request, frame[:-2])


def _rtu_sizes(buffer: bytes, at: int) -> tuple[int, ...]:
    """Sizes that the frame that begins there may have, by its function code and the byte behind
    it."""
    function = buffer[at + 1]
    count = buffer[at + 2]
    if function == IDENTIFICATION:
        return (identification_size(buffer[at : at + _MAX_LENGTH]) + 2,)
    if function & 0x80:
        return (5,)
    if function in _READS:
        return (8,) if count == 3 else (5 + count, 8)
    return (8,) if function in _WRITES else ()


class AsciiFraming(_Sought):
    """ASCII on a serial line: a colon, hex digits with a check sum (LRC), CR LF."""

    def encode(self, slot: int, request: ReadRequest) -> bytes:
        self.expect(0, slot, request)
        return b":" + (request.adu + bytes((_lrc(request.adu),))).hex().upper().encode() + b"\r\n"

    def feed(self, data: bytes) -> list[tuple[int, Found]]:
        if self._waiting is None:
            return []
        slot, request = self._waiting
        self._count(data)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            adu = _unhexed(line)
            if adu is None or adu == request.adu or adu[1:2] not in _of_function(request):
                continue
            found = self._answers(request, adu)
            if found is not None:
                self.forget()
                return [(slot, found)]
        return []


def _of_function(request: ReadRequest) -> tuple[bytes, bytes]:
    return bytes((request.function,)), bytes((request.function | 0x80,))


def _lrc(data: bytes) -> int:
    """The longitudinal redundancy check of an ASCII frame (serial line V1.02, 2.5.2.2)."""
    return -sum(data) & 0xFF


def _unhexed(line: bytes) -> bytes | None:
    """Unit and PDU of a line, from its last colon on; None for one that is no frame."""
    try:
        frame = unhexlify(line.rsplit(b":", 1)[1].removesuffix(b"\r"))
    except (IndexError, ValueError):
        return None
    return None if len(frame) < 3 or sum(frame) & 0xFF else frame[:-1]
