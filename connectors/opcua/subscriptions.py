"""Subscriptions and their monitored items, made on the server: a subscription per table, where it
grants so many."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.binary import DecodeError
from connectors.opcua.faults import is_session_lost
from connectors.opcua.limits import TOO_MUCH, chunks, value_of_node
from connectors.opcua.monitored_table import GrantedSubscription, MonitoredTable
from connectors.opcua.options import OpcuaDevice
from connectors.opcua.resolve import Resolved
from connectors.opcua.session import OpcuaSession
from edge_agent.sdk import Clock, TagTable

log = logging.getLogger(__name__)

_KEEP_ALIVE_S: Final = 1.0
"""A quiet subscription says so this often, at least at every publishing: staleness limits are
seconds."""
_LIFETIME_S: Final = 30.0
"""The server forgets a subscription that nobody fetched from for this long."""
_MOST_PER_PUBLISH: Final = 10_000
_LEAST_QUEUE: Final = 10


def publishing_ms(table: TagTable, options: OpcuaDevice) -> float:
    """The tags' period, but at most the keep-alive's: a slow tag must not make a dead server go
    unnoticed."""
    return (
        min(table.every, _KEEP_ALIVE_S) * 1000
        if options.publishing_ms is None
        else options.publishing_ms
    )


def parameters(
    table: TagTable, options: OpcuaDevice, clock: Clock
) -> ua.CreateSubscriptionParameters:
    """What to ask for: publishing interval, keep-alive about every second, life of half a
    minute."""
    publishing_s = publishing_ms(table, options) / 1000
    interval = max(clock.real(publishing_s), 0.001)
    keep_alive = max(1, math.ceil(_KEEP_ALIVE_S / interval))
    return ua.CreateSubscriptionParameters(
        RequestedPublishingInterval=interval * 1000,
        RequestedMaxKeepAliveCount=keep_alive,
        RequestedLifetimeCount=max(3 * keep_alive, math.ceil(_LIFETIME_S / interval)),
        MaxNotificationsPerPublish=_MOST_PER_PUBLISH,
        PublishingEnabled=True,
    )


def sampling(table: TagTable, options: OpcuaDevice, clock: Clock) -> tuple[float, int]:
    """(sampling interval in ms, queue size): the queue holds twice what sampling yields between two
    publishings."""
    sampling_ms = table.every * 1000 if options.sampling_ms is None else options.sampling_ms
    wanted = math.ceil(2 * publishing_ms(table, options) / sampling_ms) if sampling_ms else 0
    return clock.real(sampling_ms), options.queue or max(_LEAST_QUEUE, wanted)


async def create(
    session: OpcuaSession,
    table: TagTable,
    options: OpcuaDevice,
    clock: Clock,
    callback: Callable[..., Any] | None,
) -> GrantedSubscription:
    """Create a subscription for a table. With a `callback` asyncua fetches its notifications, else
    we do.

    Raises UaStatusCodeError when the server grants none."""
    wanted = parameters(table, options, clock)
    if callback is not None:
        made = await session.service.create_subscription(wanted, callback)
    else:
        request = ua.CreateSubscriptionRequest()
        request.Parameters = wanted
        answer = struct_from_binary(
            ua.CreateSubscriptionResponse, await session.service._send_request(request)
        )
        answer.ResponseHeader.ServiceResult.check()
        made = answer.Parameters
    interval = float(made.RevisedPublishingInterval) / 1000
    if interval != wanted.RequestedPublishingInterval / 1000:
        log.info(
            "opcua-publishing-revised device=%s every=%s s=%s", table.device, table.every, interval
        )
    keep_alive = interval * max(1, int(made.RevisedMaxKeepAliveCount))
    return GrantedSubscription(int(made.SubscriptionId), interval, keep_alive)


async def monitor(
    session: OpcuaSession,
    subscription: GrantedSubscription,
    feed: MonitoredTable,
    resolved: Resolved,
    options: OpcuaDevice,
    clock: Clock,
) -> dict[int, int]:
    """Create monitored items for the tags found; position -> status of those missing or refused by
    the server."""
    interval, queue = sampling(feed.table, options, clock)
    first = feed.first_handle
    items = [
        _item(first + at, node, interval, queue)
        for at, node in zip(resolved.positions, resolved.nodes, strict=True)
    ]
    refused = dict(resolved.missing)
    size = session.limits.items
    done = 0
    while done < len(items):
        part = items[done : done + size]
        try:
            results = await _create_items(session, subscription, part)
        except UaStatusCodeError as error:
            if int(error.code) not in TOO_MUCH or size <= 1:
                raise
            # The server meant less than it announced.
            size = max(1, len(part) // 2)
            continue
        for item, result in zip(part, results, strict=True):
            at = int(item.RequestedParameters.ClientHandle) - first
            if result.StatusCode.is_good():
                feed.items[at] = int(result.MonitoredItemId)
                feed.sampling_s = max(feed.sampling_s, float(result.RevisedSamplingInterval) / 1000)
            else:
                refused[at] = int(result.StatusCode.value)
        done += len(part)
    return refused


async def discard(
    session: OpcuaSession,
    subscription: GrantedSubscription,
    feed: MonitoredTable,
    positions: Sequence[int],
) -> None:
    """Delete the monitored items of these tags; one that the server has forgotten is no matter."""
    numbers = [feed.items[position] for position in positions if feed.items[position]]
    for position in positions:
        feed.items[position] = 0
    for part in chunks(numbers, session.limits.items):
        request = ua.DeleteMonitoredItemsParameters(subscription.number, list(part))
        try:
            await session.service.delete_monitored_items(request)
        except UaStatusCodeError as error:
            if is_session_lost(error):
                raise
            log.debug("opcua-discard device=%s error=%s", feed.table.device, error)


async def _create_items(
    session: OpcuaSession,
    subscription: GrantedSubscription,
    part: list[ua.MonitoredItemCreateRequest],
) -> list[ua.MonitoredItemCreateResult]:
    request = ua.CreateMonitoredItemsParameters(
        SubscriptionId=subscription.number,
        TimestampsToReturn=ua.TimestampsToReturn.Both,
        ItemsToCreate=part,
    )
    results = await session.service.create_monitored_items(request)
    if len(results) != len(part):
        raise DecodeError(f"{len(results)} results for {len(part)} monitored items")
    return results


def _item(
    handle: int, node: ua.NodeId, interval: float, queue: int
) -> ua.MonitoredItemCreateRequest:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=value_of_node(node),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=handle, SamplingInterval=interval, QueueSize=queue, DiscardOldest=True
        ),
    )
