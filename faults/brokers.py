"""A broker that can be stopped, killed and started again on the same port with the same files."""

from __future__ import annotations

import contextlib
import shutil
import signal
from pathlib import Path
from types import TracebackType

from tests.support.servers import Server, free_port, mosquitto, nats


class Broker:
    """mosquitto or nats-server; runs when it is entered, gone when it is left."""

    def __init__(self, folder: Path, kind: str = "mosquitto") -> None:
        self.port = free_port()
        self._folder = folder
        self._kind = kind
        self._stack = contextlib.ExitStack()
        self._server: Server | None = None

    def start(self) -> None:
        """Start it (again)."""
        self._stack = contextlib.ExitStack()
        make = mosquitto if self._kind == "mosquitto" else nats
        self._server = self._stack.enter_context(make(self._folder, self.port))

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """End it in order, or with another signal."""
        if self._server is not None:
            self._server.stop(sig)
            self._stack.close()
            self._server = None

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def forget(self) -> None:
        """kill -9, and its files are gone: sessions, retained documents, everything it had
        acknowledged."""
        self.kill()
        shutil.rmtree(self._folder)

    def freeze(self) -> None:
        """SIGSTOP: its sockets stay open and nobody answers."""
        assert self._server is not None
        self._server.pause()

    def go_on(self) -> None:
        """SIGCONT."""
        assert self._server is not None
        self._server.resume()

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
