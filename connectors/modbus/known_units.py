"""What the units on one serial port are known to be: kept in a small file, so that a restart does
not forget it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from connectors.modbus.constants import OBJECTS, Identification

log = logging.getLogger(__name__)

_VERSION: Final = 1

#: Bytes of a file with all 247 units; a longer one is not ours.
_MOST: Final = 1 << 20


class KnownUnits:
    """Identifications by unit number, and the units that answer. Changes are seldom, and written by
    `save`."""

    def __init__(self, folder: Path | None, port: str) -> None:
        """`folder`: where the file is; None: nothing outlives the process. A file that cannot be
        read is begun anew."""
        self._file = None if folder is None else folder / _file_name(port)
        self._port = port
        self._identifications: dict[int, Identification] = {}
        self._present: set[int] = set()
        self._changed = self._complained = False
        self._load()

    @property
    def present(self) -> frozenset[int]:
        """Units that answered when they were last asked, but for those that died while others
        answered."""
        return frozenset(self._present)

    def identification(self, unit: int) -> Identification | None:
        """What a unit answered; empty for one without function 43/14, None for one that is not
        known."""
        return self._identifications.get(unit)

    def identify(self, unit: int, found: Identification) -> None:
        """From now on a unit is known by this."""
        if self._identifications.get(unit) != found:
            self._identifications[unit] = found
            self._changed = True

    def add_present(self, unit: int) -> None:
        """A unit answers."""
        if unit not in self._present:
            self._present.add(unit)
            self._changed = True

    def remove_present(self, units: Iterable[int]) -> None:
        """These do not answer any more."""
        gone = self._present.intersection(units)
        if gone:
            self._present -= gone
            self._changed = True

    def save(self) -> None:
        """Write what has changed. A disk that does not take it is logged once, and tried again at
        the next change."""
        if self._file is None or not self._changed:
            return
        self._changed = False
        document = self._document()
        temporary = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()  # of a write that was cut short, perhaps with other rights
            handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, ensure_ascii=False)
            temporary.replace(self._file)
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning(
                    "modbus-known-units-not-saved file=%s reason=%r", self._file, error.strerror
                )
        else:
            self._complained = False

    def _document(self) -> dict[str, Any]:
        units = {str(unit): dict(found) for unit, found in sorted(self._identifications.items())}
        return {
            "version": _VERSION,
            "port": self._port,
            "present": sorted(self._present),
            "identifications": units,
        }

    def _load(self) -> None:
        if self._file is None:
            return
        try:
            with self._file.open("rb") as file:
                document = json.loads(file.read(_MOST))
            present, identifications = _understood(document, self._port)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.warning(
                "modbus-known-units-unreadable file=%s reason=%r now=begins-anew",
                self._file,
                str(error),
            )
            return
        self._present = present
        self._identifications = identifications


def _understood(document: Any, port: str) -> tuple[set[int], dict[int, Identification]]:
    """Raises ValueError, TypeError, KeyError or AttributeError for what this program has not
    written."""
    if document["version"] != _VERSION or document["port"] != port:
        raise ValueError(f"version {document['version']!r} of port {document['port']!r}")
    present = {unit for unit in document["present"] if isinstance(unit, int)}
    identifications: dict[int, Identification] = {}
    for unit, found in document["identifications"].items():
        identifications[int(unit)] = {name: str(found[name]) for name in OBJECTS if name in found}
    return present, identifications


def _file_name(port: str) -> str:
    """`/dev/ttyUSB0` -> `dev-ttyUSB0-1a2b3c4d.json`: readable, and different for different
    ports."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", port).strip("-.")[-40:]
    return f"{plain}-{hashlib.sha256(port.encode()).hexdigest()[:8]}.json"
