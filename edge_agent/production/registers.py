"""Which version of the register a window is computed with: the one that was valid at its end, as
the store keeps them.

A version is valid from the day (of the plant's zone) on which it was first used, unless a person
says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final

from edge_agent.errors import Finding
from edge_agent.register.model import Register
from edge_agent.stores.registers import RegisterStore, RegisterVersion, packed, unpacked, valid_at

_S: Final = 1_000_000_000


def midnight(now_ns: int, zone: tzinfo) -> int:
    """The start of a moment's day, ns."""
    day = datetime.fromtimestamp(now_ns // _S, zone).date()
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * _S


def keep(
    store: RegisterStore,
    register: Register,
    notes: Sequence[Finding],
    now_ns: int,
    zone: tzinfo,
    valid_from: int | None = None,
) -> RegisterVersion | None:
    """Put a register into the store, valid from today or from `valid_from` (ns) on; None where that
    version is the one in force already. `notes`: what its check noted. Raises StoreError."""
    since = midnight(now_ns, zone) if valid_from is None else valid_from
    versions = store.register_versions()
    in_force = valid_at(versions, since + 1)
    if (
        in_force is not None
        and in_force.version == register.version
        and in_force.valid_from <= since
    ):
        return None
    last = max((each.kept_at for each in versions), default=0)
    # of two, the later one counts
    version = RegisterVersion(register.version, since, max(now_ns, last + 1))
    store.keep_register(version, packed(register, notes))
    return version


def valid_register(
    store: RegisterStore, end_ns: int
) -> tuple[RegisterVersion, Register, tuple[Finding, ...]] | None:
    """The version valid in a window that ends at `end_ns`, with its register and notes; None in a
    store without any.

    Raises StoreError, and ValueError for a document that is damaged.
    """
    version = valid_at(store.register_versions(), end_ns)
    document = None if version is None else store.register_document(version.version)
    if version is None or document is None:
        return None
    return version, *unpacked(document)
