"""The data files that come with the agent: profiles, examples, the demo, the JSON Schema."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path


@cache
def configs() -> Path:
    """The folder `configs`: inside the wheel, else in the checkout that is installed in place."""
    packaged = Path(str(resources.files("edge_agent"))) / "_configs"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "configs"
