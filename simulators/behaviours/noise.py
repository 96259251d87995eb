"""Plausible unrest: pure functions of the simulated time, so a value never depends on how often it
was read."""

from __future__ import annotations

from math import sin, tau
from zlib import crc32


class Wave:
    """A smooth curve in [-1, 1]: three sines whose periods share no common multiple worth
    noticing."""

    __slots__ = ("_terms",)

    def __init__(self, seed: str, period: float) -> None:
        phase = crc32(seed.encode()) / 2**32 * tau
        self._terms = [
            (tau / (period * ratio), phase * factor, weight)
            for ratio, factor, weight in (
                (1.0, 1.0, 0.5),
                (0.381966, 2.3, 0.3),
                (0.141421, 4.1, 0.2),
            )
        ]

    def __call__(self, t: float) -> float:
        return sum(weight * sin(rate * t + phase) for rate, phase, weight in self._terms)


def jitter(seed: int, t: float) -> float:
    """White noise in [-1, 1), the same for the same seed and time."""
    x = (int(t * 1000) * 0x9E3779B1 ^ seed * 0x85EBCA77) & 0xFFFFFFFF
    x = (x ^ x >> 15) * 0x2C1B3C6D & 0xFFFFFFFF
    x = (x ^ x >> 12) * 0x297A2D39 & 0xFFFFFFFF
    return (x ^ x >> 15) / 2**31 - 1.0
