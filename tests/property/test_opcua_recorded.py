"""The contract of both decoders over what three servers really answered: equal results, whole,
damaged and recombined.

asyncua keeps times in whole microseconds and node-opcua sends ten times that, so against asyncua
times are compared to the microsecond; to the last 100 ns they are compared with the reader of the
fuzz targets, which was written apart. That one also judges damaged bytes, strictly. asyncua does
not: it reads over the end of a structure into what follows, moves far dates to the year 9999, and
takes an index of a namespace for a signed number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua import stock
from connectors.opcua.binary import DecodeError
from connectors.opcua.columns import Columns
from connectors.opcua.messages import Published, ServiceFault, publish_response, read_response
from fuzz.targets import _opcua as apart
from tests.support.opcua_foreign import SERVERS
from tests.support.opcua_record import FOLDER, Recorded, load
from tests.support.opcua_server import KINDS

Decoded = Columns | Published | int
"""An int is the code of a fault."""

RESPONSES = [one for path in sorted(FOLDER.glob("*.jsonl")) for one in load(path)]
SHORT = [one for one in RESPONSES if len(one.body) < 700]
each = pytest.mark.parametrize("recorded", RESPONSES, ids=str)

_FAULT = ua.FourByteNodeId(ua.ObjectIds.ServiceFault_Encoding_DefaultBinary)
_DECODERS: dict[str, Callable[[bytes], Columns | Published]] = {
    "Read": read_response,
    "Publish": publish_response,
}


def ours(service: str, body: bytes) -> Decoded:
    """What the connector's own decoder says; raises DecodeError only."""
    try:
        return _DECODERS[service](body)
    except ServiceFault as fault:
        return fault.code


def theirs(service: str, body: bytes) -> Decoded:
    """What asyncua's decoder says, on the way its client takes; raises whatever it stumbles
    over."""
    if nodeid_from_binary(Buffer(body)) == _FAULT:
        head = Buffer(body)
        nodeid_from_binary(head)
        return int(struct_from_binary(ua.ResponseHeader, head).ServiceResult.value)
    kind: Any = ua.ReadResponse if service == "Read" else ua.PublishResponse
    response = struct_from_binary(kind, Buffer(body))
    try:
        response.ResponseHeader.ServiceResult.check()
    except UaStatusCodeError as error:
        return int(error.code)
    return (
        stock.columns(response.Results)
        if service == "Read"
        else stock.published(response.Parameters)
    )


def strict(service: str, body: bytes) -> Columns | apart.Publication | int | None:
    """What the reader written apart says; None where it refuses the bytes."""
    try:
        return apart.read(body) if service == "Read" else apart.publish(body)
    except apart.BrokenError:
        return None
    except apart.FaultError as fault:
        return int(fault.args[0])


def parts(decoded: Decoded | apart.Publication | None) -> Any:
    """Everything that is in it, types of the values included, to be compared."""
    if isinstance(decoded, Published):
        head = (
            decoded.subscription,
            decoded.sequence,
            list(decoded.available),
            decoded.ended,
            decoded.data,
        )
        return head, parts(decoded.changes)
    if isinstance(decoded, apart.Publication):
        head = (
            decoded.subscription,
            decoded.sequence,
            decoded.available,
            decoded.ended,
            bool(decoded.kinds),
        )
        return head, parts(decoded.changes)
    if isinstance(decoded, Columns):
        # repr: NaN equals itself and True is not 1
        return repr(decoded.values), decoded.status, decoded.source, decoded.handles
    return decoded


def whole_microseconds(decoded: Decoded) -> Decoded:
    """As much of the times as asyncua keeps."""
    if isinstance(decoded, Published):
        changes = decoded.changes and whole_microseconds(decoded.changes)
        assert changes is None or isinstance(changes, Columns)
        return replace(decoded, changes=changes)
    if isinstance(decoded, Columns):
        return replace(
            decoded, source=[None if t is None else t // 1000 * 1000 for t in decoded.source]
        )
    return decoded


def agree(service: str, body: bytes) -> None:
    """Our decoder and the reader written apart both refuse, or say the same."""
    expected = strict(service, body)
    try:
        found: Decoded | None = ours(service, body)
    except DecodeError:
        found = None
    assert parts(found) == parts(expected)


def test_opcua_three_servers_are_recorded() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SERVERS)
    assert len(SERVERS) == 3


@pytest.mark.parametrize("server", SERVERS)
def test_opcua_recordings_hold_what_the_contract_is_about(server: str) -> None:
    decoded = [(one, ours(one.service, one.body)) for one in RESPONSES if one.server == server]
    reads = [got for one, got in decoded if isinstance(got, Columns)]
    published = [got for one, got in decoded if isinstance(got, Published)]
    (every,) = [got for one, got in decoded if one.what == "all kinds, times: Both"]
    assert isinstance(every, Columns)
    got = dict(zip(KINDS, every.values[: len(KINDS)], strict=True))
    offered = [name for name, value in got.items() if value is not None]
    assert len(offered) >= 15
    assert [got[name] for name in offered] == [KINDS[name][2] for name in offered]
    assert {0x808C0000, 0x80340000} <= set(every.status.values())
    assert max(len(got.values) for got in reads) > 100
    assert any(None in got.source for got in reads)
    assert any(not got.data for got in published), "a keep-alive"
    assert any(
        got.changes and len(set(got.changes.handles)) < len(got.changes.handles)
        for got in published
    )


def test_opcua_recordings_hold_faults_and_the_end_of_a_subscription() -> None:
    decoded = [
        ours(one.service, one.body)
        for one in SHORT
        if one.what.startswith(("run out", "an unknown", "nothing"))
    ]
    assert {0x80790000, 0x80250000, 0x800F0000} <= {got for got in decoded if isinstance(got, int)}
    assert 0x800A0000 in {got.ended for got in decoded if isinstance(got, Published)}


@each
def test_opcua_both_decoders_say_the_same_of_a_recorded_response(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("our decoder called asyncua's")

    with monkeypatch.context() as without:
        for name in ("__init__", "read", "copy", "skip"):
            without.setattr(Buffer, name, refuse)
        found = ours(recorded.service, recorded.body)
    assert parts(whole_microseconds(found)) == parts(theirs(recorded.service, recorded.body))
    assert parts(found) == parts(strict(recorded.service, recorded.body))


def cut(recorded: Recorded) -> Iterator[bytes]:
    return (recorded.body[:size] for size in range(len(recorded.body)))


@each
def test_opcua_a_recorded_response_cut_anywhere_is_refused_by_both_readers_or_read_the_same(
    recorded: Recorded,
) -> None:
    for body in cut(recorded):
        agree(recorded.service, body)


@pytest.mark.parametrize("recorded", SHORT, ids=str)
def test_opcua_a_cut_response_never_means_two_things(recorded: Recorded) -> None:
    """Where only the end is missing that one decoder does not look at, what it gives is the whole
    response's."""
    expected = parts(whole_microseconds(ours(recorded.service, recorded.body)))
    for body in cut(recorded):
        for decoder, errors in ((ours, DecodeError), (theirs, Exception)):
            try:
                found = decoder(recorded.service, body)
            except errors:
                continue
            assert parts(whole_microseconds(found)) == expected


@given(
    st.sampled_from(RESPONSES),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_opcua_a_damaged_recording_is_refused_by_both_readers_or_read_the_same(
    recorded: Recorded, damage: list[tuple[float, int]]
) -> None:
    body = bytearray(recorded.body)
    for where, byte in damage:
        body[int(where * len(body))] = byte
    agree(recorded.service, bytes(body))


def _data_values() -> list[ua.DataValue]:
    """Every record of every Read response, decoded by asyncua."""
    reads = [
        one.body
        for one in RESPONSES
        if one.service == "Read" and isinstance(strict("Read", one.body), Columns)
    ]
    return [
        value
        for body in reads
        for value in struct_from_binary(ua.ReadResponse, Buffer(body)).Results
    ]


RECORDS = st.lists(st.tuples(st.sampled_from(_data_values()), st.integers(1, 5)), max_size=30).map(
    lambda runs: [value for value, times in runs for _ in range(times)]
)


@given(RECORDS)
def test_opcua_records_of_three_servers_in_any_order_are_read_the_same(
    values: list[ua.DataValue],
) -> None:
    response = ua.ReadResponse()
    response.Results = values
    body = struct_to_binary(response)
    assert parts(ours("Read", body)) == parts(theirs("Read", body))


@given(st.lists(RECORDS, max_size=3))
def test_opcua_records_of_three_servers_published_in_any_order_are_read_the_same(
    notifications: list[list[ua.DataValue]],
) -> None:
    response = ua.PublishResponse()
    for values in notifications:
        change = ua.DataChangeNotification()
        change.MonitoredItems = [
            ua.MonitoredItemNotification(at, value) for at, value in enumerate(values)
        ]
        response.Parameters.NotificationMessage.NotificationData.append(change)
    body = struct_to_binary(response)
    assert parts(ours("Publish", body)) == parts(theirs("Publish", body))
