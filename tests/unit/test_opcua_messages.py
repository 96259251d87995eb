"""Requests and responses against asyncua's encoding and the specification's."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_to_binary, struct_from_binary, struct_to_binary

from connectors.opcua.binary import DecodeError, node_id, variant
from connectors.opcua.messages import (
    ServiceFault,
    publish_request,
    publish_response,
    read_request,
    read_response,
)

NOW = datetime(2026, 11, 23, 8, 0, 0, 500_000, tzinfo=UTC)
NOW_NS = int(NOW.timestamp() * 1000) * 1_000_000
TOKEN = ua.NodeId(b"token-of-the-session", 0, ua.NodeIdType.ByteString)


@pytest.mark.parametrize(
    ("octets", "text"),
    [  # OPC 10000-6 §5.2.2.9: the examples of a String, a two-byte and a four-byte NodeId
        (b"\x03\x01\x00\x06\x00\x00\x00\x48\x6f\x74\xe6\xb0\xb4", "ns=1;s=Hot水"),
        (b"\x00\x48", "i=72"),
        (b"\x01\x05\x01\x04", "ns=5;i=1025"),
    ],
)
def test_opcua_node_ids_of_the_specification(octets: bytes, text: str) -> None:
    assert node_id(octets, 0) == (text, len(octets))


def test_opcua_guid_of_the_specification() -> None:
    # OPC 10000-6 §5.1.3 and §5.2.2.6: 72962B91-FA75-4AE6-8D28-B404DC7DAF63
    octets = bytes.fromhex("912b967275fae64a8d28b404dc7daf63")
    assert variant(b"\x0e" + octets, 0) == ("72962b91-fa75-4ae6-8d28-b404dc7daf63", 17)


def test_opcua_float_of_the_specification() -> None:
    # OPC 10000-6 §5.2.2.3: -6.5 as Float is 00 00 D0 C0
    assert variant(b"\x0a\x00\x00\xd0\xc0", 0) == (-6.5, 5)


def test_opcua_read_request_is_what_asyncua_would_send() -> None:
    nodes = [ua.NodeId("Speed", 2), ua.NodeId(2258), ua.NodeId(70000, 3)]
    request = ua.ReadRequest()
    request.RequestHeader.AuthenticationToken = TOKEN
    request.RequestHeader.Timestamp = NOW
    request.RequestHeader.RequestHandle = 1
    request.RequestHeader.TimeoutHint = 4000
    request.Parameters = ua.ReadParameters(
        MaxAge=0,
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        NodesToRead=[ua.ReadValueId(node, ua.AttributeIds.Value) for node in nodes],
    )
    ours = read_request(nodeid_to_binary(TOKEN), list(map(nodeid_to_binary, nodes)), 4000)
    theirs = struct_from_binary(ua.ReadRequest, Buffer(struct_to_binary(request)))
    assert struct_from_binary(ua.ReadRequest, Buffer(ours.at(NOW_NS))) == theirs


def test_opcua_requests_carry_the_time_at_which_they_are_sent() -> None:
    request = read_request(nodeid_to_binary(TOKEN), [], 4000)
    for later in (0, 10**9):
        sent = struct_from_binary(ua.ReadRequest, Buffer(request.at(NOW_NS + later)))
        assert sent.RequestHeader.Timestamp.timestamp() == NOW.timestamp() + later / 1e9


def test_opcua_publish_request_acknowledges() -> None:
    body = publish_request(nodeid_to_binary(TOKEN), [(7, 1), (8, 4_000_000_000)]).at(NOW_NS)
    sent = struct_from_binary(ua.PublishRequest, Buffer(body))
    acks = [
        (ack.SubscriptionId, ack.SequenceNumber)
        for ack in sent.Parameters.SubscriptionAcknowledgements
    ]
    assert acks == [(7, 1), (8, 4_000_000_000)]
    assert sent.RequestHeader.AuthenticationToken == TOKEN
    assert sent.RequestHeader.TimeoutHint == 0


def fault(code: int, response: type = ua.ServiceFault) -> bytes:
    made = response()
    made.ResponseHeader.ServiceResult = ua.StatusCode(code)
    return struct_to_binary(made)


@pytest.mark.parametrize("decode", [read_response, publish_response])
def test_opcua_a_service_fault_keeps_its_code(decode: object) -> None:
    assert callable(decode)
    for response in (ua.ServiceFault, ua.ReadResponse, ua.PublishResponse):
        with pytest.raises(ServiceFault) as found:
            decode(fault(0x80250000, response))
        assert found.value.code == 0x80250000


def test_opcua_another_services_response_is_refused() -> None:
    with pytest.raises(DecodeError):
        read_response(struct_to_binary(ua.PublishResponse()))
    with pytest.raises(DecodeError):
        publish_response(struct_to_binary(ua.ReadResponse()))


def test_opcua_a_header_with_diagnostics_and_strings_is_read_over() -> None:
    response = ua.ReadResponse()
    response.ResponseHeader.ServiceDiagnostics = ua.DiagnosticInfo(
        SymbolicId=1, AdditionalInfo="more", InnerStatusCode=ua.StatusCode(0x80000000)
    )  # fmt: skip
    response.ResponseHeader.StringTable = ["a", "二"]
    response.ResponseHeader.AdditionalHeader = ua.EUInformation()
    response.Results = [ua.DataValue(ua.Variant(1.5))]
    assert read_response(struct_to_binary(response)).values == [1.5]


def test_opcua_status_changes_end_a_subscription_and_events_are_passed_over() -> None:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    message = response.Parameters.NotificationMessage
    message.NotificationData = [
        ua.EventNotificationList(),
        ua.StatusChangeNotification(ua.StatusCode(0x800A0000)),
    ]
    found = publish_response(struct_to_binary(response))
    assert (found.subscription, found.ended, found.data, found.changes) == (
        7,
        0x800A0000,
        True,
        None,
    )


def test_opcua_a_keep_alive_has_no_data() -> None:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 7
    response.Parameters.NotificationMessage.SequenceNumber = 12
    found = publish_response(struct_to_binary(response))
    assert (found.sequence, found.data, found.changes, found.ended) == (12, False, None, None)


def test_opcua_text_that_is_not_utf8_does_not_break_a_store() -> None:
    gbk = "程序".encode("gbk")
    value, _ = variant(b"\x0c" + struct.pack("<i", len(gbk)) + gbk, 0)
    assert value.encode("utf-8")
