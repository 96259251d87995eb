"""How the bound of the outbox is divided while outboxes of former processes are being emptied.
Pure.

Nobody drops anything while there is room anywhere, and together they never exceed the bound. When
nothing is free, each gives way in proportion to what it holds, a little at a time: its oldest
entries are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: At least this part of the bound is kept free, for what is read until the next division.
_FREE: Final = 1 / 32
#: Two of the smallest segments: no outbox can work with less. Bytes.
LEAST: Final = 65_536


def divided(
    total: int, own: int, others: Mapping[int, int], closed: int = 0
) -> tuple[int, dict[int, int]]:
    """The bytes that the agent's outbox may hold, and each of the others, which get no more than
    they hold.

    `own`, `others`: bytes that each holds. `closed`: bytes of outboxes that nobody can change now.
    """
    full = own + sum(others.values())
    room = max(0, total - closed - LEAST * (1 + len(others)))
    free = max(room - full, int(room * _FREE))
    kept = min(1.0, (room - free) / full) if full else 1.0
    limits = {one: LEAST + int(held * kept) for one, held in others.items()}
    return LEAST + int(own * kept) + free, limits
