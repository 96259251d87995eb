"""The control socket of a running part: JSON lines on a Unix socket (`client` has the form).

An outbox and an embedded store can be opened by one process only, so whoever wants to know asks
their owner. Only the same user can connect, and the group of `agent.group`.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import inspect
import logging
import os
import socket
import stat
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.control.client import ask, listener_at, reachable
from edge_agent.errors import Finding, FindingsError, StoreError

log = logging.getLogger(__name__)
Operation = Callable[..., Any]
"""Takes the request's other keys as keywords, returns something JSON can say. Plain functions run
in a thread, coroutine functions on the loop."""
#: The key that says where a part's socket is.
_KEYS: Final = {"run": "outbox.path", "serve": "store.path"}
_LINE: Final = 1_000_000
_ACCEPT_PAUSE: Final = 0.5


@contextlib.asynccontextmanager
async def serve_socket(
    path: Path, known: Mapping[str, Operation], *, part: str = "serve", group: str | None = None
) -> AsyncIterator[None]:
    """Answer on `path` while the block runs, to the same user (mode 0600), or to a `group` too
    (0660).

    `part`: the command that listens, `run` or `serve`. A socket left behind by a killed service is
    replaced. Raises FindingsError when somebody answers there, or something else is in the place.
    """
    loop = asyncio.get_running_loop()
    talks: dict[asyncio.Task[None], socket.socket] = {}
    again: deque[asyncio.TimerHandle] = deque(maxlen=1)

    def accept() -> None:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            # No descriptor is free: who asks waits in the queue, and the loop must not spin
            # meanwhile.
            log.warning("accept-failed path=%s reason=%s", path, error)
            loop.remove_reader(listener)
            again.append(loop.call_later(_ACCEPT_PAUSE, loop.add_reader, listener, accept))
            return
        task = loop.create_task(_converse(connection, known), name="socket-talk")
        talks[task] = connection
        task.add_done_callback(done)

    def done(task: asyncio.Task[None]) -> None:
        talks.pop(task).close()

    with _listening(path, part, group) as listener:
        # Not asyncio's own server: it cannot end a conversation that it has just accepted.
        loop.add_reader(listener, accept)
        try:
            yield
        finally:
            for timer in again:
                timer.cancel()
            loop.remove_reader(listener)
            for task in list(talks):
                task.cancel()
            while talks:
                await asyncio.wait(talks)


async def _converse(connection: socket.socket, known: Mapping[str, Operation]) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LINE)
    try:
        while line := await reader.readline():
            writer.write(await _answer(line, known) + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError):
        log.debug("asker-left")  # or its line was too long
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _answer(line: bytes, known: Mapping[str, Operation]) -> bytes:
    try:
        request = orjson.loads(line)
        operation = known[request.pop("op")]
        if inspect.iscoroutinefunction(operation):
            return orjson.dumps({"ok": await operation(**request)})
        return orjson.dumps({"ok": await asyncio.to_thread(operation, **request)})
    except FindingsError as error:
        return orjson.dumps({"findings": [asdict(finding) for finding in error.findings]})
    except StoreError as error:
        log.warning("question-unanswered reason=%s", error)
        return orjson.dumps(
            {"findings": [asdict(Finding("store-away", "store", error.cause.zh, error.cause.en))]}
        )
    except Exception as error:  # noqa: BLE001 - whatever the store makes of a strange question, the asker is told
        log.warning("question-refused reason=%s: %s", type(error).__name__, error)
        return orjson.dumps({"error": f"{type(error).__name__}: {error}"})


@contextlib.contextmanager
def _listening(path: Path, part: str, group: str | None) -> Iterator[socket.socket]:
    _make_room(path, part)
    with socket.socket(socket.AF_UNIX) as listener, reachable(path) as name:
        before = os.umask(0o177)
        try:
            listener.bind(name)
            _open_to(group, name)
            listener.listen(16)
            listener.setblocking(False)
        finally:
            os.umask(before)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _open_to(group: str | None, name: str) -> None:
    """Let a group ask. What fails is logged, and the socket stays its user's: the data matter
    more."""
    if group is None:
        return
    try:
        number = grp.getgrnam(group).gr_gid
        if number != os.getegid():
            os.chown(name, -1, number)
        os.chmod(name, 0o660)
    except (KeyError, OSError) as error:
        log.error(
            "socket-group-refused group=%s reason=%s hint='Group= in the unit, or a member of it'",
            group,
            error,
        )


def _make_room(path: Path, part: str) -> None:
    """Take a socket away that a killed process left. Raises FindingsError when something else is
    there."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FindingsError.one(
            "socket-place-taken",
            "这里需要放本机套接字，却已有另一个文件：请移走它，或更改 outbox.path 或 store.path。",
            "Something that is no socket stands where the control socket belongs: move it away, "
            "or change outbox.path"
            " or store.path.",
            str(path),
        )
    listener = listener_at(path)
    if listener is not None:
        raise _taken(path, part, listener)
    path.unlink(missing_ok=True)


def _taken(path: Path, part: str, listener: int) -> FindingsError:
    """Who answers at the socket: a part of ours, or a stranger."""
    silent = False
    try:
        known = ask(path, "status", limit=0.5)
    except ConnectionError:
        known = None
    except FindingsError as error:
        known = None
        silent = error.findings[0].code != "service-unknown"
    if isinstance(known, dict) and "ne107" in known:
        part = "run" if "agent" in known else "serve"
    elif not (silent and _is_ours(listener)):
        return FindingsError.one(
            "socket-of-another",
            f"另一个程序（进程 {listener}）占用了 edge-agent {part} 的本机套接字：请停止该程序，"
            f"或更改 {_KEYS[part]}。",
            f"Another program (process {listener}) holds the control socket of `edge-agent "
            f"{part}`: stop it, or change"
            f" {_KEYS[part]}.",
            str(path),
        )
    zh, en = ("数据库", "store") if part == "serve" else ("发件箱", "outbox")
    return FindingsError.one(
        "already-serving" if part == "serve" else "already-running",
        f"已有一个 edge-agent {part}（进程 {listener}）正在使用这个{zh}：请先停止它，或更改 "
        f"{_KEYS[part]}。",
        f"Another `edge-agent {part}` (process {listener}) is using this {en}: stop it first, or "
        f"change {_KEYS[part]}.",
        str(path),
    )


def _is_ours(process: int) -> bool:
    """Whether a process is an edge-agent that is too busy to answer, as far as may be seen."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return process == os.getpid() or b"edge-agent" in command or b"edge_agent" in command
