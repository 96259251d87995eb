"""A package with a store, installed as far as Python sees it: its metadata on the path."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **stores: str) -> None:
    """`stores`: kind -> where the plug-in is. Until the test ends."""
    metadata = folder / "packages" / "some_stores-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: some-stores\nVersion: 1.0\n")
    lines = [f"{kind} = {where}\n" for kind, where in stores.items()]
    (metadata / "entry_points.txt").write_text("[edge_agent.stores]\n" + "".join(lines))
    monkeypatch.syspath_prepend(str(metadata.parent))
