"""The embedded store's part that keeps documents: results of metrics, and versions of the
register."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import duckdb
import orjson

from edge_agent.stores.duckdb import read
from edge_agent.stores.registers import RegisterVersion


class KeptDocuments(ABC):
    """On the store's own connection."""

    @abstractmethod
    def _cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A cursor of its own, whose errors are translated."""

    def put_metric(self, metric: str, t: int, document: Mapping[str, Any]) -> None:
        """Append one result."""
        with self._cursor() as cursor:
            cursor.execute(
                "insert into metrics values (?, ?, ?)", [metric, t, orjson.dumps(document).decode()]
            )

    def metrics(self, from_ns: int | None = None, to_ns: int | None = None) -> list[dict[str, Any]]:
        """Newest of each metric, or a window."""
        with self._cursor() as cursor:
            return read.metrics(cursor, from_ns, to_ns)

    def newest_metric(self, from_ns: int, to_ns: int) -> int | None:
        """The time of a window's newest result."""
        with self._cursor() as cursor:
            sql = "select max(t) from metrics where t >= ? and t < ?"
            row = cursor.execute(sql, [from_ns, to_ns]).fetchone()
        newest: int | None = row[0] if row else None
        return newest

    def keep_register(self, version: RegisterVersion, document: str) -> None:
        """Append one version of the register."""
        row = [version.version, version.valid_from, version.kept_at, document]
        with self._cursor() as cursor:
            cursor.execute("insert into registers values (?, ?, ?, ?)", row)

    def register_versions(self) -> list[RegisterVersion]:
        """By the time from which they are valid."""
        with self._cursor() as cursor:
            sql = "select version, valid_from, kept_at from registers order by valid_from, kept_at"
            return [RegisterVersion(*row) for row in cursor.execute(sql).fetchall()]

    def register_document(self, version: str) -> str | None:
        """Of the version as it was first kept."""
        with self._cursor() as cursor:
            sql = "select document from registers where version = ? order by kept_at limit 1"
            row = cursor.execute(sql, [version]).fetchone()
        return None if row is None else str(row[0])
