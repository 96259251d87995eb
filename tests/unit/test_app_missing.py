"""What is missing, from when to when, and why: out of a real store, for the ways in which a night
goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edge_agent.app.status.missing import report
from edge_agent.app.status.view import _missing
from edge_agent.control.prometheus import _missing as _exposed
from edge_agent.control.prometheus import _Text
from edge_agent.ingest.agents import Agents
from edge_agent.stores.base import StreamMark, WriteBatch
from edge_agent.stores.columns import Rows
from edge_agent.stores.duckdb.store import DuckDbStore

T0 = 1_763_900_000_000_000_000
S = 1_000_000_000
HOUR = 3600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DuckDbStore]:
    made = DuckDbStore(tmp_path / "store.duckdb")
    yield made
    made.close()


class Night:
    """Writes health rows as an agent would, a row a minute."""

    def __init__(self, store: DuckDbStore, device: str = "m1") -> None:
        self.store, self.device, self.rows = store, device, []  # type: ignore[var-annotated]
        self.state, self.reason = "starting", ""

    def runs(self, start: int, end: int) -> Night:
        """Rows for `start < t <= end` (s), in the state it is in."""
        for t in range(start + 60, end + 1, 60):
            covered = 0.0 if self.state == "offline" else 60.0
            self.rows.append(self._row(t, covered_s=covered, scheduled_s=60.0, good=60))
        return self

    def becomes(self, t: int, state: str, reason: str = "", fresh: bool = False) -> Night:
        before = "starting" if fresh else self.state
        self.state, self.reason = state, reason
        told = {"from": before, "to": state, "reason": reason, "zh": "因", "en": "why"}
        self.rows.append(self._row(t, covered_s=0.0, scheduled_s=0.0, transition=told))
        return self

    def _row(self, t: int, **fields: Any) -> dict[str, Any]:
        common = {
            "device": self.device,
            "t": T0 + t * S,
            "state": self.state,
            "reason": self.reason,
        }
        return common | {"last_good_t": T0 + t * S, **fields}

    def asked(self, start: int, end: int, **more: Any) -> dict[str, Any]:
        self.store.write(WriteBatch(Rows.empty(), T0, health=self.rows, **more))
        self.rows = []
        return report(self.store, T0 + start * S, T0 + end * S)


def brief(found: dict[str, Any]) -> list[tuple[str, int, int | None, str]]:
    return [
        (
            row["device"],
            (row["from_t"] - T0) // S,
            None if row["to_t"] is None else (row["to_t"] - T0) // S,
            row["reason"],
        )
        for row in found["outages"]
    ]


def test_an_undisturbed_night_misses_nothing(store: DuckDbStore) -> None:
    found = Night(store).becomes(0, "online").runs(0, 2 * HOUR).asked(60, 2 * HOUR)
    assert (found["outages"], found["gaps"], found["tags"]) == ([], [], [])
    assert found["covered"]["m1"]["covered_s"] == found["covered"]["m1"]["window_s"] > 7000


def test_the_power_was_lost_and_came_back(store: DuckDbStore) -> None:
    """Power fails for an hour: nothing was told at its beginning, the rows just end."""
    night = Night(store).becomes(0, "online").runs(0, HOUR)
    found = (
        night.becomes(2 * HOUR, "online", fresh=True).runs(2 * HOUR, 3 * HOUR).asked(60, 3 * HOUR)
    )
    (outage,) = found["outages"]
    assert brief(found) == [("m1", HOUR, 2 * HOUR, "agent_stopped")]
    assert outage["seconds"] == HOUR
    assert "断电" in outage["zh"]
    assert "did not run" in outage["en"]
    share = found["covered"]["m1"]
    assert share["window_s"] - share["covered_s"] == pytest.approx(HOUR, abs=60)


def test_a_machine_was_switched_off_and_on(store: DuckDbStore) -> None:
    night = (
        Night(store)
        .becomes(0, "online")
        .runs(0, 600)
        .becomes(601, "offline", "BadTimeout")
        .runs(600, 1200)
    )
    found = night.becomes(1201, "online").runs(1200, 1800).asked(60, 1800)
    assert brief(found) == [("m1", 601, 1201, "BadTimeout")]


def test_a_reason_that_changes_makes_two_outages_in_a_row(store: DuckDbStore) -> None:
    night = Night(store).becomes(0, "online").runs(0, 600)
    night.becomes(601, "offline", "BadTimeout").becomes(900, "offline", "BadNoCommunication")
    found = night.becomes(1200, "degraded", "BadSensorFailure").runs(1200, 1260).asked(60, 1260)
    assert brief(found) == [("m1", 601, 900, "BadTimeout"), ("m1", 900, 1200, "BadNoCommunication")]


def test_an_outage_that_began_before_the_window_and_one_that_lasts(store: DuckDbStore) -> None:
    night = (
        Night(store)
        .becomes(0, "online")
        .runs(0, 60)
        .becomes(61, "offline", "BadTimeout")
        .runs(60, 1200)
    )
    night.becomes(1201, "online").runs(1200, 1800).becomes(1801, "offline", "BadNoCommunication")
    found = night.runs(1800, 2400).asked(600, 2400)
    assert brief(found) == [
        ("m1", 600, 1201, "BadTimeout"),
        ("m1", 1801, None, "BadNoCommunication"),
    ]
    assert found["outages"][1]["seconds"] == 599


def test_an_agent_that_is_still_away_is_told_by_its_silence(store: DuckDbStore) -> None:
    found = Night(store).becomes(0, "online").runs(0, HOUR).asked(60, 3 * HOUR)
    assert brief(found) == [("m1", HOUR, None, "no_report")]
    assert "排队" in found["outages"][0]["zh"]
    share = found["covered"]["m1"]
    assert share["covered_s"] / share["window_s"] == pytest.approx(1 / 3, abs=0.02)


def test_silence_that_began_before_the_window_fills_it(store: DuckDbStore) -> None:
    found = Night(store).becomes(0, "online").runs(0, 600).asked(HOUR, 2 * HOUR)
    assert brief(found) == [("m1", HOUR, None, "no_report")]
    assert found["covered"]["m1"] == {"covered_s": 0.0, "window_s": HOUR}


def test_an_agent_that_was_suspended_tells_of_it_when_it_goes_on(store: DuckDbStore) -> None:
    """SIGSTOP, or a paused machine: the same life of the agent, whose first read afterwards fails
    for a moment."""
    night = (
        Night(store).becomes(0, "online").runs(0, HOUR).becomes(2 * HOUR, "offline", "BadTimeout")
    )
    found = night.becomes(2 * HOUR + 1, "online").runs(2 * HOUR, 3 * HOUR).asked(60, 3 * HOUR)
    assert brief(found) == [
        ("m1", HOUR, 2 * HOUR, "no_report"),
        ("m1", 2 * HOUR, 2 * HOUR + 1, "BadTimeout"),
    ]
    assert "挂起" in found["outages"][0]["zh"]
    assert "suspended" in found["outages"][0]["en"]


def test_a_hole_between_rows_is_told_without_any_transition_and_of_its_device_alone(
    store: DuckDbStore,
) -> None:
    Night(store, "m2").becomes(0, "online").runs(0, HOUR).asked(0, 1)
    night = Night(store).becomes(0, "online").runs(0, 600).runs(900, 1200).runs(1260, HOUR)
    assert brief(night.asked(60, HOUR)) == [
        ("m1", 600, 960, "no_report"),
        ("m1", 1200, 1320, "no_report"),
    ]


def test_rows_that_come_seldom_and_speak_of_all_the_time_leave_no_hole(store: DuckDbStore) -> None:
    night = Night(store).becomes(0, "online")
    night.rows += [night._row(t, covered_s=600.0) for t in range(600, HOUR + 1, 600)]
    assert night.asked(60, HOUR + 1)["outages"] == []


def test_a_hole_that_began_before_the_window_is_told_from_its_start(store: DuckDbStore) -> None:
    night = Night(store).becomes(0, "online").runs(0, 600).runs(7200, 9000)
    assert brief(night.asked(HOUR, 9000)) == [("m1", HOUR, 7260, "no_report")]


def test_a_hole_while_a_device_is_away_is_no_second_outage(store: DuckDbStore) -> None:
    night = (
        Night(store)
        .becomes(0, "online")
        .runs(0, 600)
        .becomes(601, "offline", "BadTimeout")
        .runs(600, 1200)
    )
    found = night.runs(1800, 2400).becomes(2401, "online").asked(60, 2401)
    assert brief(found) == [("m1", 601, 2401, "BadTimeout")]


def test_an_agent_that_came_back_before_its_device_answered_had_stopped(store: DuckDbStore) -> None:
    """Rows of a new life may come before the first transition: a slow line, a device that boots as
    long as we do."""
    night = Night(store).becomes(0, "online").runs(0, 600)
    night.state = "starting"
    night.rows += [night._row(t, covered_s=0.0) for t in (1500, 1505)]
    found = night.becomes(1510, "online", fresh=True).runs(1510, 1810).asked(60, 1810)
    assert brief(found) == [("m1", 600, 1510, "agent_stopped")]


def test_silence_is_told_after_three_rows_that_did_not_come(store: DuckDbStore) -> None:
    night = Night(store).becomes(0, "online").runs(0, 600)
    assert brief(night.asked(60, 615)) == []
    assert brief(night.asked(60, 616)) == [("m1", 600, None, "no_report")]


def test_a_quick_restart_is_no_outage_and_a_device_that_starts_offline_is_one(
    store: DuckDbStore,
) -> None:
    night = (
        Night(store)
        .becomes(0, "online")
        .runs(0, 600)
        .becomes(601, "online", fresh=True)
        .runs(600, 1200)
    )
    night.becomes(1320, "offline", "BadNoCommunication", fresh=True).runs(1320, 1800)
    found = night.becomes(1801, "online").asked(60, 1801)
    assert brief(found) == [
        ("m1", 1200, 1320, "agent_stopped"),
        ("m1", 1320, 1801, "BadNoCommunication"),
    ]


def test_devices_are_told_apart_and_tags_are_not_outages(store: DuckDbStore) -> None:
    other = Night(store, "m2").becomes(0, "online").runs(0, 1200)
    moved = {
        "tag": "temp",
        "from": "Good",
        "to": "BadSensorFailure",
        "reason": "BadSensorFailure",
        "zh": "",
        "en": "",
    }
    other.rows[-1]["tag_transitions"] = [moved]
    other.asked(0, 1)
    night = (
        Night(store)
        .becomes(0, "online")
        .runs(0, 600)
        .becomes(601, "offline", "BadTimeout")
        .runs(600, 1200)
    )
    found = night.asked(60, 1200)
    assert brief(found) == [("m1", 601, None, "BadTimeout")]
    assert found["tags"] == [{"t": T0 + 1200 * S, "device": "m2", **moved}]


def test_what_the_outbox_dropped_is_told_with_its_span(store: DuckDbStore) -> None:
    gap = {
        "stream": "a/0/1",
        "from_seq": 5,
        "to_seq": 9,
        "from_t": T0,
        "to_t": T0 + S,
        "values": 50,
        "acknowledged": 0,
    }
    agent = {"device": "ipc-01", "t": T0 + 100 * S, "gap": gap}
    found = Night(store).becomes(0, "online").runs(0, 120).asked(60, 120, agents=[agent])
    (told,) = found["gaps"]
    assert (gap | {"reason": ""}).items() <= told.items(), "of an agent before the reason was kept"
    assert told["agent"] == "ipc-01"


@pytest.mark.parametrize(
    ("reason", "values"),
    [("full", 50), ("disk", 50), ("damaged", 50), ("damaged", None), ("missing", None)],
)
def test_what_was_lost_comes_with_its_reason_and_never_with_a_guessed_number(
    store: DuckDbStore, reason: str, values: int | None
) -> None:
    gap = {
        "stream": "a/0/1",
        "from_seq": 5,
        "to_seq": 9,
        "from_t": T0,
        "to_t": T0 + S,
        "acknowledged": 0,
    }
    told = gap | {"values": 0 if values is None else values, "reason": reason}
    found = Night(store).asked(
        60, 120, agents=[{"device": "ipc-01", "t": T0 + 100 * S, "gap": told}]
    )
    (row,) = found["gaps"]
    assert (row["entries"], row["values"], row["reason"]) == (5, values, reason)
    assert row["zh"] != "原因没有记录。"
    assert row["en"].endswith(".")


def test_only_the_devices_asked_for_are_told(store: DuckDbStore) -> None:
    Night(store, "gone").becomes(0, "online").runs(0, 60).asked(0, 1)
    Night(store).becomes(0, "online").runs(0, HOUR).asked(0, 1)
    found = report(store, T0 + 60 * S, T0 + HOUR * S, ["m1", "never"])
    assert list(found["covered"]) == ["m1"]
    assert found["outages"] == []


def test_a_lost_transition_does_not_keep_a_device_away_that_answers(store: DuckDbStore) -> None:
    night = (
        Night(store)
        .becomes(0, "online")
        .runs(0, 600)
        .becomes(601, "offline", "BadTimeout")
        .runs(600, 1200)
    )
    night.state, night.reason = "online", ""  # the transition itself never came
    night.runs(1200, 1800)
    ((_, began, until, reason),) = brief(night.asked(60, 1810))
    assert (began, reason) == (601, "BadTimeout")
    assert until is not None
    assert 1200 < until <= 1320
    ((*_, later, _reason),) = brief(night.runs(1800, 3600).asked(60, 3610))
    assert later == until, "it does not grow"


def test_a_device_that_was_away_before_the_first_row_of_this_store_is_away(
    store: DuckDbStore,
) -> None:
    """As after a change of store: the transition is in the store before."""

    def told(until: int) -> list[tuple[str, int, int | None, str]]:
        night.asked(0, 0)
        return brief(report(store, T0 - 60 * S, T0 + until * S, row_s=60.0))

    night = Night(store)
    night.state, night.reason = "offline", "BadTimeout"
    night.runs(0, 600)
    assert told(610) == [("m1", 60, None, "BadTimeout")]
    night.becomes(630, "online").runs(630, 900)
    assert told(910) == []
    night.state = "offline"  # once more, and that transition never came
    night.runs(900, 1500)
    ((_, began, until, _reason),) = told(1510)
    assert 900 <= began <= 1020
    assert until is None


def test_messages_that_never_came_are_told_unless_a_gap_record_does(store: DuckDbStore) -> None:
    gap = {
        "stream": "s",
        "from_seq": 5,
        "to_seq": 6,
        "entries": 2,
        "values": 9,
        "from_t": T0,
        "to_t": T0,
    }
    agent = {"device": "ipc", "t": T0 + S, "gap": gap | {"reason": "full"}}
    marks = [
        StreamMark(stream, seq, 1)
        for stream, seqs in (("s", (3, 4, 7, 10)), ("whole", (1, 2)))
        for seq in seqs
    ]
    found = Night(store).becomes(0, "online").runs(0, 60).asked(0, 60, marks=marks, agents=[agent])
    told = {
        part: [
            (row["stream"], row["from_seq"], row["to_seq"], row["entries"]) for row in found[part]
        ]
        for part in ("before", "absent")
    }
    assert told == {"before": [("s", 1, 2, 2)], "absent": [("s", 8, 9, 2)]}


def test_never_arrived_is_shown_and_measured(
    store: DuckDbStore, capsys: pytest.CaptureFixture[str]
) -> None:
    night = Night(store).becomes(0, "online").runs(0, 60)
    found = night.asked(0, 60, marks=[StreamMark("s", seq, 1) for seq in (1, *range(963, 1403))])
    _missing(Console(highlight=False, markup=False, soft_wrap=True), found, "UTC")
    shown = capsys.readouterr().out
    assert "s 2–962: 961" in shown
    assert "no data lost" not in shown
    text = _Text()
    _exposed(text, found)
    assert "edge_agent_store_absent_entries 961" in str(text).splitlines()


def test_what_a_stream_did_before_this_stores_time_is_shown_and_is_no_loss(
    store: DuckDbStore, capsys: pytest.CaptureFixture[str]
) -> None:
    night = Night(store).becomes(0, "online").runs(0, 60)
    found = night.asked(0, 60, marks=[StreamMark("s", seq, 1) for seq in range(963, 1403)])
    _missing(Console(highlight=False, markup=False, soft_wrap=True), found, "UTC")
    shown = capsys.readouterr().out
    assert "before this store's time s 1–962: 962" in shown
    assert "no loss on record" in shown, "whether anybody has it is not known here"
    assert "不算本库的丢失" in shown
    text = _Text()
    _exposed(text, found)
    assert "edge_agent_store_absent_entries 0" in str(text).splitlines()
    assert "edge_agent_store_before_entries 962" in str(text).splitlines()


def test_what_the_agent_still_holds_is_neither_lost_nor_before_the_stores_time(
    store: DuckDbStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first `serve` that comes late, `confirm: store`: the broker dropped them, and the agent has
    them all."""
    night = Night(store).becomes(0, "online").runs(0, 60)
    night.asked(0, 60, marks=[StreamMark("ipc-01/0/f", seq, 1) for seq in (500, 501, 510)])
    held = Agents(store.catalogue)
    state = {
        "agent": "ipc-01",
        "state": "online",
        "pending_from": {"ipc-01/0/f": 400, "ipc-02/0/f": 1, "ipc-01/0/g": -1},
    }
    held.take_state(state)
    assert held.pending_from() == {"ipc-01/0/f": 400}, "of its own streams, and numbers only"
    found = report(store, T0, T0 + 60 * S, pending_from=held.pending_from())
    spans = {
        part: [(row["from_seq"], row["to_seq"]) for row in found[part]]
        for part in ("before", "absent", "waiting")
    }
    assert spans == {"before": [(1, 399)], "absent": [], "waiting": [(400, 499), (502, 509)]}
    _missing(Console(highlight=False, markup=False, soft_wrap=True), found, "UTC")
    shown = capsys.readouterr().out
    assert "still at the agent ipc-01/0/f 400–499: 100" in shown
    assert "never arrived" not in shown
    assert "no data lost" not in shown, "that is not known before they have come"


def test_an_outage_from_before_the_window_has_its_exact_cause(store: DuckDbStore) -> None:
    night = (
        Night(store)
        .becomes(0, "online")
        .runs(0, 60)
        .becomes(60, "offline", "BadTimeout")
        .runs(60, 30 * HOUR)
    )
    night.becomes(30 * HOUR, "online").runs(30 * HOUR, 31 * HOUR)
    (outage,) = night.asked(29 * HOUR, 31 * HOUR)["outages"]
    assert (outage["reason"], outage["zh"], outage["en"]) == ("BadTimeout", "因", "why")


@pytest.mark.parametrize("state", ["online", "offline"])
def test_a_device_that_is_renamed_was_not_away(store: DuckDbStore, state: str) -> None:
    """Its old name leaves the configuration, the new one begins: one device all along."""
    old = Night(store, "old").becomes(0, "online", fresh=True).runs(0, 60)
    old.becomes(61, "offline", "BadOutOfService")
    store.catalogue.born({"device": "new", "was": "old", "t": T0 + 61 * S, "tags": {}})
    new = (
        Night(store, "new")
        .becomes(63, state, "BadTimeout" * (state == "offline"), fresh=True)
        .runs(63, 603)
    )
    old.rows += new.rows
    found = old.asked(0, 603)
    lasts = [("new", 61, 63, "BadOutOfService"), ("new", 63, None, "BadTimeout")]
    assert brief(found) == ([] if state == "online" else lasts)
    assert set(found["covered"]) == {"new"}
