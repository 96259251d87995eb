"""Where each tag is on *this* server, now: namespace URIs become indexes, browse paths become node
ids.

Done anew at every connect, because a server may come back with its namespace table in another
order.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.client.ua_session import UaSession
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.address import PathSegment, parse_node, parse_path
from connectors.opcua.binary import DecodeError
from connectors.opcua.browse import Browser
from connectors.opcua.faults import is_session_lost
from connectors.opcua.limits import OperationLimits, chunks
from connectors.opcua.namespaces import NamespaceTable
from connectors.opcua.options import OpcuaTag, tag_address, tag_options
from edge_agent.sdk import STATUS, Cause, TagTable, cause, cause_of_status, status_name

log = logging.getLogger(__name__)

_BAD_NO_MATCH: Final = 0x806F0000
_WHOLE_PATH: Final = 0xFFFFFFFF
"""RemainingPathIndex of a target to which all of the path was followed."""
#: Refusals that speak of the service and not of a path.
_NO_TRANSLATION: Final = frozenset(
    {
        0x800B0000,  # BadServiceUnsupported
        0x803D0000,  # BadNotSupported
        0x80400000,  # BadNotImplemented
        0x801F0000,  # BadUserAccessDenied
    }
)
#: Statuses of a node that is not there now and may be again, under this node id or another one.
GONE: Final = frozenset(
    {
        0x80330000,  # BadNodeIdInvalid
        0x80340000,  # BadNodeIdUnknown
        0x803E0000,  # BadNotFound
        0x803F0000,  # BadObjectDeleted
        0x80420000,  # BadMonitoredItemIdInvalid
        0x80350000,  # BadAttributeIdInvalid
    }
)
_NAMED: Final = 5
"""Tags that have a log line of their own, with where their path ends."""
_LISTED: Final = 20
"""Tags named in one log line."""
_WALKED: Final = 100
"""Paths that are walked at one time to see where they end."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The tags of a table that the server knows, and why the others are not among them."""

    positions: list[int]
    """Of the tags found, ascending."""
    nodes: list[ua.NodeId]
    """Aligned with `positions`."""
    missing: dict[int, int]
    """Position of a tag that is not there -> its status code."""

    def with_found(self, later: Resolved) -> Resolved:
        """This, and what was missing and is there now."""
        both = dict(zip(self.positions, self.nodes, strict=True)) | dict(
            zip(later.positions, later.nodes, strict=True)
        )
        order = sorted(both)
        return Resolved(order, [both[position] for position in order], later.missing)


class Resolver:
    """Finds tags on a connected server. A server without the translation of paths is browsed step
    by step."""

    def __init__(
        self, session: UaSession, namespaces: NamespaceTable, limits: OperationLimits
    ) -> None:
        self._session = session
        self._namespaces = namespaces
        self._limits = limits
        self._browser = Browser(session, namespaces)
        self._found: dict[int, ua.NodeId] = {}
        self._missing: dict[int, int] = {}

    async def resolve(self, table: TagTable, only: Collection[int]) -> Resolved:
        """Find the tags at these positions of a table. One that is not there, or cannot be looked
        for, costs nobody else: it gets BadNodeIdUnknown, or the server's own reason."""
        self._found = {}
        self._missing = {}
        paths: list[tuple[int, ua.BrowsePath]] = []
        steps_of: dict[int, tuple[PathSegment, ...]] = {}
        for position in only:
            options = tag_options(table.tags[position].where)
            if options.node is not None:
                node = self._namespaces.node(parse_node(options.node))
                if node is not None:
                    self._found[position] = node
            elif options.path is not None:
                steps_of[position] = steps = parse_path(options.path)
                path = self._namespaces.path(steps)
                if path is not None:
                    paths.append((position, path))
        waiting = list(chunks(paths, self._limits.paths))
        while waiting:
            await self._part(waiting, steps_of)
        for position in only:
            if position not in self._found:
                self._missing.setdefault(position, STATUS["BadNodeIdUnknown"])
        order = sorted(self._found)
        return Resolved(order, [self._found[position] for position in order], self._missing)

    async def _part(
        self,
        waiting: list[Sequence[tuple[int, ua.BrowsePath]]],
        steps_of: Mapping[int, tuple[PathSegment, ...]],
    ) -> None:
        """Translate the next part. A refusal of the call as a whole is narrowed down to the paths
        that it is about."""
        part = waiting.pop(0)
        try:
            await self._translate(part)
        except UaStatusCodeError as error:
            code = int(error.code)
            if is_session_lost(error):
                raise
            if len(part) > 1 and code not in _NO_TRANSLATION:
                half = len(part) // 2
                waiting[:0] = [part[:half], part[half:]]
                return
            await self._walk(part, steps_of, code)
        except DecodeError:
            await self._walk(part, steps_of, STATUS["BadDecodingError"])

    async def _translate(self, part: Sequence[tuple[int, ua.BrowsePath]]) -> None:
        results = await self._session.translate_browsepaths_to_nodeids([path for _, path in part])
        if len(results) != len(part):
            raise DecodeError(f"{len(results)} results for {len(part)} browse paths")
        for (position, _), result in zip(part, results, strict=True):
            whole = [
                target
                for target in result.Targets or ()
                if target.RemainingPathIndex == _WHOLE_PATH
            ]
            if result.StatusCode.is_good() and whole:
                target = whole[0].TargetId
                self._found[position] = ua.NodeId(
                    target.Identifier, target.NamespaceIndex, target.NodeIdType
                )
            elif result.StatusCode.is_bad() and result.StatusCode.value != _BAD_NO_MATCH:
                self._missing[position] = int(result.StatusCode.value)

    async def _walk(
        self,
        part: Sequence[tuple[int, ua.BrowsePath]],
        steps_of: Mapping[int, tuple[PathSegment, ...]],
        code: int,
    ) -> None:
        """Find these paths by browsing, after the translation was refused with `code`."""
        log.info("opcua-paths-browsed count=%d reason=%s", len(part), status_name(code))
        for position, _ in part:
            try:
                walked = await self._browser.walk(steps_of[position])
            except UaStatusCodeError as error:
                if is_session_lost(error):
                    raise
                self._missing[position] = code
            else:
                if walked.node is not None:
                    self._found[position] = walked.node


async def explained(
    browser: Browser,
    table: TagTable,
    before: Mapping[int, int],
    now: Mapping[int, int],
    known: Mapping[int, Cause],
) -> dict[int, Cause]:
    """Where the paths of missing tags end on this server and what stands there instead, by
    position.

    A cause that is known stays while nothing was found: a server that is wrong for ever is not
    browsed for ever.
    """
    changed = not before.keys() <= now.keys()
    causes: dict[int, Cause] = {}
    left = _WALKED
    for position in sorted(now):
        if table.tags[position].optional:
            continue
        if not changed and before.get(position) == now[position] and position in known:
            causes[position] = known[position]
        elif left > 0 and (changed or before.get(position) != now[position]):
            left -= 1
            why = await _explained(browser, tag_options(table.tags[position].where))
            if why is not None:
                causes[position] = why
    return causes


async def _explained(browser: Browser, options: OpcuaTag) -> Cause | None:
    if options.node is not None:
        namespace = parse_node(options.node).namespace
        return (
            None
            if browser.knows(namespace)
            else _without_namespace(str(namespace), browser.nearest_uris(namespace))
        )
    if options.path is None:
        return None
    try:
        walked = await browser.walk(parse_path(options.path))
    except UaStatusCodeError as error:
        if is_session_lost(error):
            raise
        return None
    if walked.namespace is not None:
        return _without_namespace(walked.namespace, walked.nearest)
    if walked.failed is None:
        return None
    facts = {"segment": walked.failed, "under": walked.under}
    if not walked.nearest:
        return cause("opcua_path_empty", **facts)
    return cause("opcua_path_ends", **facts, there=", ".join(walked.nearest))


def _without_namespace(uri: str, nearest: Sequence[str]) -> Cause:
    return cause("opcua_namespace_unknown", uri=uri, there=", ".join(nearest) or "-")


def report(
    table: TagTable,
    before: Mapping[int, int],
    now: Mapping[int, int],
    causes: Mapping[int, Cause] | None = None,
) -> None:
    """One log line for the tags that the server gives us again, and one a status for those it does
    not any more; of `causes`, by position, a few have a line of their own. (All are in `edge-agent
    status`.)"""
    causes = causes or {}
    found = sorted(at for at in before.keys() - now.keys() if not table.tags[at].optional)
    if found:
        log.info(
            "opcua-tags-found device=%s count=%s tags=%s",
            table.device,
            len(found),
            _listed(table, found),
        )
    refused: dict[int, list[int]] = {}
    named = 0
    for position, code in now.items():
        if before.get(position) == code or table.tags[position].optional:
            continue
        if position in causes and named < _NAMED:
            named += 1
            log.warning(
                "opcua-tag-refused device=%s tag=%s where=%s status=%s reason=%r",
                table.device,
                table.names[position],
                tag_address(table.tags[position].where),
                status_name(code),
                causes[position].en,
            )
        else:
            refused.setdefault(code, []).append(position)
    for code, positions in refused.items():
        log.warning(
            "opcua-tags-refused device=%s status=%s count=%s tags=%s reason=%r",
            table.device, status_name(code), len(positions), _listed(table, positions),
            cause_of_status(status_name(code)).en,
        )  # fmt: skip


def _listed(table: TagTable, positions: Sequence[int]) -> str:
    """The first tags and where they should be; all of them are in `edge-agent status` with their
    status."""
    listed = [
        f"{table.names[at]}({tag_address(table.tags[at].where)})" for at in positions[:_LISTED]
    ]
    return ",".join(listed) + (",..." if len(positions) > _LISTED else "")
