"""What a fuzz target is, and the one way it says that something is wrong."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


class WrongError(AssertionError):
    """A finding: the decoder did something that its documentation does not allow."""


def demand(fact: bool, *what: object) -> None:
    """Raises WrongError unless `fact` holds. Not an assert, so that -O cannot silence a target.

    `what` is in parts that only a finding puts together: most of a run's time would go into text
    else.
    """
    if not fact:
        raise WrongError(" ".join(map(str, what)))


@dataclass(frozen=True, slots=True)
class FuzzTarget:
    """One decoder: `run` takes any bytes, and whatever it raises is a finding."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    runs: int
    """By default: about a minute on one core."""
    words: tuple[bytes, ...] = ()
    """Tokens of the format, for libFuzzer's dictionary."""
    longest: int = 512
    """Bytes of an input."""
    full: int = 10_000_000
    """The runs after which the target counts as done (`--full`)."""
    each: int = full
    """Runs of one process. atheris keeps something of every comparison it follows, some 10 kB of a
    long run."""


class FuzzInput:
    """Decisions taken from the front of an input; an exhausted input decides 0."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, limit: int) -> int:
        """From 0 below `limit` (at most 65536)."""
        width = 1 if limit <= 256 else 2
        return int.from_bytes(self.take(width), "big") % limit

    def take(self, size: int) -> bytes:
        """The next `size` bytes, or what is left of them."""
        part = self._data[self._at : self._at + size]
        self._at += size
        return part

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.take(len(self._data))


def mutants(seeds: Iterable[bytes], count: int, longest: int, seed: int) -> Iterable[bytes]:
    """`count` inputs without a fuzzer's help: half of them noise, half of them damaged seeds."""
    rng = random.Random(seed)  # noqa: S311 - reproducible on purpose
    known = list(seeds) or [b""]
    for n in range(count):
        if n % 2:
            yield rng.randbytes(rng.randrange(longest))
            continue
        data = bytearray(rng.choice(known))
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        yield bytes(data)


@cache
def scratch() -> Path:
    """This process's folder for files. libFuzzer ends without Python's leave: then it goes with the
    caller's TMPDIR."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _kept(name: str) -> tuple[Path, int]:
    path = scratch() / name
    return path, os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)


def rewritten(name: str, content: bytes) -> Path:
    """A file of this name and content in `scratch`, kept open: making it anew would take longer
    than reading it."""
    path, fd = _kept(name)
    os.ftruncate(fd, len(content))
    os.pwrite(fd, content, 0)
    return path
