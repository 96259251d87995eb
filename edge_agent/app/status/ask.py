"""Where the running agent and the running store service answer, and how to ask them."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from edge_agent.config.files import read_site
from edge_agent.config.findings import Findings
from edge_agent.config.models import File, Site
from edge_agent.config.shape import anchored
from edge_agent.control.client import ask, socket_path
from edge_agent.errors import FindingsError
from edge_agent.polling.device import PolledDevice
from edge_agent.reasons import words_of

if TYPE_CHECKING:
    from edge_agent.stores import Store

log = logging.getLogger(__name__)

#: Tags that are not good, named in a status document one by one; their number is always told.
NAMED_TAGS = 20

#: How long a running part may take to say how it is.
STATUS_SECONDS = 10.0


def agent_socket(site: Site) -> Path:
    """The socket the agent answers on."""
    return socket_path(site.outbox.path / "agent")


def agent_socket_of(config: Path) -> Path | None:
    """The agent's socket by the file it runs from, even when the rest of that file is faulty; None
    when it is not said.

    Raises ConfigError for a file that cannot be read at all.
    """
    top = anchored(read_site(config, Findings(config)), File, defaults=True)
    outbox = top.get("outbox")
    path = outbox.get("path") if isinstance(outbox, dict) else None
    return socket_path(Path(path) / "agent") if isinstance(path, str) else None


def serve_socket(site: Site) -> Path:
    """The socket the store service answers on."""
    return socket_path(site.store.path)


def ask_agent(site: Site) -> dict[str, Any] | None:
    """The agent's status document, or None when it does not run."""
    return _ask(agent_socket(site))


def final_status(site: Site) -> dict[str, Any] | None:
    """What the agent said of itself when it last ended in order; None when it never did."""
    try:
        words: dict[str, Any] = orjson.loads(_last(site).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return words


def waiting(site: Site) -> dict[str, Any] | None:
    """What waits in the outbox of an agent that does not run, counted now: an agent that was killed
    left no word, or an old one. None when there is no outbox. Raises FindingsError when it cannot
    be read."""
    from edge_agent.outbox.folders import outboxes
    from edge_agent.outbox.survey import verify

    if not site.outbox.path.is_dir():
        return None
    try:
        found = verify(*outboxes(site.outbox.path))
    except OSError as error:
        why_zh, why_en = words_of(error)
        raise FindingsError.one(
            "outbox-unreadable",
            f"无法读取发件箱：{why_zh}。请以采集代理的用户运行。",
            f"The outbox cannot be read: {why_en}. Run this as the agent's user.",
            str(site.outbox.path),
        ) from error
    return {
        "pending_values": found.pending_values,
        "pending_entries": found.pending_entries,
        "oldest_t": found.oldest_t,
    }


def save_final_status(site: Site, status: dict[str, Any]) -> None:
    """Keep the final status beside the outbox."""
    try:
        _last(site).write_bytes(orjson.dumps(status))
    except OSError as error:  # a full disk must not turn an orderly end into a crash
        log.warning("last-words-lost reason=%s", error)


def _last(site: Site) -> Path:
    return site.outbox.path / "last.json"


def ask_serve(site: Site) -> dict[str, Any] | None:
    """The store service's status document, or None when it does not run."""
    return _ask(serve_socket(site))


def agent_status(device: PolledDevice) -> dict[str, Any]:
    """One device in the agent's status document."""
    health = device.health
    zh, en = health.detail
    not_good = health.tags.not_good()
    return {
        "id": device.plan.id,
        "state": health.state,
        "reason": health.reason,
        "cause": "" if health.cause is None else health.cause.name,
        "detail": en,
        "detail_zh": zh,
        "ne107": health.judgement().full(),
        "last_good_t": health.last_good_t,
        "values": health.values_total,
        "overruns": health.overruns_total,
        "totals": health.totals,
        "set_aside": device.breaker.is_open,
        "clock_offset_s": health.clock.offset,
        "clock_drift_s_per_day": health.clock.drift,
        "tags_not_good": len(not_good),
        "tags": not_good[:NAMED_TAGS],
        "tags_absent": health.tags.absent,
        "absent": health.tags.absent_tags()[:NAMED_TAGS],
    }


def ask_metrics(site: Site) -> list[dict[str, Any]] | None:
    """The newest figures of the running store service, or None when it does not run."""
    try:
        answer: list[dict[str, Any]] = ask(serve_socket(site), "metrics", limit=STATUS_SECONDS)
    except ConnectionError:
        return None
    return answer


def ask_missing(site: Site, seconds: float) -> dict[str, Any]:
    """What is missing of the last `seconds`: from the running service, else from the store
    itself."""
    # before 1970 there is nothing, and nanoseconds end soon after
    seconds = min(seconds, time.time())
    try:
        answer: dict[str, Any] = ask(serve_socket(site), "missing", seconds=seconds)
    except ConnectionError:
        answer = missing_from_file(site, seconds)
    return answer


def missing_from_file(site: Site, seconds: float) -> dict[str, Any]:
    """The same without a running service. Raises FindingsError when there is no store yet, or it
    cannot be opened."""
    from edge_agent.app.status.missing import of_plant
    from edge_agent.production.site_devices import SiteDevices

    now = time.time_ns()
    store = store_of(site)
    try:
        store.ask_for_life()
        devices = SiteDevices.of(site, store)
        row_s = site.agent.health
        return of_plant(store, devices, now - int(seconds * 1e9), now, row_s, _pending_from(site))
    finally:
        store.close()


def _pending_from(site: Site) -> dict[str, int]:
    """What the agent of this machine still holds, if it runs."""
    try:
        found: dict[str, int] = (ask_agent(site) or {}).get("pending_from", {})
    except FindingsError:  # one that does not answer is told of elsewhere
        return {}
    return found


def store_of(site: Site) -> Store:
    """The store, opened here because no service runs; the caller closes it. Raises FindingsError
    when there is none yet, or it cannot be opened."""
    from edge_agent.stores import open_store, require_local_file

    require_local_file(site.store)
    site.require_store_secrets()
    return open_store(site.store, site.agent.id, site.agents)


def _ask(door: Path) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = ask(door, "status", limit=STATUS_SECONDS)
    except ConnectionError:
        return None
    return answer
