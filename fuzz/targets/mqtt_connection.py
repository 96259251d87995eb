"""The whole MQTT connection, paho included, against a broker that says anything."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any, Final
from unittest.mock import patch

from edge_agent.config.models import Mqtt
from edge_agent.mqtt import Inbound, MqttConnection, MqttMessage, connection
from edge_agent.mqtt.trouble import LinkError
from fuzz.target import FuzzInput, FuzzTarget, demand

_CONFIG: Final = [
    Mqtt.model_validate({"url": "mqtt://broker", "version": version}) for version in ("3.1.1", "5")
]
_CONSENT: Final = (b"\x20\x02\x00\x00", b"\x20\x03\x00\x00\x00")
_SENT: Final = 3


class _Complaints(logging.Handler):
    """What is logged as a bug of ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@cache
def _loop() -> tuple[asyncio.AbstractEventLoop, _Complaints]:
    loop, complaints = asyncio.new_event_loop(), _Complaints()
    loop.set_exception_handler(lambda _, context: complaints.heard.append(str(context)))
    log = logging.getLogger("edge_agent.mqtt")
    log.addHandler(complaints)
    log.propagate = False
    return loop, complaints


def link(data: bytes) -> None:
    """Nothing escapes into the loop, nothing hangs, and only what was sent is acknowledged,
    once."""
    feed = FuzzInput(data)
    form, cut = feed.number(8), feed.number(256)
    loop, complaints = _loop()
    complaints.heard.clear()
    loop.run_until_complete(
        _talk(feed.rest(), cut, five=form & 1, inbound=bool(form & 2), consent=not form & 4)
    )
    demand(not complaints.heard, complaints.heard)


async def _talk(said: bytes, cut: int, *, five: int, inbound: bool, consent: bool) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def dialled(*_: object) -> socket.socket:
        return ours

    options: dict[str, Any] = {"inbound": Inbound(60, 10)} if inbound else {}
    made = MqttConnection(_CONFIG[five], "fuzz", **options)
    acked: Counter[int] = Counter()
    came: list[MqttMessage] = []
    made.on_acked = lambda answers: acked.update(mid for mid, _ in answers)
    made.on_message = came.append
    with patch.object(connection, "dial_async", dialled), ours, theirs:
        theirs.send((_CONSENT[five] if consent else b"") + said[:cut])
        if not consent:
            theirs.shutdown(socket.SHUT_WR)
        try:
            await made.open(None)
            mids = [made.publish("a/b", b"x", retained=False) for _ in range(_SENT)]
            made.flush()
            await _turns()
            if consent:
                with suppress(OSError):  # gone already
                    theirs.send(said[cut:])
                await _turns()
            made.disconnect()
        except LinkError:
            mids = []
        finally:
            made.close()
    demand(
        acked.keys() <= set(mids) and all(times == 1 for times in acked.values()),
        "acknowledged",
        acked,
        "of",
        mids,
    )
    demand(all(message.payload in said for message in came), "messages that nobody sent:", came)
    demand(made.error is None or isinstance(made.error, LinkError), made.error)


async def _turns() -> None:
    """Of the loop, until what is in the socket has been read."""
    for _ in range(3):
        await asyncio.sleep(0)


def _seeds() -> Iterable[bytes]:
    acks = b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in (1024, 1026, 1025, 1025, 7))
    five = b"\x40\x03\x04\x00\x10" + b"\x40\x04\x04\x01\x87\x00"
    message = (
        b"\x32\x0b\x00\x03a/b\x00\x05\x00hey"
        + b"\x30\x08\x00\x03a/b\x00hi"
        + b"\x34\x09\x00\x03a/b\x00\x06\x00h"
    )
    other = b"\x90\x03\x00\x01\x80" + b"\xd0\x00" + b"\x62\x02\x00\x06" + b"\x50\x02\x04\x00"
    for form in range(8):
        lead = bytes((form, 9))
        yield lead + acks + message
        yield lead + five + other + b"\xe0\x02\x8b\x00"
    yield bytes((5, 255)) + b"\x20\x08\x00\x00\x05\x21\x00\x0a\x24\x01" + acks
    yield bytes((4, 255)) + b"\x20\x02\x00\x05"
    yield bytes((0, 255)) + message[:10]
    yield bytes((1, 0)) + b"\x40\xff\xff\xff\xff\x7f" + acks
    yield (
        bytes((0, 0))
        + b"\x30\x06\x00\x02\xff\xfehi"
        + b"\x20\x02\x00\x00"
        + b"\xf0\x00"
        + b"\x00\x00"
    )


TARGETS = (FuzzTarget("mqtt-connection", link, _seeds, 20_000, longest=160, full=100_000),)
