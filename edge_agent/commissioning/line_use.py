"""Who on this machine uses a line already: a running agent, or any other program.

A serial bus takes one master, and many a device one connection. Found by what the kernel says of
open files and sockets; a program of another user is seen only by root, a connection of any user
always.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.discovery import DiscoveryTarget
from edge_agent.errors import Finding
from edge_agent.words import command

_PROC: Final = Path("/proc")
_ESTABLISHED: Final = "01"
_LONGEST: Final = 80


@dataclass(frozen=True, slots=True)
class LineUser:
    """A process that has the line open; its number is None when another user's is not to be
    seen."""

    pid: int | None
    program: str


def line_users(target: DiscoveryTarget) -> list[LineUser]:
    """The processes beside this one that have the serial port open, or a connection to the
    address."""
    if target.serial:
        return [LineUser(pid, _program(pid)) for pid in _with_open(os.path.realpath(target.serial))]
    users = []
    for inode in _connections(target.host, target.port):
        pids = list(_with_open(f"socket:[{inode}]"))
        if os.getpid() not in _all_with_open(f"socket:[{inode}]"):
            users += [LineUser(pid, _program(pid)) for pid in pids] or [LineUser(None, "")]
    return users


def in_use(target: DiscoveryTarget, where: str) -> Finding | None:
    """Why the line should be left alone; None when nobody uses it, or several may."""
    if not target.exclusive:
        return None
    users = line_users(target)
    if not users:
        return None
    user = users[0]
    zh_who = f"进程 {user.pid}（{user.program}）" if user.pid else "另一用户的程序"
    en_who = f"process {user.pid} ({user.program})" if user.pid else "a program of another user"
    return Finding(
        "line-in-use",
        where,
        f"{zh_who}正在使用这条线路；两个程序同时询问会互相打乱，只接受一个连接的设备会断开前一个。"
        f"请先停下它，或用 {command('read')} CONFIG 让运行中的采集代理来读；确要继续请加 "
        "--anyway。",
        f"{en_who} uses this line: two that ask at the same time disturb one another, and a "
        "device with room for one"
        " connection drops the first. Stop it, or let the running agent read with "
        f"`{command('read')} CONFIG`; add"
        " --anyway to go on all the same.",
    )


def _with_open(link: str) -> Iterator[int]:
    """Processes other than this one that have a file open."""
    return (pid for pid in _all_with_open(link) if pid != os.getpid())


def _all_with_open(link: str) -> list[int]:
    found = []
    for folder in _PROC.glob("[0-9]*/fd"):
        try:
            if any(os.readlink(one) == link for one in folder.iterdir()):
                found.append(int(folder.parent.name))
        except OSError:  # it has ended meanwhile, or is another user's
            continue
    return found


def _connections(host: str, port: int) -> list[str]:
    """The sockets of this machine that are connected to an address."""
    try:
        addresses = {
            str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        }
    except OSError:
        return []
    found = []
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == _ESTABLISHED and _decoded(columns[2], family) in {
                (one, port) for one in addresses
            }:
                found.append(columns[9])
    return found


def _decoded(text: str, family: int) -> tuple[str, int]:
    """An address as the kernel writes it: words of the machine's own byte order in hex."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    shown = socket.inet_ntop(family, b"".join(words))
    return shown.removeprefix("::ffff:"), int(port, 16)


def _program(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "?"
    text = " ".join(os.path.basename(word.decode("utf-8", "replace")) for word in words if word)
    return text[:_LONGEST]
