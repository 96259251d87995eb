"""A clock that jumped ahead and was put right: what it stamped pins no value and proves no device
alive."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.app.status.overview import _device
from edge_agent.app.status.recent_health import NOTHING_RECENT
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import Chunk, Rows
from edge_agent.stores.newest_samples import NewestSamples

S = 1_000_000_000
NOW = 1_800_000_000 * S
KINDS = np.full(1, 3, np.uint8)
TWO_KINDS = np.full(2, 3, np.uint8)


def _rows(*samples: tuple[int, float]) -> Rows:
    return Rows.of([Chunk(np.zeros(1, np.int32), t, np.array([x]), KINDS) for t, x in samples])


@pytest.mark.parametrize("ahead", [NOW + 3600 * S, 2**63 - 1])
def test_what_comes_after_a_jump_replaces_what_was_stamped_ahead(ahead: int) -> None:
    newest = NewestSamples()
    newest.update(_rows((ahead, 1.0)), NOW)
    newest.update(_rows((NOW, 2.0)), NOW)
    assert (newest.rows().t.tolist(), newest.rows().num.tolist()) == ([NOW], [2.0])
    newest.update(_rows((NOW + S, 3.0), (ahead, 4.0), (NOW + 2 * S, 5.0)), NOW + 2 * S)
    newest.update(_rows((NOW + S, 6.0)), NOW + 2 * S)
    assert newest.rows().num.tolist() == [5.0]


@pytest.mark.parametrize(
    ("ahead", "quality"), [(0, "Good"), (1, "Good"), (3600, "UncertainLastUsableValue")]
)
def test_a_sample_from_the_future_is_not_fresh(ahead: int, quality: str) -> None:
    catalogue, newest = Catalogue(), NewestSamples()
    newest.update(
        Rows.of(
            [
                Chunk(
                    catalogue.ids("m1", ("n", "machine_state")),
                    NOW + ahead * S,
                    np.ones(2),
                    TWO_KINDS,
                )
            ]
        )
    )
    readings, state = (
        newest.by_device(catalogue, NOW)["m1"],
        newest.of_tag(catalogue, "m1", "machine_state"),
    )
    row = _device("m1", {"tags": 2}, readings, state, NOTHING_RECENT, NOW)
    assert row["quality"] == quality
    assert (row["last_good_age_s"] is None) == (ahead > 5)
    assert (row["state"] == "NotAvailable") == (ahead > 5)
