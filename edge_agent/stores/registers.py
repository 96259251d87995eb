"""Versions of the equipment register, each with the time from which it is valid.

A window that is over is computed again from the version that was valid at its end: who changes the
register today changes no figure of last month. The versions are kept as long as the store, whatever
its retention.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from edge_agent.errors import Finding
from edge_agent.register.model import Register, canonical, from_canonical


@dataclass(frozen=True, slots=True)
class RegisterVersion:
    """One version of the register in a store."""

    version: str
    """sha256 of its canonical form."""
    valid_from: int
    """It is valid in windows that end after this, ns."""
    kept_at: int
    """When it was put into the store, ns; of two that are valid from the same time on the later one
    counts."""


class RegisterStore(Protocol):
    """The part of a store that keeps registers."""

    def keep_register(self, version: RegisterVersion, document: str) -> None:
        """Keep a version with its document, as `packed` gives it. Raises StoreError."""

    def register_versions(self) -> list[RegisterVersion]:
        """All of them, by `valid_from` and `kept_at`."""

    def register_document(self, version: str) -> str | None:
        """The document of a version; None where it is not kept."""


def packed(register: Register, notes: Iterable[Finding] = ()) -> str:
    """A register, and what its check noted, as a text: compressed JSON."""
    noted = [[note.code, note.where, note.zh, note.en] for note in notes]
    document = b'{"register":' + canonical(register) + b',"notes":' + orjson.dumps(noted) + b"}"
    return base64.b64encode(zlib.compress(document, 9)).decode()


def unpacked(text: str) -> tuple[Register, tuple[Finding, ...]]:
    """What was `packed`. Raises ValueError for another text."""
    try:
        document = orjson.loads(zlib.decompress(base64.b64decode(text, validate=True)))
        notes = tuple(Finding(*map(str, note)) for note in document["notes"])
        return from_canonical(orjson.dumps(document["register"])), notes
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"no kept register: {error}") from error


def valid_at(versions: Sequence[RegisterVersion], end: int) -> RegisterVersion | None:
    """The version valid in a window that ends at `end`; of a time before the first one was kept
    that first one."""
    begun = [each for each in versions if each.valid_from < end]
    if begun:
        return max(begun, key=lambda each: (each.valid_from, each.kept_at))
    return min(versions, key=lambda each: (each.valid_from, each.kept_at), default=None)
