"""All workers of an agent: who reads what, and what they amount to together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edge_agent.app.agent.fleet import Change
from edge_agent.app.agent.leftovers import client_of
from edge_agent.app.agent.shares import divided, weights
from edge_agent.app.agent.whole import Document, absent
from edge_agent.app.values.current import merge_documents, tag_names, unreadable
from edge_agent.app.values.names import selected
from edge_agent.app.workers.hand import Hand
from edge_agent.app.workers.spread import homes, rate
from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Plugins
from edge_agent.health.agent import Facts
from edge_agent.outbox.folders import folder_of

log = logging.getLogger(__name__)

Devices = tuple[DeviceCommon, ...]


class Crew:
    """Workers 1 to `site.agent.workers`, each with its devices, its outbox and its share of the outbox's bound."""

    def __init__(self, site: Site, plugins: Plugins, held: Mapping[int, int], closed: int, level: str) -> None:
        """`held`: bytes in the outbox of the agent (0) and of each worker; `closed`: in those of former workers."""
        self._site = site
        self._plugins = plugins
        self._homes = homes(site.devices, plugins, site.agent.workers)
        parts = _parts(site.devices, self._homes)
        limits = self._divided(held, closed)
        self.own_limit = limits[0]
        self.hands = [
            Hand(worker, _part(site, worker, parts.get(worker, ()), limits[worker]), plugins, level)
            for worker in range(1, site.agent.workers + 1)
        ]

    async def run(self) -> None:
        """Keep all of them alive until cancelled."""
        async with asyncio.TaskGroup() as group:
            for hand in self.hands:
                group.create_task(hand.keep(), name=f"worker {hand.number}")

    async def stop(self, limit: float) -> None:
        """Have all of them end in order, within so many seconds; who does not is killed when `run` is cancelled."""
        try:
            async with asyncio.timeout(limit):
                await asyncio.gather(*(hand.stop() for hand in self.hands))
        except TimeoutError:
            log.error("workers-late")

    def stalled(self) -> list[str]:
        """What takes no step: connections, or the workers when none of them answers.

        One that does not answer is killed and started again here; the service manager would end the others with it.
        """
        if all(hand.silent() for hand in self.hands):
            return [f"worker {hand.number}" for hand in self.hands]
        return [name for hand in self.hands for name in hand.stalled()]

    def pending_from(self) -> dict[str, int]:
        """The streams that the workers hold, each with the number from which on something may be pending; as last
        reported."""
        found: dict[str, int] = {}
        for hand in self.hands:
            if hand.beat is not None:
                found |= hand.beat.pending_from
        return found

    def figures(self) -> list[Document]:
        """The counters of all of them."""
        return [one for hand in self.hands for one in hand.figures()]

    def processes(self) -> list[Document]:
        """What each holds of the machine, as last told."""
        return [hand.beat.process for hand in self.hands if hand.beat is not None and hand.state == "up"]

    def facts(self) -> list[Facts]:
        """What each knows of itself."""
        return [hand.facts() for hand in self.hands]

    def numbers(self, state: str) -> list[int]:
        """The workers in this state: `starting`, `up` or `down`."""
        return [hand.number for hand in self.hands if hand.state == state]

    @property
    def connected(self) -> bool:
        """Whether every worker has its broker."""
        return all(hand.state == "up" and hand.beat is not None and hand.beat.connected for hand in self.hands)

    def ack_age(self) -> float | None:
        """Seconds since the last PUBACK, of the worker that waits longest; None before the first of all."""
        ages = [hand.beat.ack_age for hand in self.hands if hand.beat is not None and hand.beat.ack_age is not None]
        return max(ages, default=None)

    async def refresh(self) -> None:
        """Ask every worker for its status, so that `rows` and `figures` are of now."""
        await asyncio.gather(*(hand.status() for hand in self.hands if hand.state == "up"))

    async def values(self, names: Sequence[str] = (), *, raw: bool = False) -> dict[str, Any]:
        """The newest values of the tags that `names` mean, from the workers that read them.

        Raises FindingsError for a name that means none.
        """
        agent, devices = self._site.agent.id, {device.id: device for device in self._site.devices}
        known = {name: tag_names(device, self._plugins[device.connector]) for name, device in devices.items()}
        tags = selected(names, dict.fromkeys(known, agent), known)
        shares: dict[int, dict[str, list[str]]] = {}
        for name, wanted in tags.items():
            shares.setdefault(self._homes[name], {})[name] = wanted
        asked = [hand for hand in self.hands if hand.number in shares]
        answers = await asyncio.gather(*(hand.values(shares[hand.number], ask=raw) for hand in asked))
        parts: list[dict[str, Any]] = []
        for hand, answer in zip(asked, answers, strict=True):
            if answer is not None:
                parts.append(answer)
                continue
            reason = "starting" if hand.state == "starting" else "worker_down"
            parts += [unreadable(agent, devices[name], tags[name], reason) for name in shares[hand.number]]
        return merge_documents(agent, list(devices), parts)

    def rows(self, *, over: bool = False) -> list[Document]:
        """Every device of the site, in the order of the file, as last told. `over`: the workers have ended in order."""
        by_number = {hand.number: hand for hand in self.hands}
        rows: list[Document] = []
        for device in self._site.devices:
            hand = by_number[self._homes[device.id]]
            row = hand.row(device.id)
            known = row is not None and (over or hand.state == "up")
            told = row if row is not None and known else absent(device.id, row, down=hand.state == "down")
            rows.append({**told, "worker": hand.number})
        return rows

    def workers(self) -> list[dict[str, Any]]:
        """One row a worker."""
        devices = _parts(self._site.devices, self._homes)
        return [
            {
                "worker": hand.number,
                "state": hand.state,
                "pid": hand.pid,
                "restarts": hand.restarts,
                "devices": len(devices.get(hand.number, ())),
                "streams": list(hand.beat.pending_from) if hand.beat is not None else [],
                "pending_values": sum(one["outbox"]["pending_values"] for one in hand.figures()),
                "bytes": hand.held or 0,
                "limit_bytes": hand.limit,
            }
            for hand in self.hands
        ]

    async def share(self, others: Mapping[int, int], closed: int) -> Mapping[int, int]:
        """Divide the outbox's bound anew, by what everyone holds now; `others`: the agent (0) and former workers.

        Returns what those may hold; nothing, and all is left as it was, while a worker is away.
        """
        held = {hand.number: hand.held for hand in self.hands}
        known = {number: bytes_ for number, bytes_ in held.items() if bytes_ is not None}
        if len(known) < len(held):
            return {}
        limits = self._divided({**others, **known}, closed)
        for down in (True, False):  # those that give first
            changing = [hand for hand in self.hands if (limits[hand.number] < hand.limit) is down]
            await asyncio.gather(*(hand.resize(limits[hand.number]) for hand in changing))
        return {one: limits[one] for one in others}

    async def apply(self, site: Site) -> Change:
        """Become what `site` says; only workers whose devices changed are asked, and of them only those are touched.

        A device that moves leaves its old worker before the new one connects: many a PLC takes one connection only.
        """
        before, known = self._homes, {device.id: device for device in self._site.devices}
        self._homes = after = homes(site.devices, self._plugins, self._site.agent.workers, before)
        self._site = self._site.model_copy(update={"devices": site.devices})
        moved = {name for name, worker in after.items() if before.get(name, worker) != worker}
        arrived = tuple(device for device in site.devices if before.get(device.id) != after[device.id])
        parts = _parts(site.devices, after)
        losing = {before[name] for name in moved}
        first = {worker: _without(parts.get(worker, ()), moved) for worker in losing}
        reopened = await self._apply(first, arrived, after) if moved else []
        reopened += await self._apply({hand.number: parts.get(hand.number, ()) for hand in self.hands}, arrived, after)
        both = [device for device in site.devices if device.id in known]
        changed = [device.id for device in both if device != known[device.id]]
        return Change(
            added=[device.id for device in site.devices if device.id not in known],
            changed=changed,
            removed=[name for name in known if name not in after],
            reopened=list(dict.fromkeys(reopened)),
            unchanged=len(both) - len(changed),
            moved=[name for name in after if name in moved],
        )

    async def retry(self) -> list[str]:
        """Have all of them try again at once whatever is not well."""
        return [key for keys in await asyncio.gather(*(hand.retry() for hand in self.hands)) for key in keys]

    async def confirm(self) -> list[str]:
        """Accept the devices of every worker as they answer now; those that had been doubted."""
        return [name for names in await asyncio.gather(*(hand.confirm() for hand in self.hands)) for name in names]

    async def _apply(self, parts: Mapping[int, Devices], arrived: Devices, after: Mapping[str, int]) -> list[str]:
        asked = []
        for hand in self.hands:
            if hand.number in parts:
                elsewhere = tuple(device for device in arrived if after[device.id] != hand.number)
                if elsewhere or parts[hand.number] != hand.site.devices:
                    asked.append(hand.apply(parts[hand.number], elsewhere))
        return [key for keys in await asyncio.gather(*asked) for key in keys]

    def _divided(self, held: Mapping[int, int], closed: int) -> dict[int, int]:
        rates = dict.fromkeys(range(1, self._site.agent.workers + 1), 0.0)
        for device in self._site.devices:
            rates[self._homes[device.id]] += rate(device)
        return divided(self._site.outbox.max_bytes, held, weights(rates), closed)


def _parts(devices: Iterable[DeviceCommon], where: Mapping[str, int]) -> dict[int, Devices]:
    """The devices of each worker, in the order of the file."""
    found: dict[int, list[DeviceCommon]] = {}
    for device in devices:
        found.setdefault(where[device.id], []).append(device)
    return {worker: tuple(part) for worker, part in found.items()}


def _without(devices: Devices, names: Iterable[str]) -> Devices:
    gone = set(names)
    return tuple(device for device in devices if device.id not in gone)


def _part(site: Site, worker: int, devices: Devices, max_bytes: int) -> Site:
    """The site as one worker sees it: no door, and a client id and an outbox of its own."""
    outbox = {"path": folder_of(site.outbox.path, worker), "max_bytes": max_bytes}
    return site.model_copy(
        update={
            "agent": site.agent.model_copy(update={"listen": None}),
            "mqtt": client_of(site, worker),
            "outbox": site.outbox.model_copy(update=outbox),
            "devices": devices,
        }
    )
