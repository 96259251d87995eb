"""Which worker reads what, and who may hold how much: one place each, balanced, and nothing moves for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.app.agent.shares import LEAST, divided, weights
from edge_agent.app.workers.spread import TOLERANCE, homes, loads, rate, spread
from edge_agent.cli.main import main
from edge_agent.config.plugins import Installed
from edge_agent.config.transfer import packed, unpacked
from tests.support.sites import refused, site, write

WORKERS = st.integers(1, 16)
WEIGHTS = st.dictionaries(st.text("abcdef0123456789", min_size=1, max_size=4), st.floats(0.001, 100_000), max_size=60)
PLUGINS = Installed()


@given(WEIGHTS, WORKERS)
def test_every_connection_is_in_one_worker_and_the_load_is_balanced(weights: dict[str, float], workers: int) -> None:
    placed = spread(weights, workers, {})
    assert placed.keys() == weights.keys()
    assert set(placed.values()) <= set(range(1, workers + 1))
    assert spread(dict(reversed(weights.items())), workers, {}) == placed, "the order of the file does not matter"
    load = loads(weights, placed, workers)
    heaviest = max(weights.values(), default=0.0)
    assert max(load.values()) <= sum(weights.values()) / workers + heaviest * (1 + 1e-9)


@given(WEIGHTS, WEIGHTS, WORKERS)
def test_a_reload_moves_only_what_the_balance_needs(
    before: dict[str, float], after: dict[str, float], workers: int
) -> None:
    first = spread(before, workers, {})
    assert spread(before, workers, first) == first, "nothing new, nothing moves"
    known = {key: worker for key, worker in first.items() if key in after}
    second = spread(after, workers, known)
    assert second.keys() == after.keys()
    load = loads(after, second, workers)
    fresh = max(loads(after, spread(after, workers, {}), workers).values())
    heaviest = max(after.values(), default=0.0)
    bound = max(TOLERANCE * fresh, sum(after.values()) / workers + heaviest)
    assert max(load.values()) <= bound * (1 + 1e-9)


def test_one_device_more_or_less_leaves_all_others_where_they_are() -> None:
    many = {f"plc-{n:03}": 100.0 for n in range(99)}
    placed = spread(many, 4, {})
    assert sorted(loads(many, placed, 4).values()) == [2400, 2500, 2500, 2500]
    more = spread(many | {"new": 100.0}, 4, placed)
    assert {key: more[key] for key in many} == placed
    assert set(loads(many | {"new": 100.0}, more, 4).values()) == {2500}
    less = {key: weight for key, weight in many.items() if key != "plc-007"}
    assert spread(less, 4, placed) == {key: placed[key] for key in less}


def test_a_balance_that_has_gone_is_restored_with_few_moves() -> None:
    first = {f"c{n}": 10.0 for n in range(12)}
    placed = spread(first, 3, {})
    left = {key: 10.0 for key, worker in placed.items() if worker == 1} | {"x": 10.0}
    second = spread(left, 3, dict.fromkeys(left, 1))
    assert max(loads(left, second, 3).values()) <= TOLERANCE * 20
    assert sum(worker != 1 for worker in second.values()) == 3


SITE = """
devices:
  - {id: a, connector: modbus, url: 'tcp://10.0.0.1:502', unit: 1, every: 100ms, tags: {x: {address: holding/0}}}
  - {id: b, connector: modbus, url: 'tcp://10.0.0.1:502', unit: 2, tags: {x: {address: holding/0}}}
  - {id: c, connector: modbus, url: 'tcp://10.0.0.2:502', tags: {x: {address: holding/0, every: 500ms}}}
  - {id: d, connector: modbus, url: 'tcp://10.0.0.3:502', tags: {x: {address: holding/0}}}
"""
TWO = "agent: {id: ipc-01, workers: 2}\nmqtt: {url: mqtt://127.0.0.1:1883}\n"


def test_devices_that_share_a_connection_stay_together_and_rates_decide(tmp_path: Path) -> None:
    found = site(tmp_path, SITE)
    assert [rate(device) for device in found.devices] == [10, 1, 2, 1]
    assert homes(found.devices, PLUGINS, 2) == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert homes(found.devices, PLUGINS, 1) == dict.fromkeys("abcd", 1)


def test_a_device_whose_address_changed_stays_with_its_worker(tmp_path: Path) -> None:
    found = site(tmp_path, SITE.replace("10.0.0.3", "10.0.0.9"))
    before = {"a": 2, "b": 2, "c": 1, "d": 1}
    assert homes(found.devices, PLUGINS, 2, before) == before


def test_check_says_how_the_devices_are_spread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(write(tmp_path, SITE, head=TWO))]) == 0
    text = capsys.readouterr().out
    assert "1: 2 台设备 devices, 11 值/秒 values/s: a, b" in text
    assert "2: 2 台设备 devices, 3 值/秒 values/s: c, d" in text
    assert main(["check", str(write(tmp_path, SITE))]) == 0
    assert "Workers" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("keys", "code"), [("workers: 0", "out-of-range"), ("workers: 17", "out-of-range"), ("workers: two", "wrong-type")]
)
def test_the_number_of_workers_is_bounded(tmp_path: Path, keys: str, code: str) -> None:
    head = f"agent: {{id: ipc-01, {keys}}}\nmqtt: {{url: mqtt://127.0.0.1:1883}}\n"
    (finding,) = refused(write(tmp_path, "devices: []", head=head))
    assert (finding.code, "workers" in finding.en) == (code, True)


def test_an_outbox_too_small_for_all_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "outbox: {max_bytes: 2999999}\ndevices: []", head=TWO)
    (finding,) = refused(path)
    assert "at least 3000000" in finding.en


def test_a_site_arrives_in_another_process_as_it_was(tmp_path: Path) -> None:
    head = "agent: {id: ipc-01}\nmqtt: {url: mqtt://127.0.0.1:1883, password: hunter2}\n"
    before = write(tmp_path, SITE, head=head)
    from edge_agent.config import load

    found = load(before)
    again = unpacked(packed(found, PLUGINS))
    assert again == found
    assert [type(device) for device in again.devices] == [type(device) for device in found.devices]
    assert again.mqtt.password is not None
    assert again.mqtt.password.get_secret_value() == "hunter2"


RATES = st.dictionaries(WORKERS, st.floats(0, 1e6), min_size=1, max_size=16)


@given(RATES, st.data())
def test_shares_never_exceed_the_bound_and_leave_room_for_what_is_held(
    rates: dict[int, float], data: st.DataObject
) -> None:
    parts = weights(rates)
    assert sum(parts.values()) == pytest.approx(1)
    total = data.draw(st.integers(1_000_000 * (len(rates) + 1), 4_000_000_000))
    closed = data.draw(st.integers(0, total // 4))
    former = data.draw(st.sets(st.integers(17, 30), max_size=4))
    held = {one: data.draw(st.integers(0, total // (len(parts) + len(former)))) for one in [*parts, *former]}
    limits = divided(total, held, parts, closed)
    assert limits.keys() == held.keys()
    assert sum(limits.values()) + closed <= total
    assert min(limits.values()) >= LEAST
    room = total - closed - LEAST * len(held)
    if sum(held.values()) <= 0.96 * room:
        assert all(limits[one] > held[one] + 1000 for one in held), "nobody drops while there is room"
    elif sum(held.values()) <= room:
        small = [one for one in parts if held[one] <= 0.9 * room * parts[one]]
        assert all(limits[one] > held[one] for one in small), "who holds less than its part gives nothing"


def test_what_a_backlog_gives_back_is_shared_again() -> None:
    parts = weights({1: 100.0, 2: 300.0})
    empty = divided(1_000_000_000, {}, parts)
    assert empty[2] > empty[1] > 300_000_000
    assert divided(1_000_000_000, {0: 600_000_000}, parts)[0] > 600_000_000
    full = divided(1_000_000_000, {0: 0, 3: 1_000_000_000}, parts)
    assert full[2] > 10_000_000, "full: the oldest gives way to the new"
    assert 950_000_000 < full[3] < 1_000_000_000
