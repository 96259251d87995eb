"""The agents of a site as the ingest hears them: their retained states, when they last spoke, what
they still owe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge_agent.identity import agent_of
from edge_agent.ingest.messages import IngestMessage
from edge_agent.names import agent_fault
from edge_agent.stores.catalogue import Catalogue

_LONGEST_VERSION: Final = 64


@dataclass(slots=True)
class AgentState:
    """What one agent last said; None where it never said so."""

    online: bool | None = None
    version: str = ""
    backlog_values: int | None = None
    backlog_messages: int | None = None
    pending_from: Mapping[str, int] = field(default_factory=dict)
    """Its streams, each with the number from which on it may still hold something."""
    last_t: int | None = None
    """The newest time in what it said, ns."""


class Agents:
    """Fed by the ingest's loop, read by any thread."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._states: dict[str, AgentState] = {}
        self._without_birth: dict[str, set[str]] = {}

    def states(self) -> dict[str, AgentState]:
        """Agent -> what it last said."""
        return dict(self._states)

    def pending_from(self) -> dict[str, int]:
        """Stream -> the number from which on its agent may still hold something, as far as agents
        said so."""
        found: dict[str, int] = {}
        for state in self.states().values():
            found |= state.pending_from
        return found

    def without_birth(self, agent: str) -> set[str]:
        """Devices of an agent of which something came, and no birth document."""
        return self._without_birth.get(agent, set())

    def take_state(self, document: Mapping[str, Any]) -> None:
        """An agent's retained state. Anything malformed is passed over."""
        agent = document.get("agent")
        state = document.get("state")
        t = document.get("t")
        if (
            not isinstance(agent, str)
            or agent_fault(agent) is not None
            or state not in ("online", "offline")
        ):
            return
        known = self._states.setdefault(agent, AgentState())
        known.online = state == "online"
        known.version = _version(document.get("version"))
        known.backlog_values = _count(document.get("backlog_values"))
        known.backlog_messages = _count(document.get("backlog_messages"))
        known.pending_from = _numbers(agent, document.get("pending_from"))
        if type(t) is int:
            known.last_t = max(t, known.last_t or t)

    def received(self, message: IngestMessage) -> None:
        """A message that was no duplicate and decoded: data, health or birth."""
        catalogue = self._catalogue
        if message.birth is not None:
            agent = message.birth.get("agent") or catalogue.keys.own
            if agent in self._without_birth:
                self._without_birth[agent].discard(message.birth["device"])
            return
        agent = agent_of(message.stream)
        t = _time(message)
        known = self._states.get(agent)
        if known is None:
            known = self._states[agent] = AgentState()
        if known.last_t is None or t > known.last_t:
            known.last_t = t
        if catalogue.former:
            catalogue.former.note_message(message.key, t)
        if catalogue.forgotten:
            self._list_again(agent, message)
        if message.key not in catalogue.devices and message.agent is None:
            self._without_birth.setdefault(agent, set()).add(catalogue.keys.device(message.key))

    def _list_again(self, agent: str, message: IngestMessage) -> None:
        catalogue = self._catalogue
        if message.agent is not None:
            catalogue.forgotten.restore(agent)
            return
        sids = [] if message.chunk is None else message.chunk.sid.tolist()
        tags = [catalogue.series[sid].tag for sid in sids]
        catalogue.forgotten.restore(agent, catalogue.keys.device(message.key), tags)


def _time(message: IngestMessage) -> int:
    if message.chunk is not None:
        return message.chunk.t
    document = message.health or message.agent
    return 0 if document is None else int(document["t"])


def _numbers(agent: str, value: object) -> dict[str, int]:
    """Of its own streams: nobody speaks for another's."""
    if not isinstance(value, dict):
        return {}
    found = {
        stream: _count(number) for stream, number in value.items() if agent_of(stream) == agent
    }
    return {stream: number for stream, number in found.items() if number is not None}


def _version(value: object) -> str:
    """What people may be shown of it."""
    return (
        value
        if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_VERSION
        else ""
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
