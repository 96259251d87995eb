"""A wrong wall clock and failing syncs for a process of ours, by a small preloaded library
(shim.c)."""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
_CONTROL = struct.Struct("<qq")


class Shim:
    """Compiled into `folder`; `env` preloads it; the attributes take effect at once."""

    def __init__(self, folder: Path) -> None:
        library, control = folder / "shim.so", folder / "shim.control"
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O2", "-o", library, _SOURCE, "-ldl"], check=True
        )
        control.write_bytes(bytes(_CONTROL.size))
        self.env = {"LD_PRELOAD": str(library), "FAULTS_CONTROL": str(control)}
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _CONTROL.size)

    def set(self, *, clock_offset_s: int = 0, failing_syncs_percent: int = 0) -> None:
        """Both at once."""
        self._map[:] = _CONTROL.pack(clock_offset_s, failing_syncs_percent)
