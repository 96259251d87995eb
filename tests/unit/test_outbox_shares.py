"""Who may hold how much while outboxes of former worker processes are emptied, and what became of
`workers`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.app.agent.outbox_shares import LEAST, divided
from edge_agent.cli.main import main
from tests.support.sites import refused, write

SITE = """
devices:
  - {id: a, connector: modbus, url: 'tcp://10.0.0.1:502', tags: {x: {address: holding/0}}}
"""


def head(workers: object) -> str:
    return f"agent: {{id: ipc-01, workers: {workers}}}\nmqtt: {{url: mqtt://127.0.0.1:1883}}\n"


@given(st.data())
def test_shares_never_exceed_the_bound_and_leave_room_for_what_is_held(data: st.DataObject) -> None:
    others = data.draw(st.sets(st.integers(1, 16), max_size=6))
    total = data.draw(st.integers(1_000_000 * (len(others) + 1), 4_000_000_000))
    closed = data.draw(st.integers(0, total // 4))
    most = total // (len(others) + 1)
    own = data.draw(st.integers(0, most))
    held = {one: data.draw(st.integers(0, most)) for one in others}
    mine, limits = divided(total, own, held, closed)
    assert limits.keys() == held.keys()
    assert mine + sum(limits.values()) + closed <= total
    assert min([mine, *limits.values()]) >= LEAST
    room = total - closed - LEAST * (1 + len(held))
    if own + sum(held.values()) <= 0.96 * room:
        assert mine > own + 1000, "nothing is dropped while there is room"
        assert all(limits[one] >= held[one] for one in held)


def test_what_a_backlog_gives_back_goes_to_the_agent() -> None:
    assert divided(1_000_000_000, 0, {})[0] > 999_000_000
    assert divided(1_000_000_000, 600_000_000, {})[0] > 600_000_000
    own, others = divided(1_000_000_000, 0, {3: 1_000_000_000})
    assert own > 10_000_000, "full: the oldest gives way to the new"
    assert 950_000_000 < others[3] < 1_000_000_000


def test_one_worker_is_accepted_and_said_to_be_without_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(write(tmp_path, SITE, head=head(1)))]) == 0
    text = capsys.readouterr().out
    assert "agent.workers has no effect any more" in text
    assert "agent.workers 不再起作用" in text
    assert main(["check", str(write(tmp_path, SITE))]) == 0
    assert "workers" not in capsys.readouterr().out


def test_more_workers_are_refused_with_the_way_of_two_files(tmp_path: Path) -> None:
    (finding,) = refused(write(tmp_path, SITE, head=head(3)))
    assert finding.code == "obsolete-key"
    assert "divide the devices among two files" in finding.en
    assert "两个配置文件" in finding.zh
    assert ":1:" in finding.where


@pytest.mark.parametrize(("workers", "code"), [(0, "out-of-range"), ("two", "wrong-type")])
def test_what_is_no_number_of_processes_is_refused(
    tmp_path: Path, workers: object, code: str
) -> None:
    (finding,) = refused(write(tmp_path, SITE, head=head(workers)))
    assert (finding.code, "workers" in finding.en) == (code, True)
