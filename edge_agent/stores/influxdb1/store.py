"""InfluxDB 1.x through its own `/write` and `/query`; the database is made when it is missing."""

from __future__ import annotations

from collections.abc import Collection

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import StoreError
from edge_agent.stores.base import HealthSummary
from edge_agent.stores.columns import Longs, Samples
from edge_agent.stores.health_rows import HealthRows
from edge_agent.stores.remote.http import READ_S, HttpEndpoint
from edge_agent.stores.remote.influxql import InfluxQl
from edge_agent.stores.remote.lines import TextStyle
from edge_agent.stores.remote.store import RemoteStore


class InfluxDb1Store(RemoteStore):
    """`store.bucket` names the database (default `edge`)."""

    style = TextStyle.FIELD
    earliest = 0
    future = 2**62

    def __init__(self, config: StoreConfig, agent: str = "", others: Collection[str] = ()) -> None:
        super().__init__(config, agent, others)
        self._database = config.bucket or "edge"
        self._endpoint = HttpEndpoint(config)
        self._reader = InfluxQl(HttpEndpoint(config, timeout=READ_S), self._database, self._keys)

    def _send(self, lines: bytes) -> None:
        query = {"db": self._database, "precision": "ns"}
        try:
            self._endpoint.request("POST", "/write", query, lines)
        except StoreError as error:
            if "database not found" not in str(error):
                raise
            name = self._database.replace('"', "")
            self._endpoint.request("POST", "/query", {"q": f'create database "{name}"'})
            self._endpoint.request("POST", "/write", query, lines)

    def store_ids(self) -> list[str]:
        """The store's own ids."""
        return self._reader.store_ids()

    def holds_data(self) -> bool:
        """Whether there is any health row."""
        return self._reader.holds_data()

    def samples_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> Samples:
        """One series, sorted by `t`."""
        return self._reader.samples_of(device, tag, from_ns, to_ns)

    def last_of(self, device: str, tag: str, from_ns: int, to_ns: int) -> int | None:
        """Time of the newest sample of a series."""
        return self._reader.last_of(device, tag, from_ns, to_ns)

    def evidence_rows(self, from_ns: int, to_ns: int) -> dict[str, tuple[Longs, Longs]]:
        """Last good time and covered time of health rows."""
        return self._reader.evidence_rows(from_ns, to_ns)

    def health_rows(self, from_ns: int, to_ns: int) -> dict[str, HealthRows]:
        """Time, coverage and state of health rows."""
        return self._reader.health_rows(from_ns, to_ns)

    def health_of(self, from_ns: int, to_ns: int) -> dict[str, list[HealthSummary]]:
        """Summaries per device."""
        return self._reader.health_of(from_ns, to_ns)

    def close(self) -> None:
        """Release the connections too."""
        super().close()
        self._endpoint.close()
        self._reader.close()
