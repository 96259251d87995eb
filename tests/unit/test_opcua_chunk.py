"""Plain chunks of our own against asyncua's: the same bytes, the same state, and hands off whatever
is not plain."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import Cryptography, SecurityPolicyNone
from asyncua.ua import ChannelSecurityToken
from asyncua.ua import MessageSecurityMode as Mode

from connectors.opcua import chunk, raw_transport
from tests.support.aio import run


def channel(number: int = 0, heard: int | None = None) -> SecureConnection:
    """An open channel that has sent `number` chunks and got the one numbered `heard` last."""
    made = SecureConnection(SecurityPolicyNone(), TransportLimits(65535, 65535, 0, 0))
    made.security_token = ChannelSecurityToken(ChannelId=7, TokenId=3)
    made._sequence_number, made._peer_sequence_number = number, heard
    made._open = True
    return made


def sent(body: bytes, number: int = 10, request: int = 21, **token: int) -> bytes:
    """A chunk as asyncua makes it for the other side."""
    peer = channel(number - 1)
    for name, value in token.items():
        setattr(peer.security_token, name, value)
    return peer.message_to_binary(body, request_id=request)


@pytest.mark.parametrize("size", [1, 300, 65535 - 24])
def test_a_request_is_the_bytes_asyncua_would_send(size: int) -> None:
    ours, theirs, body = channel(4), channel(4), bytes(size)
    assert chunk.pack(ours, body, 21) == theirs.message_to_binary(body, request_id=21)
    assert ours._sequence_number == theirs._sequence_number == 5


def test_a_request_that_is_not_plain_is_left_to_asyncua() -> None:
    long, last, signed = channel(4), channel((1 << 32) - 1), channel(4)
    signed.security_policy.symmetric_cryptography = Cryptography(Mode.Sign)
    assert chunk.pack(long, bytes(65535 - 23), 21) is None
    assert chunk.pack(last, b"", 21) is None
    assert chunk.pack(signed, b"", 21) is None
    assert (long._sequence_number, last._sequence_number, signed._sequence_number) == (
        4,
        (1 << 32) - 1,
        4,
    )


def test_a_response_is_taken_as_asyncua_would() -> None:
    ours, whole = channel(heard=9), sent(b"body")
    assert chunk.request_of(ours, whole) == 21
    assert chunk.take(ours, whole) == b"body"
    assert ours._peer_sequence_number == 10
    assert chunk.request_of(ours, whole) is None, "the same number again"


def altered(at: int, form: str, value: Any) -> bytes:
    whole = bytearray(sent(b"body"))
    struct.pack_into(form, whole, at, value)
    return bytes(whole)


@pytest.mark.parametrize(
    "whole",
    [
        b"", b"MSGF", sent(b"body")[:-1], sent(b"body") + b"x", altered(0, "4s", b"MSGC"), altered(0, "4s", b"MSGA"),
        altered(0, "4s", b"OPNF"), altered(0, "4s", b"ERRF"), sent(b"body", number=9), sent(b"body", number=11),
        sent(b"body", ChannelId=8), sent(b"body", TokenId=4), sent(b"body", TokenId=0),
    ],
)  # fmt: skip
def test_a_response_with_anything_unusual_is_left_to_asyncua(whole: bytes) -> None:
    ours = channel(heard=9)
    assert chunk.request_of(ours, whole) is None
    assert ours._peer_sequence_number == 9


def test_a_channel_in_an_unusual_state_is_left_to_asyncua() -> None:
    first, between, signed, small = (
        channel(heard=None),
        channel(heard=9),
        channel(heard=9),
        channel(heard=9),
    )
    between._incoming_parts = [object()]  # type: ignore[list-item]
    signed.security_policy.symmetric_cryptography = Cryptography(Mode.Sign)
    small._limits.max_recv_buffer = 20
    assert [chunk.request_of(c, sent(b"body")) for c in (first, between, signed, small)] == [
        None
    ] * 4


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False


def opened() -> raw_transport.BoundedProtocol:
    protocol = raw_transport.BoundedProtocol(1.0)
    protocol._connection = channel(heard=9)
    protocol.transport = Transport()  # type: ignore[assignment]
    return protocol


@pytest.mark.parametrize("cut", [1, 7, 8, 23, 24, 29, 30, 59, 1000])
def test_answers_find_who_asked_however_the_bytes_come(cut: int) -> None:
    """The middle one is the answer to a request of asyncua's own, which gets its buffer."""

    async def scenario() -> None:
        protocol = opened()
        link = raw_transport.RawTransport(protocol)
        first = link.send(b"one")
        theirs: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        protocol._callbackmap[50] = theirs
        last = link.send(b"two")
        stream = sent(b"answer", 10, 1) + sent(b"theirs", 11, 50) + sent(b"second", 12, 2)
        for at in range(0, len(stream), cut):
            protocol.data_received(stream[at : at + cut])
        assert (await first, bytes(await theirs), await last) == (b"answer", b"theirs", b"second")
        assert not protocol._callbackmap
        assert not protocol._partial

    run(scenario())


def test_an_answer_in_two_chunks_is_put_together_by_asyncua() -> None:
    async def scenario() -> None:
        protocol = opened()
        future = raw_transport.RawTransport(protocol).send(b"one")
        protocol.data_received(altered(0, "4s", b"MSGC")[:20] + struct.pack("<I", 1) + b"body")
        protocol.data_received(sent(b" and soul", 11, 1))
        assert bytes(await future) == b"body and soul"

    run(scenario())


def test_a_silent_server_ends_all_that_was_asked_together() -> None:
    async def scenario() -> None:
        protocol = opened()
        link = raw_transport.RawTransport(protocol)
        with pytest.raises(TimeoutError):
            await link.ask([b"one", b"two"], 0.01)
        protocol.data_received(sent(b"late", 10, 1))
        link_answer = asyncio.create_task(link.ask([b"three"], 5.0))
        await asyncio.sleep(0)
        protocol.data_received(sent(b"late too", 11, 2) + sent(b"in time", 12, 3))
        assert await link_answer == [b"in time"]

    run(scenario())
