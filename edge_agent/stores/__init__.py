"""Time-series stores behind one small protocol. Each engine is imported only when it is used."""

from __future__ import annotations

from collections.abc import Collection

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import FindingsError
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
    "open_store",
]


def open_store(config: StoreConfig, agent: str = "", others: Collection[str] = ()) -> Store:
    """The store of a configuration, for a service whose own agent is `agent`: devices of that agent
    stand in it by their ids alone, and what was written before agents were kept is its own;
    `others` are the further agents of its plant. Raises FindingsError when it cannot be opened."""
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
