"""Which store an outbox believes the confirmations of, kept beside its entries."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

FILE: Final = "store"
_LONGEST: Final = 256


def read(folder: Path) -> str:
    """The id of the store; empty when none was ever met."""
    with contextlib.suppress(OSError):
        return (folder / FILE).read_bytes()[:_LONGEST].decode(errors="replace").strip()
    return ""


def write(folder: Path, store: str) -> None:
    """Keep it; a full disk only means that it is learned again."""
    fresh = folder / f"{FILE}.new"
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(store.encode() + b"\n")
        fresh.replace(folder / FILE)
    except OSError as error:
        log.warning("store-id-not-kept reason=%s", error)
