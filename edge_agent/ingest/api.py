"""How other commands ask the running service: JSON lines on a Unix socket beside the store's file.

The embedded store can be opened by one process only, so whoever wants to know asks its owner:
`{"op": "latest", "device": "vmc-02"}` -> `{"ok": ...}` or `{"error": "..."}`. Only the same user can connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from edge_agent.errors import Finding, FindingsError

if TYPE_CHECKING:  # the agent serves a socket too, and must not load what only a store needs
    from edge_agent.config.models import Store as StoreConfig
    from edge_agent.stores import Store

log = logging.getLogger(__name__)

Operation = Callable[..., Any]
"""Takes the request's other keys as keywords, returns something JSON can say. Plain functions run in a thread,
coroutine functions on the loop."""

_LINE: Final = 1_000_000
_ANSWER_SECONDS: Final = 60.0


def socket_path(store: Path) -> Path:
    """Where the service that owns this store listens."""
    return store.with_name(store.name + ".sock")


def operations(store: Store) -> dict[str, Operation]:
    """The questions of the store protocol, answered in plain JSON."""
    return {
        "known_devices": lambda agents=(): known_devices(store, agents),
        "latest": lambda device=None: {
            name: {tag: asdict(newest) for tag, newest in tags.items()} for name, tags in store.latest(device).items()
        },
        "health": lambda from_ns, to_ns: {d: asdict(row) for d, row in store.health(from_ns, to_ns).items()},
        "live_facts": lambda from_ns, to_ns: {d: asdict(row) for d, row in store.live_facts(from_ns, to_ns).items()},
        "transitions": store.transitions,
        "gaps": store.gaps,
        "metrics": store.metrics,
        "counts": lambda: asdict(store.counts()),
        "marks": lambda: {stream: intervals.pairs() for stream, intervals in store.marks().items()},
        "devices": lambda: {name: orjson.loads(birth) for name, birth in dict(store.catalogue.devices).items()},
    }


def known_devices(store: Store, agents: Collection[str] = ()) -> dict[str, Any]:
    """Whom the store has heard of: `{"births": {key: birth}, "listed": [key], "former": {key: key now}, "tags": {key:
    {tag: entry of the birth}}}`, tags of devices of these `agents` only."""
    catalogue = store.catalogue
    tags: dict[str, dict[str, Any]] = {}
    for key in list(catalogue.devices):
        if catalogue.keys.agent(key) in agents:
            series = dict(catalogue.of_device(key))
            tags[key] = {tag: orjson.loads(catalogue.series[sid].meta or "{}") for tag, sid in series.items()}
    return {
        "births": {key: orjson.loads(birth) for key, birth in dict(catalogue.devices).items()},
        "listed": catalogue.listed(),
        "former": dict(catalogue.former.current),
        "tags": tags,
    }


@contextlib.asynccontextmanager
async def serving(path: Path, known: Mapping[str, Operation]) -> AsyncIterator[None]:
    """Answer on `path` (mode 0600) while the block runs. A socket left behind by a killed service is replaced."""
    loop = asyncio.get_running_loop()
    talks: dict[asyncio.Task[None], socket.socket] = {}

    def accept() -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = listener.accept()
            task = loop.create_task(_converse(connection, known), name="socket-talk")
            talks[task] = connection
            task.add_done_callback(done)

    def done(task: asyncio.Task[None]) -> None:
        talks.pop(task).close()

    with _listening(path) as listener:
        # Not asyncio's own server: it cannot end a conversation that it has just accepted.
        loop.add_reader(listener, accept)
        try:
            yield
        finally:
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
    except Exception as error:  # noqa: BLE001 - whatever the store makes of a strange question, the asker is told
        log.warning("question-refused reason=%s: %s", type(error).__name__, error)
        return orjson.dumps({"error": f"{type(error).__name__}: {error}"})


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name for the socket short enough for the kernel (107 bytes), through its folder's descriptor if need be."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    if running(path):
        raise FindingsError.one(
            "already-serving",
            "已有一个 edge-agent serve 正在使用这个数据库：请先停止它。",
            "Another `edge-agent serve` is using this store: stop it first.",
            str(path),
        )
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, _reachable(path) as name:
        before = os.umask(0o177)
        try:
            listener.bind(name)
            listener.listen(16)
            listener.setblocking(False)
        finally:
            os.umask(before)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def running(path: Path) -> bool:
    """Whether a service answers there."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        try:
            with _reachable(path) as name:
                sock.connect(name)
        except OSError:
            return False
    return True


def ask(path: Path, op: str, *, limit: float = _ANSWER_SECONDS, **arguments: Any) -> Any:
    """One question to the running service. Raises ConnectionError when none runs, FindingsError when it refuses, does
    not answer in time, or is another user's."""
    line = _exchange(path, orjson.dumps({"op": op, **arguments}) + b"\n", limit)
    answer: dict[str, Any] = orjson.loads(line) if line else {"error": "the service ended"}
    if "ok" in answer:
        return answer["ok"]
    if "findings" in answer:
        raise FindingsError([Finding(**finding) for finding in answer["findings"]])
    raise FindingsError.one(
        "service-refused",
        f"服务没有回答这个问题：{answer['error']}",
        f"The service did not answer this: {answer['error']}",
        str(path),
    )


def _exchange(path: Path, question: bytes, limit: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(limit)
        try:
            with _reachable(path) as name:
                sock.connect(name)
            sock.sendall(question)
            with sock.makefile("rb") as answers:
                return answers.readline()
        except TimeoutError as error:
            raise FindingsError.one(
                "service-silent",
                f"服务在运行，但 {limit:.0f} 秒内没有应答：可能停住或过载，请查看其日志，必要时重启。",
                f"The service runs but has not answered for {limit:.0f} s: it may hang or be overloaded; see"
                " its log, and restart it if need be.",
                str(path),
            ) from error
        except PermissionError as error:
            raise FindingsError.one(
                "service-not-ours",
                "无权访问该服务的套接字：请用运行该服务的用户执行此命令（如 sudo -u）。",
                "No permission to ask the service at this socket: run the command as the service's user"
                " (such as `sudo -u`).",
                str(path),
            ) from error
        except OSError as error:
            raise ConnectionError(f"no service answers at {path}") from error


def open_or_ask(config: StoreConfig, op: str, *, agent: str = "", **arguments: Any) -> Any:
    """One of `operations`, answered by the running service, or from the store itself when none runs. `agent`: the
    service's own."""
    from edge_agent.stores import open_store

    try:
        return ask(socket_path(config.path), op, **arguments)
    except ConnectionError:
        store = open_store(config, agent)
    try:
        # Through JSON as well, so that both ways give the same types.
        return orjson.loads(orjson.dumps(operations(store)[op](**arguments)))
    finally:
        store.close()
