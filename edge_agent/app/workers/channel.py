"""Between the agent and one of its workers: questions and answers over a socket pair that nobody else can reach.

A message is four bytes of length and a pickled tuple: `(number, operation, arguments)` there, `(number, answer, error)`
back. The end of the stream is news as well: the other process is gone, however it ended.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edge_agent.app.service import end

log = logging.getLogger(__name__)

Operation = Callable[..., Awaitable[Any]]
_HEAD = 4


class GoneError(ConnectionError):
    """The other process has ended, or is ending."""


class RefusedError(Exception):
    """The other process could not do what it was asked; its log says why."""


class Asker:
    """The agent's end. Several questions may be under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._closed = False

    async def ask(self, operation: str, *arguments: Any) -> Any:
        """The answer. Raises GoneError when there will be none, RefusedError when the operation failed there."""
        if self._closed:
            raise GoneError("the worker is gone")
        number = next(self._numbers)
        future = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(framed((number, operation, arguments)))
            return await future
        finally:
            self._open.pop(number, None)

    async def listen(self) -> None:
        """Hand answers to who asked; returns when the worker's end is closed."""
        try:
            while (message := await _receive(self._reader)) is not None:
                number, answer, error = message
                future = self._open.get(number)
                if future is None or future.done():
                    continue
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(answer)
        finally:
            self.close()

    def close(self) -> None:
        """Whoever still waits, or asks from now on, is told that nothing will come."""
        self._closed = True
        self._writer.close()
        for future in self._open.values():
            if not future.done():
                future.set_exception(GoneError("the worker is gone"))


async def answer(sock: socket.socket, operations: Mapping[str, Operation]) -> None:
    """The worker's end: answer until the agent is gone, each question in a task of its own."""
    reader, writer = await asyncio.open_connection(sock=sock)
    tasks: set[asyncio.Task[None]] = set()
    try:
        while (message := await _receive(reader)) is not None:
            task = asyncio.create_task(_reply(writer, operations, *message), name=f"answer {message[1]}")
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    finally:
        await end(tasks)  # nobody is left to be answered
        writer.close()


async def _reply(
    writer: asyncio.StreamWriter,
    operations: Mapping[str, Operation],
    number: int,
    name: str,
    arguments: tuple[Any, ...],
) -> None:
    found, failure = None, None
    try:
        found = await operations[name](*arguments)
    except Exception as error:
        # reason: whatever it is, who asked must not wait for ever
        log.exception("question-failed operation=%s", name)
        failure = RefusedError(f"{type(error).__name__}: {error}")
    writer.write(framed((number, found, failure)))


def framed(message: Any) -> bytes:
    """A message as it goes over the wire."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_HEAD, "big") + data


def first(sock: socket.socket) -> Any:
    """The first message, waited for without an event loop. Raises GoneError."""
    return pickle.loads(_exactly(sock, int.from_bytes(_exactly(sock, _HEAD), "big")))  # noqa: S301 - from our parent


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            raise GoneError("the agent is gone")
        data += part
    return bytes(data)


async def _receive(reader: asyncio.StreamReader) -> Any:
    """The next message; None at the end."""
    try:
        size = int.from_bytes(await reader.readexactly(_HEAD), "big")
        return pickle.loads(await reader.readexactly(size))  # noqa: S301 - from our own parent or child
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
