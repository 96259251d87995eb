"""The three OPC UA servers of the tests, as programs of their own: asyncua's, python `opcua`, and
node-opcua."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support import opcua_python_server
from tests.support.servers import Server, free_port, serving, tool

HERE = Path(__file__).parent
NODE = HERE / "opcua_node"
PACKAGES = Path(sys.prefix) / "node" / "node_modules"
"""Where './run test' installs what `NODE` asks for."""


@contextlib.contextmanager
def asyncua(folder: Path) -> Iterator[Server]:
    port = free_port()
    argv = [sys.executable, "-m", "tests.support.opcua_server", str(port), "--tick", "0.05"]
    with serving(
        argv, port, folder / "asyncua.log", {"PYTHONPATH": str(HERE.parents[1])}
    ) as server:
        yield server


@contextlib.contextmanager
def python_opcua(folder: Path) -> Iterator[Server]:
    port = free_port()
    argv = [sys.executable, "-W", "ignore", opcua_python_server.__file__, str(port)]
    with serving(argv, port, folder / "python-opcua.log") as server:
        yield server


def node_packages_ready() -> None:
    """The packages of node missing is a failure in CI and a counted skip elsewhere, as with any
    tool."""
    if not (PACKAGES.parent / "ready").is_file():
        problem = f"no {PACKAGES}: './run test' installs it"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)


@contextlib.contextmanager
def node_opcua(folder: Path, program: str = "server.cjs", **settings: str) -> Iterator[Server]:
    """`settings`: variables of the environment, see the program."""
    node_packages_ready()
    port = free_port()
    argv = [tool("node"), NODE / program, str(port), folder / "node-opcua"]
    with serving(
        argv, port, folder / "node-opcua.log", {"NODE_PATH": str(PACKAGES), **settings}, 100.0
    ) as server:
        yield server


def _node_version() -> str:
    asked = json.loads((NODE / "package.json").read_text())
    return str(asked["dependencies"]["node-opcua-server"])


SERVERS: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "asyncua": asyncua,
    "python-opcua": python_opcua,
    "node-opcua": node_opcua,
}

VERSIONS: dict[str, Callable[[], str]] = {
    "asyncua": lambda: version("asyncua"),
    "python-opcua": lambda: version("opcua"),
    "node-opcua": _node_version,
}
