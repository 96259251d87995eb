"""PUBLISH and PUBACK: the bytes the specification gives, those paho makes, and the limits of
both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge_agent.mqtt import packets


class Recorder:
    """What paho takes for its socket; keeps what it writes."""

    def __init__(self) -> None:
        self.sent = b""

    def send(self, buffer: bytes) -> int:
        self.sent += buffer
        return len(buffer)

    def recv(self, buffer_size: int) -> bytes:
        raise BlockingIOError

    def close(self) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def setblocking(self, flag: bool) -> None:
        pass


class Paho(Client):
    """paho, stock but for its socket."""

    def __init__(self, five: bool) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311
        super().__init__(CallbackAPIVersion.VERSION2, "contract", protocol=protocol)
        self.recorder = Recorder()
        self.connect("nowhere")
        self.recorder.sent = b""

    def _create_socket(self) -> Recorder:  # type: ignore[override]
        return self.recorder


def test_the_packet_of_the_specification() -> None:
    """MQTT 3.1.1, section 3.3.2.3 (topic a/b, packet identifier 10), with QoS 1 and without
    payload."""
    expected = bytes([0x32, 7, 0, 3, 0x61, 0x2F, 0x62, 0, 10])
    assert packets.publish("a/b", 0, 10, retained=False, five=False) == expected
    assert (
        packets.publish("a/b", 0, 10, retained=True, five=True)
        == bytes([0x33, 8]) + expected[2:] + b"\0"
    )


@pytest.mark.parametrize("five", [False, True], ids=["3.1.1", "5"])
@pytest.mark.parametrize("retained", [False, True])
@pytest.mark.parametrize(
    "size", [1, 100, 119, 120, 121, 16_374, 16_375, 16_376, 2_097_142, 2_097_143, 2_097_144]
)
def test_the_bytes_are_those_of_paho(five: bool, retained: bool, size: int) -> None:
    paho, payload = Paho(five), b"x" * size
    mid = paho.publish("东莞/b", payload, 1, retained).mid
    ours = packets.publish("东莞/b", size, mid, retained=retained, five=five) + payload
    assert ours == paho.recorder.sent


@pytest.mark.parametrize("length", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])
def test_a_length_is_read_as_it_is_written(length: int) -> None:
    """MQTT 3.1.1, table 2.4: the limits of one to four digits."""
    head = b"\x30" + packets._length(length)
    if length < 3_000_000:
        assert packets.span(head + bytes(length), 0) == (len(head), len(head) + length)
    assert packets.span(head, 0) == ((len(head), len(head)) if length == 0 else (0, 0))


@pytest.mark.parametrize("topic", ["", "a/+", "#", "x" * 65_536])
def test_what_is_no_topic_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        packets.publish(topic, 0, 1, retained=False, five=False)


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        packets.publish("a", 268_435_455, 1, retained=False, five=False)


def test_pubacks() -> None:
    """MQTT 5, section 3.4.2.1: a length of 2 means success; then a reason code, then properties."""
    assert packets.puback(b"\x40\x02\x12\x34", 2, 4, five=False) == (0x1234, 0)
    assert packets.puback(b"\x40\x03\x00\x01\x87", 2, 5, five=True) == (1, 0x87)
    assert packets.puback(b"\x40\x04\x00\x01\x10\x00", 2, 6, five=True) == (1, 0x10)


@pytest.mark.parametrize(
    ("body", "five"), [(b"", True), (b"\x01", True), (b"\0\1\x87", False), (b"", False)]
)
def test_a_puback_of_another_size_is_none(body: bytes, five: bool) -> None:
    with pytest.raises(ValueError, match="PUBACK"):
        packets.puback(body, 0, len(body), five=five)


def _one_by_one(data: bytes) -> tuple[int, ...]:
    """The ids of plain PUBACKs as the general way finds them; nothing when there is anything
    else."""
    found, at = [], 0
    while at < len(data):
        start, end = packets.span(data, at)
        if data[at] != packets.PUBACK or end - start != 2 or start - at != 2:
            return ()
        found.append(packets.puback(data, start, end, five=False)[0])
        at = end
    return tuple(found)


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b"", ()), (b"\x40\x02\x12\x34", (0x1234,)), (b"\x40\x02\x04\x00\x40\x02\x04\x01", (1024, 1025)),
        (b"\x40\x02\x04\x00\x40\x02\x04", ()), (b"\x40\x02\x04\x00\xd0\x00\xd0\x00", ()),
        (b"\x40\x03\x00\x01\x87\x40\x02\x00", ()), (b"\xd0\x00\xd0\x00", ()), (b"\x40\x04\x00\x01\x00\x00\x40\x02", ()),
    ],
)  # fmt: skip
def test_a_run_of_plain_pubacks_is_read_at_once(data: bytes, ids: tuple[int, ...]) -> None:
    assert packets.acknowledged(data) == ids


@given(
    st.lists(
        st.binary(max_size=6) | st.binary(min_size=2, max_size=2).map(b"\x40\x02".__add__)
    ).map(b"".join)
)
def test_what_is_read_at_once_is_what_is_read_one_by_one(data: bytes) -> None:
    assert packets.acknowledged(data) in ((), _one_by_one(data))
