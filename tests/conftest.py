"""Rules every test obeys: warnings are errors (pyproject), no child process outlives its test, and
properties are explored with the same examples every time (`./run properties` takes others)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import exploration

exploration.load_profile()

#: Folders whose tests start servers, and the modules of tests/support that do.
SERVER_FOLDERS = {"faults", "integration"}
SERVER_MODULES = {
    "tests.support." + name
    for name in (
        "modbus_bus",
        "modbus_field",
        "modbus_foreign",
        "opcua_devices",
        "opcua_foreign",
        "opcua_proxy",
        "opcua_python_server",
        "opcua_secured",
        "opcua_server",
        "opcua_services",
        "rehearsal",
        "servers",
    )
}


def _starts_servers(module: ModuleType) -> bool:
    """Whether a test module lies in such a folder, or imports from such a module."""
    if module.__file__ and SERVER_FOLDERS.intersection(Path(module.__file__).parts):
        return True
    return any(
        getattr(value, "__module__", None) in SERVER_MODULES
        or getattr(value, "__name__", None) in SERVER_MODULES
        for value in vars(module).values()
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start servers: `./run test --quick` leaves them out."""
    found: dict[ModuleType, bool] = {}
    for item in items:
        if isinstance(item, pytest.Function):
            module = item.module
            if module not in found:
                found[module] = _starts_servers(module)
            if found[module]:
                item.add_marker("server")


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except FileNotFoundError:
            continue
    return found


@pytest.fixture(autouse=True)
def no_leftover_process() -> Iterator[None]:
    """A child process that a test started must be gone when it ends."""
    before = _children()
    yield
    left = _children() - before
    assert not left, f"processes left behind: {left}"
