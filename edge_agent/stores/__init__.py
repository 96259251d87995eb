"""Time-series stores behind small protocols. Each engine is imported only when it is used."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.config.models import StoreSection
from edge_agent.config.store_plugins import BUILT_IN, InstalledStores
from edge_agent.errors import FindingsError, StoreError
from edge_agent.reasons import cause
from edge_agent.stores.base import (
    HealthSummary,
    LatestSample,
    LiveFacts,
    Refusal,
    Silence,
    StoreCounts,
    StreamMark,
    WriteBatch,
)
from edge_agent.stores.columns import Chunk, Rows, SampleRuns, Samples
from edge_agent.stores.protocols import Store
from edge_agent.words import command

if TYPE_CHECKING:
    from edge_agent.stores.sdk import StoreEngine, StorePlugin

__all__ = [
    "Chunk",
    "HealthSummary",
    "LatestSample",
    "LiveFacts",
    "Refusal",
    "Rows",
    "SampleRuns",
    "Samples",
    "Silence",
    "Store",
    "StoreCounts",
    "StreamMark",
    "WriteBatch",
    "local_file",
    "open_store",
    "require_local_file",
]


def open_store(config: StoreSection, agent: str = "", others: Collection[str] = ()) -> Store:
    """The store of a configuration, for a service whose own agent is `agent`: devices of that agent
    stand in it by their ids alone, and what was written before agents were kept is its own;
    `others` are the further agents of its plant. Raises FindingsError when it cannot be opened."""
    if not isinstance(config, StoreConfig) or config.kind not in BUILT_IN:
        return _open_plugin(config, agent, others)
    if config.kind == "duckdb":
        from edge_agent.stores.duckdb.store import DuckDbStore

        return DuckDbStore(
            config.path,
            agent=agent,
            others=others,
            days=config.retention.days,
            health_days=config.retention.health_days,
            max_bytes=config.retention.max_bytes,
        )
    if config.url is None:
        raise FindingsError.one(
            "store-without-url",
            f"store.kind 为 {config.kind} 时必须填写 store.url，例如 http://127.0.0.1:8086。",
            f"store.kind {config.kind} needs store.url, e.g. http://127.0.0.1:8086.",
            "store.url",
        )
    if config.kind == "influxdb":
        from edge_agent.stores.influxdb.store import InfluxDbStore

        return InfluxDbStore(config, agent, others)
    if config.kind == "influxdb1":
        from edge_agent.stores.influxdb1.store import InfluxDb1Store

        return InfluxDb1Store(config, agent, others)
    from edge_agent.stores.line.store import LineStore

    return LineStore(config, agent, others)


def _open_plugin(config: StoreSection, agent: str, others: Collection[str]) -> Store:
    """A store that is found by its entry point."""
    from edge_agent.stores.engine.store import EngineStore

    engine: StoreEngine | None = None
    try:
        engine = _plugin(config).open(config, config.path)
        return EngineStore(engine, config.retention, agent, others)
    except FindingsError:
        raise
    except Exception as error:
        # reason: a third party's code, which may fail in any way; nothing was received yet
        if engine is not None:
            engine.close()
        why = error.cause if isinstance(error, StoreError) else cause("store_failed", why=error)
        raise FindingsError.one(
            "store-unreachable",
            f"无法打开数据库（store.kind: {config.kind}）：{why.zh}",
            f"The store cannot be opened (store.kind: {config.kind}): {why.en}",
            "store",
        ) from error


def _plugin(config: StoreSection) -> StorePlugin[Any]:
    from edge_agent.stores.sdk import StorePlugin

    found = InstalledStores()[config.kind]
    if isinstance(found, StorePlugin):
        return found
    raise FindingsError.one(
        "broken-store",
        f"存储插件 {config.kind!r} 不是 StorePlugin，请联系其作者。",
        f"the store {config.kind!r} is no StorePlugin; ask its author.",
        "store.kind",
    )


def local_file(config: StoreSection) -> Path | None:
    """What is on this machine once the store has been opened; None: nothing."""
    if config.kind == "duckdb":
        return config.path
    if config.kind in BUILT_IN:
        return config.path.with_suffix(".sqlite")
    return _plugin(config).file(config, config.path)


def require_local_file(config: StoreSection) -> None:
    """Before a command opens the store, which would create it, perhaps as another user than the
    service's. Raises FindingsError where there is none yet."""
    path = local_file(config)
    if path is not None and not path.exists():
        raise FindingsError.one(
            "no-store",
            f"还没有数据库：请先运行 {command('serve')}，或检查 store.path。",
            f"There is no store yet: start `{command('serve')}` first, or check store.path.",
            str(path),
        )
