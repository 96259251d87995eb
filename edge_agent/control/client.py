"""Asking a running part over its control socket: where the socket is, and one question.

A question is a line of JSON, `{"op": "latest", "device": "vmc-02"}`; so is the answer, `{"ok":
...}`, `{"findings": [...]}` or `{"error": "..."}`.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from edge_agent.errors import Finding, FindingsError

_ANSWER_SECONDS: Final = 60.0
#: Where the units of this project have their sockets: `RuntimeDirectory=edge-agent/%i` and
#: `edge-agent-serve/%i`.
RUNTIME_ROOTS: Final = ("/run", os.environ.get("XDG_RUNTIME_DIR", ""))


def socket_path(owned: Path) -> Path:
    """Where the part listens that owns this file or folder, the same for it and for those who ask.

    In $RUNTIME_DIRECTORY where there is one; else where such a unit has left its socket; else
    beside what is owned.
    """
    digest = hashlib.blake2b(os.fsencode(os.path.abspath(owned)), digest_size=4).hexdigest()
    name = f"{owned.name}-{digest}.sock"
    # several are separated by colons
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
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


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """A name for the socket short enough for the kernel (107 bytes), through its folder's
    descriptor if need be."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listener_at(path: Path) -> int | None:
    """The process that listens there; None when nobody does."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        try:
            with reachable(path) as name:
                sock.connect(name)
        except TimeoutError:
            return 0  # its queue is full: somebody is there
        except OSError:
            return None
        return int(
            struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        )


def running(path: Path) -> bool:
    """Whether a service answers there."""
    return listener_at(path) is not None


def ask(path: Path, op: str, *, limit: float = _ANSWER_SECONDS, **arguments: Any) -> Any:
    """One question to the running service. Raises ConnectionError when none runs, FindingsError
    when it refuses, does not answer in time, or is another user's."""
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
        "这个套接字后面不是 edge-agent：请查看是哪个程序（ss -xlp），停止它，或更改 outbox.path "
        "或 store.path。",
        "What answers at this socket is no edge-agent: see which program it is (ss -xlp), stop "
        "it, or change"
        " outbox.path or store.path.",
        str(path),
    )


def _exchange(path: Path, question: bytes, limit: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(limit)
        try:
            with reachable(path) as name:
                sock.connect(name)
            sock.sendall(question)
            with sock.makefile("rb") as answers:
                return answers.readline()
        except TimeoutError as error:
            raise FindingsError.one(
                "service-silent",
                f"服务在运行，但 {limit:.0f} 秒内没有应答：可能停住或过载，请查看其日志，"
                "必要时重启。",
                f"The service runs but has not answered for {limit:.0f} s: it may hang or be "
                "overloaded; see"
                " its log, and restart it if need be.",
                str(path),
            ) from error
        except PermissionError as error:
            raise FindingsError.one(
                "service-not-ours",
                "无权访问该服务的套接字：请用运行该服务的用户执行此命令（如 sudo -u），或加入 "
                "agent.group 中的用户组。",
                "No permission to ask the service at this socket: run the command as the "
                "service's user"
                " (such as `sudo -u`), or as a member of the group in agent.group.",
                str(path),
            ) from error
        except OSError as error:
            raise ConnectionError(f"no service answers at {path}") from error
