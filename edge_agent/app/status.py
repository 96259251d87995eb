"""Where the running agent and the running store service answer, and how to ask them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from edge_agent.config.models import Site
from edge_agent.ingest.api import ask, socket_path


def agent_door(site: Site) -> Path:
    """The socket the agent answers on."""
    return socket_path(site.outbox.path / "agent")


def serve_door(site: Site) -> Path:
    """The socket the store service answers on."""
    return socket_path(site.store.path)


def ask_agent(site: Site) -> dict[str, Any] | None:
    """The agent's status document, or None when it does not run."""
    return _ask(agent_door(site))


def last_words(site: Site) -> dict[str, Any] | None:
    """What the agent said of itself when it last ended in order; None when it never did."""
    try:
        words: dict[str, Any] = orjson.loads(_last(site).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return words


def leave_last_words(site: Site, status: dict[str, Any]) -> None:
    """Keep the final status beside the outbox."""
    _last(site).write_bytes(orjson.dumps(status))


def _last(site: Site) -> Path:
    return site.outbox.path / "last.json"


def ask_serve(site: Site) -> dict[str, Any] | None:
    """The store service's status document, or None when it does not run."""
    return _ask(serve_door(site))


def _ask(door: Path) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = ask(door, "status")
    except ConnectionError:
        return None
    return answer
