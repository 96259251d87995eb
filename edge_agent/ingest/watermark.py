"""What the store has, told to the agents: one retained document per agent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from edge_agent.identity import agent_of
from edge_agent.intervals import IntervalSet
from edge_agent.names import agent_fault

#: A stream that brought nothing for so long is told only while its agent still names it.
_RECENT_SECONDS: Final = 600.0


class Watermarks:
    """Which agents want to hear of which streams. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[str, ...]] = {}
        self._recent: dict[str, float] = {}
        self._changed: set[str] = set()

    def take_agent_state(self, state: Mapping[str, Any]) -> None:
        """An agent's retained state: it names the streams its outbox still holds. Anything
        malformed is passed over."""
        agent = state.get("agent")
        streams = state.get("streams")
        if isinstance(agent, str) and _is_publishable(agent) and isinstance(streams, list):
            self._named[agent] = tuple(stream for stream in streams if isinstance(stream, str))
            self._changed.add(agent)

    def committed(self, streams: Collection[str], now: float) -> None:
        """These streams have more in the store than before. One that names no agent is nobody's to
        be told of."""
        for stream in streams:
            agent = agent_of(stream)
            if _is_publishable(agent):
                self._recent[stream] = now
                self._changed.add(agent)

    def all_changed(self) -> None:
        """The store is another: everybody is told what it has."""
        self._changed |= set(self._named) | {agent_of(stream) for stream in self._recent}

    def due(self, now: float, *, everyone: bool) -> list[str]:
        """The agents to be told now: those with news, or all of them as a sign of life."""
        self._recent = {
            stream: t for stream, t in self._recent.items() if now - t < _RECENT_SECONDS
        }
        agents = self._changed
        if everyone:
            agents = agents | set(self._named) | {agent_of(stream) for stream in self._recent}
        self._changed = set()
        return sorted(agents)

    def named(self) -> set[str]:
        """Streams that some agent's outbox still holds."""
        return {stream for streams in self._named.values() for stream in streams}

    def streams(self, agent: str) -> list[str]:
        """The streams an agent is told of: those it names, and those that brought something of
        late."""
        recent = (stream for stream in self._recent if agent_of(stream) == agent)
        return list(dict.fromkeys([*self._named.get(agent, ()), *recent]))

    def document(
        self,
        agent: str,
        client: str,
        t: int,
        marks: Mapping[str, IntervalSet],
        *,
        store: str = "",
        births: Collection[str] = (),
    ) -> bytes:
        """`{"v","ingest","store","t","streams":{stream:[[from,to],...]}}`, intervals inclusive; and
        `births`, the devices whose birth documents have not come, where there are some."""
        told = {
            stream: marks[stream].pairs() if stream in marks else []
            for stream in self.streams(agent)
        }
        document: dict[str, Any] = {"v": 1, "ingest": client, "t": t, "streams": told}
        if store:
            document["store"] = store
        if births:
            document["births"] = sorted(births)
        return orjson.dumps(document)


def _is_publishable(agent: str) -> bool:
    """Whether a topic can have this name; a broker ends the connection of who publishes to one it
    cannot have."""
    return agent_fault(agent) is None
