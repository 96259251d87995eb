"""The fuzz targets without a fuzzer: seeds, damaged seeds and noise, so that no target rots between
fuzz runs."""

from __future__ import annotations

import pytest

from fuzz import catalogue
from fuzz.target import FuzzInput, WrongError, demand, mutants

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", catalogue.MODULES)
def test_every_target_stands_its_seeds_and_noise(name: str) -> None:
    target = catalogue.find(name)
    seeds = list(target.seeds())
    assert seeds
    for data in [*seeds, *mutants(seeds, 200, target.longest, seed=1)]:
        target.run(data)


def test_a_broken_demand_is_a_finding() -> None:
    with pytest.raises(WrongError, match="two is not three"):
        demand(2 == 3, "two is not three")


def test_decisions_end_in_zeros() -> None:
    feed = FuzzInput(b"\x05\x01\x02rest")
    assert (feed.number(3), feed.number(1024), bool(feed), feed.rest()) == (2, 258, True, b"rest")
    assert (bool(feed), feed.number(7), feed.take(2)) == (False, 0, b"")
