"""All that a store of a third party may import: the contract between `serve` and the code that
speaks to a database.

A database keeps two things: samples by series, and documents by table, key and time. It takes both
in one commit. What figures, reports and `status` ask is made of these above it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, SecretStr

from edge_agent.errors import FindingsError, PoisonError, StoreError
from edge_agent.reasons import Cause
from edge_agent.sdk import Problem
from edge_agent.stores.base import Refusal
from edge_agent.stores.columns import NO_TIME, Rows, Samples

__all__ = [
    "ANY_TIME",
    "SDK_VERSION",
    "Cause",
    "DocumentKey",
    "FindingsError",
    "PoisonError",
    "Problem",
    "Refusal",
    "Rows",
    "SampleRow",
    "Samples",
    "SecretStr",
    "StoreChanges",
    "StoreEngine",
    "StoreError",
    "StoreOptions",
    "StorePlugin",
    "StoredDocument",
    "columns_of",
]

#: Of this contract. A plug-in says which one it was written for.
SDK_VERSION: Final = 1

#: `from` and `to` (ns) between which every time lies.
ANY_TIME: Final = (-(2**63), 2**63 - 1)


class StoreOptions(BaseModel):
    """Base of a store's own keys of the section `store:`: unknown keys are errors, defaults are
    validated, instances frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class SampleRow(NamedTuple):
    """One sample as plain values."""

    sid: int
    """The series: a tag of a device. Small integers from 0 on."""
    t: int
    """When it was read, ns."""
    num: float | None
    """Its number; None where it has none."""
    kind: int
    """How `num` and `text` are to be read (`stores/columns.py`)."""
    status: int
    """OPC UA status code, 0 to 2**32 - 1."""
    source: int | None
    """The device's own time, ns; None where it gave none."""
    stored: int
    """When it was stored, ns."""
    text: str | None
    """What a number cannot hold."""


class DocumentKey(NamedTuple):
    """What names a document."""

    table: str
    key: str
    t: int
    """ns; 0 for what has no time."""


class StoredDocument(NamedTuple):
    """A text under a name: one that is put again under the same name takes the place of the
    former."""

    table: str
    key: str
    t: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class StoreChanges:
    """What one commit takes: all of it or nothing."""

    rows: Rows
    """New samples, as columns."""
    stored: int
    """Store time of all of them, ns."""
    removed: Sequence[DocumentKey] = ()
    """Documents that go, before others are put; one that is not there is no error."""
    put: Sequence[StoredDocument] = ()

    def sample_rows(self) -> Iterator[SampleRow]:
        """The new samples one by one, for databases that take rows."""
        rows = self.rows
        columns = zip(
            rows.sid.tolist(),
            rows.t.tolist(),
            rows.num.tolist(),
            rows.kind.tolist(),
            rows.status.tolist(),
            rows.source.tolist(),
            strict=True,
        )
        for place, (sid, t, num, kind, status, source) in enumerate(columns):
            yield SampleRow(
                sid,
                t,
                None if num != num else num,
                kind,
                status,
                None if source == NO_TIME else source,
                self.stored,
                rows.texts.get(place),
            )


def columns_of(rows: Iterable[SampleRow]) -> Samples:
    """Samples of one series, sorted by `t`, as the columns that a store gives back."""
    found = list(rows)
    return Samples(
        np.array([row.t for row in found], np.int64),
        np.array([np.nan if row.num is None else row.num for row in found], np.float64),
        np.array([row.kind for row in found], np.uint8),
        np.array([row.status for row in found], np.uint32),
        np.array([NO_TIME if row.source is None else row.source for row in found], np.int64),
        np.array([row.stored for row in found], np.int64),
        [row.text for row in found],
    )


class StoreEngine(ABC):
    """One database, opened. `commit` and `delete_before` are called by one thread; the others from
    any, also while a commit is under way.

    Every method may raise StoreError (it cannot be done now and is tried again; nothing was
    acknowledged), or one of `errors`. `commit` may raise PoisonError: this data will never be
    taken.
    """

    #: Exceptions of the database's own library that mean the same as StoreError.
    errors: tuple[type[Exception], ...] = (OSError,)

    @abstractmethod
    def commit(self, changes: StoreChanges) -> None:
        """Take all of it, durable when this returns, or nothing. It is also called without any
        sample."""

    @abstractmethod
    def samples(self, sid: int, from_ns: int, to_ns: int) -> Samples:
        """The samples of a series in `from <= t < to`, sorted by `t`; of several with one `t` in
        the order in which they were committed."""

    @abstractmethod
    def last_before(self, sid: int, from_ns: int, to_ns: int) -> int | None:
        """`t` of the newest sample of a series in `from <= t < to`; None without any."""

    @abstractmethod
    def documents(
        self, table: str, from_ns: int = ANY_TIME[0], to_ns: int = ANY_TIME[1]
    ) -> list[StoredDocument]:
        """The documents of a table in `from <= t < to`, sorted by `t` and key."""

    @abstractmethod
    def delete_before(self, samples: int, documents: Mapping[str, int]) -> int:
        """Delete samples with a `t` (ns) before that, and of these tables documents before theirs;
        returns how many samples went."""

    @abstractmethod
    def close(self) -> None:
        """Release the database. Called twice it does nothing more."""

    def refusals(self, rows: Rows) -> list[Refusal]:
        """Samples that the database would refuse or silently change, found before a commit: they
        go to quarantine with the reason. None by default."""
        return []

    def misplaced(self) -> Cause | None:
        """Why what is written would be lost although it is taken: the file was moved away. Cheap;
        None when all is well."""
        return None


OptionsT = TypeVar("OptionsT", bound=StoreOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlugin(Generic[OptionsT]):
    """What a store package offers; named in the entry point group `edge_agent.stores`."""

    name: str
    """What `store.kind` says."""
    options: type[OptionsT]
    """Its own keys of the section `store:`. `kind`, `path`, `retention`, `quarantine` and `listen`
    are there for every store."""
    open: Callable[[OptionsT, Path], StoreEngine]
    """Opens the database; `Path` is `store.path`. Raises FindingsError when it never can be."""
    check: Callable[[OptionsT], Iterable[Problem]] = field(default=lambda _: ())
    """Everything wrong that the model alone cannot see; `Problem.key` is one of its keys. Pure:
    opens nothing."""
    file: Callable[[OptionsT, Path], Path | None] = field(default=lambda _, path: path)
    """What is there on this machine once the store has been opened, by default `store.path`; None:
    the database is elsewhere. Commands do not open a store whose file is missing: that would make
    one."""
    sdk_version: int
    """SDK_VERSION of the contract it was written for."""

    def __post_init__(self) -> None:
        if not 1 <= self.sdk_version <= SDK_VERSION:
            raise ValueError(
                f"it was written for version {self.sdk_version} of edge_agent.stores.sdk, "
                f"here is {SDK_VERSION}"
            )
