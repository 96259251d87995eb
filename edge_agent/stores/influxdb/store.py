"""InfluxDB 2.x and 3.x (and what takes their v2 write endpoint) through influxdb-client, with lines
of our own.

Synchronous, through its write service: the batching writer drops points silently, and `WriteApi`
compresses at level 9, which costs twice the rest. Its own retries are off, the ingest has them.
"""

from __future__ import annotations

import gzip
from collections.abc import Collection
from typing import Any

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import StoreError
from edge_agent.stores.base import HealthSummary
from edge_agent.stores.columns import Longs, Samples
from edge_agent.stores.health_rows import HealthRows
from edge_agent.stores.remote.http import READ_S, HttpEndpoint, refusal
from edge_agent.stores.remote.influxql import InfluxQl
from edge_agent.stores.remote.lines import TextStyle
from edge_agent.stores.remote.store import RemoteStore


class InfluxDbStore(RemoteStore):
    """`store.bucket` (default `edge`), `store.org`, `store.token`."""

    style = TextStyle.FIELD
    earliest = 0
    future = 2**62

    def __init__(self, config: StoreConfig, agent: str = "", others: Collection[str] = ()) -> None:
        super().__init__(config, agent, others)
        self._bucket = config.bucket or "edge"
        self._org = config.org or ""
        self._client = InfluxDBClient(
            config.url,
            **_credentials(config),
            org=self._org,
            timeout=int(config.timeout * 1000),
            retries=urllib3.Retry(0, redirect=False, raise_on_status=False),
        )
        self._writer = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        self._endpoint = HttpEndpoint(config, timeout=READ_S)
        self._reader = InfluxQl(self._endpoint, self._bucket, self._keys)

    def _send(self, lines: bytes) -> None:
        try:
            self._writer.post_write(  # type: ignore[no-untyped-call]
                self._org,
                self._bucket,
                gzip.compress(lines, 1),
                precision="ns",
                content_encoding="gzip",
                content_type="text/plain; charset=utf-8",
            )
        except ApiException as error:
            body = error.body if isinstance(error.body, bytes) else str(error.body or "").encode()
            raise refusal(error.status or 0, body) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreError(self._endpoint.unreachable(error)) from error

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
        self._client.close()  # type: ignore[no-untyped-call]
        self._reader.close()


def _credentials(config: StoreConfig) -> dict[str, Any]:
    if config.token is not None or config.username is None:
        return {"token": config.token.get_secret_value() if config.token is not None else None}
    return {
        "username": config.username,
        "password": config.password.get_secret_value() if config.password is not None else "",
    }
