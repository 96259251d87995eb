"""Packet filters, in a network namespace of the row's own (the runner makes it)."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator


def _filter(action: str, chain: str, *words: str) -> None:
    subprocess.run(["iptables", "-w", action, chain, "-p", "tcp", *words], check=True)


@contextlib.contextmanager
def _filtered(port: int, *target: str) -> Iterator[None]:
    """Apply to everything to and from a port of this namespace."""
    rules = [("INPUT", "--dport", str(port), *target), ("INPUT", "--sport", str(port), *target)]
    for rule in rules:
        _filter("-A", *rule)
    try:
        yield
    finally:
        for rule in rules:
            _filter("-D", *rule)


def black_hole(port: int) -> contextlib.AbstractContextManager[None]:
    """Every packet vanishes, without a word to either side."""
    return _filtered(port, "-j", "DROP")


def resets(port: int) -> contextlib.AbstractContextManager[None]:
    """Every packet is answered by a reset."""
    return _filtered(port, "-j", "REJECT", "--reject-with", "tcp-reset")


def loss(port: int, share: float) -> contextlib.AbstractContextManager[None]:
    """This share of the packets vanishes, each way."""
    return _filtered(
        port, "-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP"
    )
