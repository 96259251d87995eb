"""How other commands ask the running service: JSON lines on a Unix socket beside the store's file.

The embedded store can be opened by one process only, so whoever wants to know asks its owner:
`{"op": "latest", "device": "vmc-02"}` -> `{"ok": ...}` or `{"error": "..."}`. Only the same user can connect, and
the group of `agent.group`.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import grp
import hashlib
import inspect
import logging
import os
import socket
import stat
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from edge_agent.errors import Finding, FindingsError, StoreError

if TYPE_CHECKING:  # the agent serves a socket too, and must not load what only a store needs
    from edge_agent.config.models import Store as StoreConfig
    from edge_agent.stores import Store

log = logging.getLogger(__name__)

Operation = Callable[..., Any]
"""Takes the request's other keys as keywords, returns something JSON can say. Plain functions run in a thread,
coroutine functions on the loop."""

#: The key that says where a part's socket is.
_KEYS: Final = {"run": "outbox.path", "serve": "store.path"}

_LINE: Final = 1_000_000
_ANSWER_SECONDS: Final = 60.0
_ACCEPT_PAUSE: Final = 0.5


#: Where the units of this project have their sockets: `RuntimeDirectory=edge-agent/%i` and `edge-agent-serve/%i`.
RUNTIME_ROOTS: Final = ("/run", os.environ.get("XDG_RUNTIME_DIR", ""))


def socket_path(owned: Path) -> Path:
    """Where the part listens that owns this file or folder, the same for it and for those who ask.

    In $RUNTIME_DIRECTORY where there is one; else where such a unit has left its socket; else beside what is owned.
    """
    digest = hashlib.blake2b(os.fsencode(os.path.abspath(owned)), digest_size=4).hexdigest()
    name = f"{owned.name}-{digest}.sock"
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]  # several are separated by colons
    if runtime and (Path(runtime) / name).exists():
        return Path(runtime) / name
    for root in filter(None, RUNTIME_ROOTS):
        for folder in ("edge-agent", "edge-agent-serve"):
            for path in _found(Path(root) / folder, name):
                return path
    return Path(runtime) / name if runtime else owned.with_name(owned.name + ".sock")


def _found(folder: Path, name: str) -> list[Path]:
    try:
        return sorted(folder.glob(f"*/{glob.escape(name)}"))
    except OSError:  # not for us to look into
        return []


def operations(store: Store) -> dict[str, Operation]:
    """The questions of the store protocol, answered in plain JSON."""
    return {
        "known_devices": lambda agents=(): store.catalogue.known_devices(agents),
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


@contextlib.asynccontextmanager
async def serving(
    path: Path, known: Mapping[str, Operation], *, part: str = "serve", group: str | None = None
) -> AsyncIterator[None]:
    """Answer on `path` while the block runs, to the same user (mode 0600), or to a `group` too (0660).

    `part`: the command that listens, `run` or `serve`. A socket left behind by a killed service is replaced. Raises
    FindingsError when somebody answers there, or something else is in the place.
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
            # No descriptor is free: who asks waits in the queue, and the loop must not spin meanwhile.
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
        return orjson.dumps({"findings": [asdict(Finding("store-away", "store", error.cause.zh, error.cause.en))]})
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
def _listening(path: Path, part: str, group: str | None) -> Iterator[socket.socket]:
    _make_room(path, part)
    with socket.socket(socket.AF_UNIX) as listener, _reachable(path) as name:
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
    """Let a group ask. What fails is logged, and the socket stays its user's: the data matter more."""
    if group is None:
        return
    try:
        number = grp.getgrnam(group).gr_gid
        if number != os.getegid():
            os.chown(name, -1, number)
        os.chmod(name, 0o660)
    except (KeyError, OSError) as error:
        log.error("socket-group-refused group=%s reason=%s hint='Group= in the unit, or a member of it'", group, error)


def _make_room(path: Path, part: str) -> None:
    """Take a socket away that a killed process left. Raises FindingsError when something else is there."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FindingsError.one(
            "socket-place-taken",
            "这里需要放本机套接字，却已有另一个文件：请移走它，或更改 outbox.path 或 store.path。",
            "Something that is no socket stands where the control socket belongs: move it away, or change outbox.path"
            " or store.path.",
            str(path),
        )
    listener = _listener_at(path)
    if listener is not None:
        raise _taken(path, part, listener)
    path.unlink(missing_ok=True)


def _taken(path: Path, part: str, listener: int) -> FindingsError:
    """Who answers at the socket: a part of ours, or a stranger."""
    try:
        known = ask(path, "status", limit=0.5)
    except (ConnectionError, FindingsError):
        known = None
    if isinstance(known, dict) and "ne107" in known:
        part = "run" if "agent" in known else "serve"
    elif not _is_ours(listener):
        return FindingsError.one(
            "socket-of-another",
            f"另一个程序（进程 {listener}）占用了 edge-agent {part} 的本机套接字：请停止该程序，或更改 {_KEYS[part]}。",
            f"Another program (process {listener}) holds the control socket of `edge-agent {part}`: stop it, or change"
            f" {_KEYS[part]}.",
            str(path),
        )
    zh, en = ("数据库", "store") if part == "serve" else ("发件箱", "outbox")
    return FindingsError.one(
        "already-serving" if part == "serve" else "already-running",
        f"已有一个 edge-agent {part}（进程 {listener}）正在使用这个{zh}：请先停止它，或更改 {_KEYS[part]}。",
        f"Another `edge-agent {part}` (process {listener}) is using this {en}: stop it first, or change {_KEYS[part]}.",
        str(path),
    )


def _is_ours(process: int) -> bool:
    """Whether a process is an edge-agent that is too busy to answer, as far as may be seen."""
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return process == os.getpid() or b"edge-agent" in command or b"edge_agent" in command


def _listener_at(path: Path) -> int | None:
    """The process that listens there; None when nobody does."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        try:
            with _reachable(path) as name:
                sock.connect(name)
        except TimeoutError:
            return 0  # its queue is full: somebody is there
        except OSError:
            return None
        return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def running(path: Path) -> bool:
    """Whether a service answers there."""
    return _listener_at(path) is not None


def ask(path: Path, op: str, *, limit: float = _ANSWER_SECONDS, **arguments: Any) -> Any:
    """One question to the running service. Raises ConnectionError when none runs, FindingsError when it refuses, does
    not answer in time, or is another user's."""
    line = _exchange(path, orjson.dumps({"op": op, **arguments}) + b"\n", limit)
    answer = _understood(line, path)
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


def _understood(line: bytes, path: Path) -> dict[str, Any]:
    """The answer as a document. Raises FindingsError for one that is none of ours."""
    if not line:
        return {"error": "the service ended"}
    with contextlib.suppress(orjson.JSONDecodeError):
        answer = orjson.loads(line)
        if isinstance(answer, dict) and answer.keys() & {"ok", "error", "findings"}:
            return answer
    raise FindingsError.one(
        "service-unknown",
        "这个套接字后面不是 edge-agent：请查看是哪个程序（ss -xlp），停止它，或更改 outbox.path 或 store.path。",
        "What answers at this socket is no edge-agent: see which program it is (ss -xlp), stop it, or change"
        " outbox.path or store.path.",
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
                "无权访问该服务的套接字：请用运行该服务的用户执行此命令（如 sudo -u），或加入 agent.group 中的用户组。",
                "No permission to ask the service at this socket: run the command as the service's user"
                " (such as `sudo -u`), or as a member of the group in agent.group.",
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
