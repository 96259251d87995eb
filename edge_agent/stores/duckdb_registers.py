"""The embedded store's part that keeps versions of the register."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

import duckdb

from edge_agent.stores.registers import RegisterVersion


class KeptRegisters(ABC):
    """A `RegisterStore` on the store's own connection."""

    @abstractmethod
    def _cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A cursor of its own, whose errors are translated."""

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
