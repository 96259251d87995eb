"""Subscriptions and their monitored items, made on the server: one subscription per table."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.binary import DecodeError
from connectors.opcua.feed import Feed
from connectors.opcua.limits import TOO_MUCH, value_of_node
from connectors.opcua.options import OpcuaDevice
from connectors.opcua.resolve import Resolved
from connectors.opcua.session import Session
from edge_agent.sdk import Clock, TagTable

log = logging.getLogger(__name__)

_KEEP_ALIVE_S: Final = 1.0
"""A quiet subscription says so this often, at least at every publishing: staleness limits are seconds."""
_LIFETIME_S: Final = 30.0
"""The server forgets a subscription that nobody fetched from for this long."""
_MOST_PER_PUBLISH: Final = 10_000
_LEAST_QUEUE: Final = 10


def _publishing_ms(table: TagTable, options: OpcuaDevice) -> float:
    """The tags' period, but at most the keep-alive's: a slow tag must not make a dead server go unnoticed."""
    return min(table.every, _KEEP_ALIVE_S) * 1000 if options.publishing_ms is None else options.publishing_ms


def parameters(table: TagTable, options: OpcuaDevice, clock: Clock) -> ua.CreateSubscriptionParameters:
    """What to ask for: publishing interval, keep-alive about every second, life of half a minute."""
    publishing_s = _publishing_ms(table, options) / 1000
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
    """(sampling interval in ms, queue size): the queue holds twice what sampling yields between two publishings."""
    sampling_ms = table.every * 1000 if options.sampling_ms is None else options.sampling_ms
    wanted = math.ceil(2 * _publishing_ms(table, options) / sampling_ms) if sampling_ms else 0
    return clock.real(sampling_ms), options.queue or max(_LEAST_QUEUE, wanted)


async def create(
    session: Session, table: TagTable, options: OpcuaDevice, clock: Clock, callback: Callable[..., Any] | None
) -> Feed:
    """Create the subscription of a table. With a `callback` asyncua fetches its notifications, else we do."""
    wanted = parameters(table, options, clock)
    if callback is not None:
        made = await session.service.create_subscription(wanted, callback)
    else:
        request = ua.CreateSubscriptionRequest()
        request.Parameters = wanted
        answer = struct_from_binary(ua.CreateSubscriptionResponse, await session.service._send_request(request))
        answer.ResponseHeader.ServiceResult.check()
        made = answer.Parameters
    interval = float(made.RevisedPublishingInterval) / 1000
    if interval != wanted.RequestedPublishingInterval / 1000:
        log.info("opcua-publishing-revised device=%s every=%s s=%s", table.device, table.every, interval)
    return Feed(table, int(made.SubscriptionId), interval, interval * max(1, int(made.RevisedMaxKeepAliveCount)))


async def monitor(
    session: Session, feed: Feed, resolved: Resolved, options: OpcuaDevice, clock: Clock
) -> dict[int, int]:
    """Create monitored items for the tags found; position -> status of those missing or refused by the server."""
    interval, queue = sampling(feed.table, options, clock)
    items = [_item(at, node, interval, queue) for at, node in zip(resolved.positions, resolved.nodes, strict=True)]
    refused = dict(resolved.missing)
    size = session.limits.items
    done = 0
    while done < len(items):
        part = items[done : done + size]
        try:
            results = await _create_items(session, feed, part)
        except UaStatusCodeError as error:
            if int(error.code) not in TOO_MUCH or size <= 1:
                raise
            # The server meant less than it announced.
            size = max(1, len(part) // 2)
            continue
        for item, result in zip(part, results, strict=True):
            if not result.StatusCode.is_good():
                at = int(item.RequestedParameters.ClientHandle)
                refused[at] = int(result.StatusCode.value)
        done += len(part)
    return refused


async def _create_items(
    session: Session, feed: Feed, part: list[ua.MonitoredItemCreateRequest]
) -> list[ua.MonitoredItemCreateResult]:
    request = ua.CreateMonitoredItemsParameters(
        SubscriptionId=feed.subscription, TimestampsToReturn=ua.TimestampsToReturn.Both, ItemsToCreate=part
    )
    results = await session.service.create_monitored_items(request)
    if len(results) != len(part):
        raise DecodeError(f"{len(results)} results for {len(part)} monitored items")
    return results


def _item(handle: int, node: ua.NodeId, interval: float, queue: int) -> ua.MonitoredItemCreateRequest:
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=value_of_node(node),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=handle, SamplingInterval=interval, QueueSize=queue, DiscardOldest=True
        ),
    )
