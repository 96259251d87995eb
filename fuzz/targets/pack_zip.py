"""Evidence packs that anybody may hand in: a zip is read within its own names and bounds, or
refused as no pack."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from struct import Struct
from typing import Final

from edge_agent.errors import FindingsError
from edge_agent.report.archive import zipped
from edge_agent.report.pack.build import MANIFEST, SCHEMA
from edge_agent.report.pack.verify import read_pack
from fuzz.target import FuzzInput, FuzzTarget, demand, rewritten

_LOCAL: Final = Struct("<4s5H3I2H")
_CENTRAL: Final = Struct("<4s6H3I5H2I")
_END: Final = Struct("<4s4H2IH")
_MOST: Final = 60_000_000
"""Bytes that a zip of a few hundred may unpack into."""


def archive(data: bytes) -> None:
    """The first byte says whether the rest is a zip, or what one is made of: members with right
    check sums."""
    raw = _made(FuzzInput(data[1:])) if data and data[0] % 2 else data[1:]
    path = rewritten("pack.zip", raw)
    try:
        files = read_pack(path)
    except FindingsError as error:
        demand([finding.code for finding in error.findings] == ["no-pack"], error.findings)
        return
    demand(
        sum(map(len, files.values())) < _MOST,
        "unpacked",
        sum(map(len, files.values())),
        "bytes from",
        len(raw),
    )
    for name in files:
        demand(
            not name.startswith(("/", "\\")) and ".." not in name.split("/") and ":" not in name,
            "outside:",
            name,
        )


def _made(feed: FuzzInput) -> bytes:
    """A zip of stored members; no fuzzer would guess a check sum or an offset."""
    body, central, count = b"", b"", 0
    while feed and count < 8:
        flags, name, content = (
            feed.number(16),
            feed.take(feed.number(24)),
            feed.take(feed.number(200)),
        )
        name = MANIFEST.encode() if flags & 1 else name
        method, claimed = (
            (feed.number(100) if flags & 2 else 0),
            (1 << feed.number(32) if flags & 4 else len(content)),
        )
        fixed = (
            20,
            flags & 8,
            method,
            0,
            0,
            zlib.crc32(content),
            len(content),
            claimed,
            len(name),
            0,
        )
        central += _CENTRAL.pack(b"PK\x01\x02", 20, *fixed[:9], 0, 0, 0, 0, 0, len(body)) + name
        body += _LOCAL.pack(b"PK\x03\x04", *fixed) + name + content
        count += 1
    return body + central + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(central), len(body), 0)


def _manifest(*paths: str, **more: object) -> bytes:
    files = [{"path": path, "sha256": "0" * 64} for path in paths]
    return json.dumps({"schema": SCHEMA, "files": files} | more, separators=(",", ":")).encode()


def _seeds() -> Iterable[bytes]:
    yield b"\0" + zipped({MANIFEST: _manifest("a"), "a": b"1" * 40})
    yield b"\0" + zipped({MANIFEST: _manifest("../a", "a"), "../a": b"1"})
    yield b"\0PK\x05\x06" + bytes(18)
    for paths in (("a",), ("../a",), ("a", "a"), ("C:\\x",), ("/etc/passwd",), ("manifest.json",)):
        text = _manifest(*paths)
        yield b"\1" + bytes((1, 0, len(text))) + text + bytes((0, 1)) + b"a" + bytes((3,)) + b"123"
    for text in (b"[]", b'{"schema":"edge-agent/evidence/1","files":[{"path":1}]}', b"[" * 190):
        yield b"\1" + bytes((1, 0, len(text))) + text
    text = _manifest("a")
    yield (
        b"\1"
        + bytes((1, 0, len(text)))
        + text
        + bytes((6, 1))
        + b"a"
        + bytes((3,))
        + b"123"
        + bytes((8, 31))
    )


TARGETS = (
    FuzzTarget(
        "pack-zip",
        archive,
        _seeds,
        100_000,
        words=(b'"path":"', b'"files":', b"../", b"PK\x01\x02", b"PK\x05\x06"),
        longest=500,
        full=1_000_000,
    ),
)
