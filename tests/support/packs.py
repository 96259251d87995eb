"""Evidence packs on disk."""

from __future__ import annotations

from pathlib import Path


def write_pack(folder: Path, files: dict[str, bytes]) -> Path:
    """The files under their names; the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
