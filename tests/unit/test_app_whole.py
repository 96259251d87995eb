"""Several processes told as one agent: figures, facts, rows; and the talk between them."""

from __future__ import annotations

from typing import Any

from edge_agent.app.agent.delivery_counters import ended, sum_documents
from tests.unit.test_app_exposition import status


def figures(read: int, pending: int, oldest: int | None) -> dict[str, Any]:
    one = status()
    counters = one["counters"] | {"read": read}
    outbox = one["outbox"] | {"pending_values": pending, "oldest_t": oldest}
    return {"counters": counters, "entries": one["entries"], "outbox": outbox}


def test_figures_are_added_and_of_the_oldest_values_the_oldest_counts() -> None:
    whole = sum_documents([figures(10, 1, None), figures(5, 2, 700), figures(1, 3, 600)])
    assert (
        whole["counters"]["read"],
        whole["outbox"]["pending_values"],
        whole["outbox"]["oldest_t"],
    ) == (16, 6, 600)
    assert whole.keys() == {"counters", "entries", "outbox"}
    assert sum_documents([figures(1, 0, None)])["outbox"]["oldest_t"] is None


def test_a_life_that_is_over_has_counted_and_holds_nothing() -> None:
    over = ended(figures(10, 7, 700))
    assert over["counters"]["read"] == 10
    assert (
        over["outbox"]["pending_values"],
        over["outbox"]["bytes"],
        over["outbox"]["oldest_t"],
    ) == (0, 0, None)
