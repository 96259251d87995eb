"""How the bound of the outbox is shared out among the processes of one agent. Pure.

Each has room for what it holds, and what is free is divided by what each has to do. Done again and again, the shares
follow the backlog: nobody drops anything while there is room anywhere, and together they never exceed the bound. When
nothing is free, who holds more than its part gives way, a little at a time: the oldest is dropped, as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The agent's own outbox takes a row a minute; so much of the whole is enough for that.
_OWN_PART: Final = 1 / 64
#: Half of the free space is divided equally, so that a worker with little to do can bear a long outage too.
_EQUAL_PART: Final = 0.5
#: At least so much is kept free, for what is read until the next division.
_FREE: Final = 1 / 32
#: Two of the smallest segments: nobody can work with less. Bytes.
LEAST: Final = 65_536


def weights(rates: Mapping[int, float]) -> dict[int, float]:
    """Each one's part of what is free: the agent (0), and the workers by the values a second they read."""
    total, left = sum(rates.values()), 1 - _OWN_PART
    fair = 1 / len(rates)
    parts = {
        worker: left * (_EQUAL_PART * fair + (1 - _EQUAL_PART) * (rate / total if total else fair))
        for worker, rate in rates.items()
    }
    return {0: _OWN_PART, **parts}


def divided(total: int, held: Mapping[int, int], parts: Mapping[int, float], closed: int = 0) -> dict[int, int]:
    """The bytes each outbox may hold: those of `parts`, and those that are only `held`, which get no more than that.

    `closed`: what is taken by outboxes that nobody can change now.
    """
    everyone = {**dict.fromkeys(held, 0.0), **parts}
    room, full = max(0, total - closed - LEAST * len(everyone)), sum(held.values())
    free = max(room - full, int(room * _FREE))
    kept = min(1.0, (room - free) / full) if full else 1.0
    return {one: LEAST + int(held.get(one, 0) * kept) + int(free * part) for one, part in everyone.items()}
