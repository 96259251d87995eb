"""Our decoder against asyncua's over generated responses, and against bytes that mean nothing."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua import stock
from connectors.opcua.binary import UNSUPPORTED, DecodeError, Structure
from connectors.opcua.columns import Columns
from connectors.opcua.messages import Published, ServiceFault, publish_response, read_response

INTEGERS = {"SByte": 8, "Int16": 16, "Int32": 32, "Int64": 64}
UNSIGNED = {"Byte": 8, "UInt16": 16, "UInt32": 32, "UInt64": 64}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TIMES = st.datetimes(datetime(1602, 1, 1), datetime(9990, 1, 1), timezones=st.just(UTC))
INDEX = st.integers(0, 9)
NODE_IDS = st.one_of(
    st.builds(lambda i, n: ua.NodeId(i, n), st.integers(0, 2**32 - 1), INDEX),
    st.builds(lambda s, n: ua.NodeId(s, n), TEXT.filter(bool), INDEX),
    st.builds(lambda g, n: ua.NodeId(g, n), st.uuids(), INDEX),
    st.builds(
        lambda b, n: ua.NodeId(b, n, ua.NodeIdType.ByteString),
        st.binary(min_size=1, max_size=9),
        INDEX,
    ),
)

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Boolean": st.booleans(),
    **{
        name: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        for name, bits in INTEGERS.items()
    },
    **{name: st.integers(0, 2**bits - 1) for name, bits in UNSIGNED.items()},
    "Float": st.floats(width=32, allow_nan=False),
    "Double": st.floats(allow_nan=False),
    "String": st.one_of(TEXT, st.none()),
    "DateTime": TIMES,
    "Guid": st.uuids(),
    "ByteString": st.one_of(st.binary(max_size=12), st.none()),
    "NodeId": NODE_IDS,
    "StatusCode": st.builds(ua.StatusCode, st.integers(0, 2**32 - 1)),
    "QualifiedName": st.builds(lambda s, n: ua.QualifiedName(s, n), TEXT, st.integers(0, 9)),
    "LocalizedText": st.builds(
        lambda t, loc: ua.LocalizedText(t, loc), TEXT, st.sampled_from(["", "zh", "en-US"])
    ),
    "ExtensionObject": st.just(ua.EUInformation()),
}


@st.composite
def variants(draw: st.DrawFn) -> ua.Variant:
    name = draw(st.sampled_from(sorted(SCALARS)))
    kind = ua.VariantType[name]
    if draw(st.integers(0, 9)) == 0:
        return ua.Variant()
    if draw(st.integers(0, 3)) > 0:
        value = draw(SCALARS[name])
        return (
            ua.Variant(value, kind, is_array=False)
            if value is not None
            else ua.Variant("", ua.VariantType.String)
        )
    values = draw(st.lists(SCALARS[name].filter(lambda v: v is not None), max_size=4))
    if len(values) == 4 and draw(st.booleans()):
        return ua.Variant([values[:2], values[2:]], kind, [2, 2], is_array=True)
    return ua.Variant(values, kind, is_array=True)


@st.composite
def data_values(draw: st.DrawFn) -> ua.DataValue:
    return ua.DataValue(
        draw(variants()),
        draw(
            st.sampled_from(
                [None, ua.StatusCode(0), ua.StatusCode(0x80340000), ua.StatusCode(0x40900480)]
            )
        ),
        SourceTimestamp=draw(st.one_of(st.none(), TIMES)),
        ServerTimestamp=draw(st.one_of(st.none(), TIMES)),
    )


def responses(values: Sequence[ua.DataValue]) -> bytes:
    response = ua.ReadResponse()
    response.Results = list(values)
    return struct_to_binary(response)


def same(ours: Columns, theirs: Columns) -> None:
    assert [(type(v), v) for v in ours.values] == [(type(v), v) for v in theirs.values]
    assert (ours.status, ours.source, ours.handles) == (
        theirs.status,
        theirs.source,
        theirs.handles,
    )


@given(st.lists(data_values(), max_size=12))
def test_opcua_both_decoders_give_the_same_columns_of_a_read_response(
    values: list[ua.DataValue],
) -> None:
    body = responses(values)
    same(
        read_response(body),
        stock.columns(struct_from_binary(ua.ReadResponse, Buffer(body)).Results),
    )


@given(
    st.sampled_from(sorted({**INTEGERS, **UNSIGNED, "Boolean": 1, "Float": 32, "Double": 64})),
    st.data(),
)
def test_opcua_long_runs_of_one_layout_broken_by_others(name: str, data: st.DataObject) -> None:
    run = [
        ua.DataValue(ua.Variant(v, ua.VariantType[name]))
        for v in data.draw(st.lists(SCALARS[name], min_size=1))
    ]
    values = run * 40 + data.draw(st.lists(data_values(), max_size=3)) + run * 20
    body = responses(values)
    same(
        read_response(body),
        stock.columns(struct_from_binary(ua.ReadResponse, Buffer(body)).Results),
    )


def test_opcua_a_status_stays_with_its_value_where_runs_of_single_precision_meet() -> None:
    def single(status: int | None) -> ua.DataValue:
        return ua.DataValue(
            ua.Variant(0.1, ua.VariantType.Float), None if status is None else ua.StatusCode(status)
        )

    values = [
        ua.DataValue(ua.Variant()),
        *map(single, (None, None, 0x80340000, 0, None, 0x40900000)),
    ]
    columns = read_response(responses(values))
    assert columns.values == [None, *[0.1] * 6]
    assert columns.status == {3: 0x80340000, 6: 0x40900000}


@given(
    st.lists(st.lists(data_values(), max_size=8), max_size=3),
    st.integers(1, 2**32 - 1),
    st.lists(INDEX),
)
def test_opcua_both_decoders_give_the_same_publish_response(
    notifications: list[list[ua.DataValue]], sequence: int, available: list[int]
) -> None:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.AvailableSequenceNumbers = available
    message = response.Parameters.NotificationMessage
    message.SequenceNumber = sequence
    for values in notifications:
        change = ua.DataChangeNotification()
        change.MonitoredItems = [
            ua.MonitoredItemNotification(i, value) for i, value in enumerate(values)
        ]
        message.NotificationData.append(change)
    body = struct_to_binary(response)
    ours = publish_response(body)
    theirs = stock.published(struct_from_binary(ua.PublishResponse, Buffer(body)).Parameters)
    assert (ours.subscription, ours.sequence, list(ours.available), ours.data) == (
        theirs.subscription, theirs.sequence, list(theirs.available), theirs.data,
    )  # fmt: skip
    if notifications:
        assert ours.changes is not None
        assert theirs.changes is not None
        same(ours.changes, theirs.changes)


def decode(body: bytes) -> Columns | Published | None:
    """Either decoder, with only the errors they may raise let through as nothing."""
    out: Columns | Published | None = None
    for decoder in (read_response, publish_response):
        try:
            out = decoder(body)
        except (DecodeError, ServiceFault):
            continue
    return out


@given(st.binary(max_size=300))
def test_opcua_arbitrary_bytes_never_crash(body: bytes) -> None:
    decode(body)


HEADER = {634: b"\x01\x00\x7a\x02", 829: b"\x01\x00\x3d\x03"}
EMPTY_HEADER = bytes(8 + 4 + 4 + 1) + b"\xff\xff\xff\xff" + bytes(3)


@given(st.sampled_from([634, 829]), st.binary(max_size=300))
def test_opcua_arbitrary_parameters_never_crash(number: int, body: bytes) -> None:
    decode(HEADER[number] + EMPTY_HEADER + body)


@given(st.lists(data_values(), min_size=1, max_size=6), st.data())
def test_opcua_damaged_responses_never_crash(
    values: list[ua.DataValue], data: st.DataObject
) -> None:
    body = bytearray(responses(values))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    decode(bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize(
    "bomb",
    [
        struct.pack("<i", 1)
        + b"\x01\x80"
        + struct.pack("<i", 2**31 - 1),  # an array of two thousand million nulls
        struct.pack("<i", 1)
        + b"\x01\x8b"
        + struct.pack("<i", 2**31 - 1),  # doubles that are not there
        struct.pack("<i", 2**31 - 1),  # values that are not there
        struct.pack("<i", 1)
        + b"\x01\x98"
        + struct.pack("<i", 1)
        + b"\x98\x01\x00\x00\x00" * 200
        + b"\x00" * 9,
        struct.pack("<i", 1) + b"\x01\x17" + b"\x01\x17" * 500,  # DataValues in DataValues
        struct.pack("<i", 1) + b"\x01\x19" + b"\x40" * 500,  # diagnostics in diagnostics
    ],
)
def test_opcua_bombs_are_refused_at_once(bomb: bytes) -> None:
    with pytest.raises(DecodeError):
        read_response(HEADER[634] + EMPTY_HEADER + bomb)


def test_opcua_picoseconds_follow_their_timestamp() -> None:
    # OPC 10000-6 §5.2.2.17: Value, Status, SourceTimestamp, SourcePicoSeconds, ServerTimestamp,
    # ServerPicoSeconds. asyncua 2.1 has both times first, so this order cannot be compared with it.
    ticks = 116_444_736_000_000_000 + 10_000_000
    one = b"\x3f\x06" + struct.pack("<iIqHqH", -5, 0x40900000, ticks, 7, ticks + 1, 9)
    body = HEADER[634] + EMPTY_HEADER + struct.pack("<i", 3) + one * 3 + b"\xff\xff\xff\xff"
    out = read_response(body)
    assert (out.values, out.source) == ([-5] * 3, [1_000_000_000] * 3)
    assert out.status == dict.fromkeys(range(3), 0x40900000)


def test_opcua_the_servers_time_stands_in_for_the_sources() -> None:
    moment = datetime(2026, 11, 23, 8, tzinfo=UTC)
    value = ua.Variant(1.5, ua.VariantType.Double)
    out = read_response(
        responses([ua.DataValue(value, ServerTimestamp=moment + timedelta(seconds=1))] * 2)
    )
    assert out.source == [int(moment.timestamp() + 1) * 10**9] * 2


def test_opcua_structures_are_marked_and_their_neighbours_read() -> None:
    values = [1.5, ua.BuildInfo(), uuid.UUID(int=5)]
    out = read_response(responses([ua.DataValue(ua.Variant(v)) for v in values]))
    assert out.values == [1.5, Structure("i=340"), str(uuid.UUID(int=5))]


STRUCTURES = [
    (ua.Range(-5.0, 120.5), {"low": -5.0, "high": 120.5}),
    (
        ua.EUInformation(
            "http://www.opcfoundation.org/UA/units/un/cefact", 4408652, ua.LocalizedText("°C", "de")
        ),
        {
            "namespaceUri": "http://www.opcfoundation.org/UA/units/un/cefact",
            "unitId": 4408652,
            "displayName": "°C",
            "description": "",
        },
    ),
    (
        ua.Argument(Name="depth", DataType=ua.NodeId(11), ValueRank=1, ArrayDimensions=[3]),
        {
            "name": "depth",
            "dataType": "i=11",
            "valueRank": 1,
            "arrayDimensions": [3],
            "description": "",
        },
    ),
]


@pytest.mark.parametrize(
    ("value", "fields"), STRUCTURES, ids=["Range", "EUInformation", "Argument"]
)
def test_opcua_structures_that_describe_values_are_read_by_both_decoders(
    value: Any, fields: dict[str, Any]
) -> None:
    body = responses([ua.DataValue(ua.Variant(value)), ua.DataValue(ua.Variant([value, value]))])
    ours = read_response(body)
    assert [ours.values[0].fields, [each.fields for each in ours.values[1]]] == [
        fields,
        [fields, fields],
    ]
    same(ours, stock.columns(struct_from_binary(ua.ReadResponse, Buffer(body)).Results))


def test_opcua_single_precision_is_the_shortest_decimal_in_both_decoders() -> None:
    wanted = [230.7, 0.1, -1e-7, 3.4e38, 71687208.0, 16777216.0, 1e20, 0.0, float("inf")] * 3
    both = [ua.DataValue(ua.Variant(value, ua.VariantType.Float)) for value in wanted]
    both.append(ua.DataValue(ua.Variant([230.7, 0.2], ua.VariantType.Float)))
    body = responses(both)
    ours = read_response(body)
    assert ours.values == [*wanted, [230.7, 0.2]]
    same(ours, stock.columns(struct_from_binary(ua.ReadResponse, Buffer(body)).Results))


def test_opcua_an_array_of_arrays_is_marked_by_both_decoders() -> None:
    # A list in a list has no place in a data document: the ingest would refuse it with all its
    # neighbours.
    inner = ua.Variant([1, 2], ua.VariantType.Int32, is_array=True)
    body = responses(
        [ua.DataValue(ua.Variant([inner, inner], ua.VariantType.Variant, is_array=True))]
    )
    ours = read_response(body)
    assert ours.values == [UNSUPPORTED]
    same(ours, stock.columns(struct_from_binary(ua.ReadResponse, Buffer(body)).Results))


@pytest.mark.parametrize("times", [[0, 0], [0, 10**17], [10**17, 0, 10**17], [10**17, -1]])
def test_opcua_a_source_time_of_zero_is_none_in_runs_as_alone(times: list[int]) -> None:
    server = 134_000_000_000_000_000
    records = b"".join(b"\x0d\x0b" + struct.pack("<dqq", 1.0, ticks, server) for ticks in times)
    out = read_response(
        HEADER[634] + EMPTY_HEADER + struct.pack("<i", len(times)) + records + b"\xff\xff\xff\xff"
    )
    expected = [
        ((ticks if ticks > 0 else server) - 116_444_736_000_000_000) * 100 for ticks in times
    ]
    assert out.source == expected
