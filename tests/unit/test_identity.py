"""Agents and devices as one key, what people call them, and what a written name means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.config import load
from edge_agent.errors import ConfigError
from edge_agent.identity import AmbiguousNameError, DeviceKeys, DeviceNames, agent_of, lineage
from edge_agent.reasons.states import STATES
from edge_agent.stores.former import FormerNames
from tests.support.sites import write

IDS = st.text(st.sampled_from("ab:1"), min_size=1, max_size=4)
AGENTS = st.text(st.sampled_from("ab1"), min_size=1, max_size=3)
PAIRS = st.lists(st.tuples(AGENTS, IDS), unique=True, max_size=8)


@pytest.mark.parametrize(
    ("stream", "agent"),
    [("ipc-01/0/9f3c", "ipc-01"), ("a/b/0/9f", "a/b"), ("a/0", "a"), ("s", "s"), ("/0/1", "")],
)
def test_an_agent_stands_before_the_last_two_slashes_of_a_stream(stream: str, agent: str) -> None:
    assert agent_of(stream) == agent


@given(AGENTS, PAIRS)
def test_keys_never_mix_two_devices_and_split_into_what_they_were_made_of(
    own: str, pairs: list[tuple[str, str]]
) -> None:
    keys = DeviceKeys(own)
    made = [keys.key(*pair) for pair in pairs]
    assert len(set(made)) == len(pairs)
    assert [keys.split(key) for key in made] == pairs
    for key, (agent, device) in zip(made, pairs, strict=True):
        assert keys.full(key) == f"{agent}:{device}"
        assert keys.key(None, device) == keys.key(own, device)


@given(AGENTS, PAIRS)
@example("1", [("1", "1"), ("1", ":1")])
def test_what_people_are_shown_names_one_device_and_is_understood_again(
    own: str, pairs: list[tuple[str, str]]
) -> None:
    keys = DeviceKeys(own)
    known = [keys.key(*pair) for pair in pairs]
    names = DeviceNames(keys, known)
    shown = [names.name(key) for key in known]
    assert len(set(shown)) == len(known)
    for key, name in zip(known, shown, strict=True):
        assert names.resolve(name) == key
        assert names.resolve(keys.full(key)) == key


def test_an_id_alone_is_the_own_agents_before_it_is_anybody_elses() -> None:
    keys = DeviceKeys("ipc-01")
    names = DeviceNames(
        keys, ["plc-1", "ipc-02:plc-1", "ipc-02:plc-2", "ipc-02:plc-3", "ipc-03:plc-3"], ["ipc-09"]
    )
    assert names.resolve("plc-1") == "plc-1"
    assert names.resolve("ipc-01:plc-1") == "plc-1"
    assert names.resolve("plc-2") == "ipc-02:plc-2"
    assert names.resolve("plc-4") is None
    assert names.resolve("ipc-02:plc-4") is None
    assert names.resolve("ipc-09:anything") == "ipc-09:anything", (
        "of this agent nothing is known here"
    )
    with pytest.raises(AmbiguousNameError) as caught:
        names.resolve("plc-3")
    assert caught.value.names == ("ipc-02:plc-3", "ipc-03:plc-3")
    assert names.name("plc-1") == "ipc-01:plc-1"
    assert names.name("ipc-02:plc-2") == "plc-2"


def test_former_names_end_where_they_close_a_circle() -> None:
    assert lineage("c", {"c": "b", "b": "a"}) == ["c", "b", "a"]
    assert lineage("a", {"a": "b", "b": "a"}) == ["a", "b"]


@pytest.mark.parametrize("key", ["agent: {id: 'ipc:01'}", "agent: {id: a}\nagents: ['b:c']"])
def test_an_agent_whose_id_has_a_colon_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            write(tmp_path, "devices: []\n", head=f"{key}\nmqtt: {{url: mqtt://127.0.0.1:1883}}\n")
        )
    assert ":" in caught.value.findings[0].en


DEVICE = (
    "  - {id: %s, connector: modbus, url: 'tcp://127.0.0.1:1', was: '%s', tags: {x: {address: "
    "holding/0%s}%s}}\n"
)


@pytest.mark.parametrize(
    ("devices", "code"),
    [
        (DEVICE % ("a", "b", "", "") + DEVICE % ("b", "", "", ""), "contradiction"),
        (DEVICE % ("a", "b", "", "") + DEVICE % ("b", "a", "", ""), "contradiction"),
        (DEVICE % ("a", "ipc-01:a", "", ""), "contradiction"),
        (DEVICE % ("a", "old", "", "") + DEVICE % ("b", "ipc-01:old", "", ""), "contradiction"),
        (DEVICE % ("a", ":old", "", ""), "bad-name"),
        (DEVICE % ("a", "ipc-02:", "", ""), "bad-name"),
        (DEVICE % ("a", "x/y", "", ""), "bad-name"),
        (DEVICE % ("a", "", ", was: x", ""), "contradiction"),
        (DEVICE % ("a", "", ", was: y", ", y: {address: holding/1}"), "contradiction"),
        (DEVICE % ("a", "", ", was: o", ", y: {address: holding/1, was: o}"), "contradiction"),
        (DEVICE % ("a", "", ", was: ' '", ""), "bad-name"),
    ],
)
def test_what_a_device_was_contradicts_nothing_in_the_file(
    tmp_path: Path, devices: str, code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "devices:\n" + devices))
    assert {finding.code for finding in caught.value.findings} == {code}


def test_what_a_device_was_may_be_of_another_agent_or_its_own(tmp_path: Path) -> None:
    devices = DEVICE % ("a", "ipc-02:a", ", was: o", "") + DEVICE % ("b", "old", "", "")
    assert [device.was for device in load(write(tmp_path, "devices:\n" + devices)).devices] == [
        "ipc-02:a",
        "old",
    ]


def test_claims_that_exclude_each_other_are_not_followed_together() -> None:
    second = 1_000_000_000
    former = FormerNames(DeviceKeys("a", ["b"]))
    former.born("b:p", {"was": "a:p", "t": 100 * second})
    assert former.current == {"p": "b:p"}
    former.born("p", {"was": "b:p", "t": 1000 * second})
    assert (former.current, former.devices("b:p")) == ({"b:p": "p"}, ["b:p"]), "it moved back"
    former.note_message("p", 1100 * second)
    assert former.current == {"b:p": "p"}
    former.born("q", {"was": "b:p", "t": 2000 * second})
    assert (former.current, former.devices("p")) == ({"b:p": "q"}, ["p"]), (
        "one history goes on in one device"
    )


def test_a_claim_that_is_not_followed_says_why() -> None:
    second = 1_000_000_000
    former = FormerNames(DeviceKeys("a", ["b"]))
    former.born("new", {"was": "old", "t": 100 * second})
    assert former.unfollowed_claims() == []
    former.born("thief:x", {"was": "a:old", "t": 100 * second})
    former.born("b:new", {"was": "a:old", "t": 90 * second})
    former.born("x", {"was": "y", "t": 100 * second})
    former.born("y", {"was": "x", "t": 200 * second})
    reasons = {claim.key: (claim.former, claim.reason) for claim in former.unfollowed_claims()}
    assert reasons == {
        "thief:x": ("old", "was_of_guest"), "b:new": ("old", "was_taken"), "x": ("y", "was_circle"),
    }  # fmt: skip
    former.note_message("old", 1000 * second)
    assert {claim.key: claim.reason for claim in former.unfollowed_claims()}[
        "new"
    ] == "was_still_speaks"
    former.born("new", {"t": 2000 * second})
    assert "new" not in {claim.key for claim in former.unfollowed_claims()}
    assert all(reason in STATES for _, reason in reasons.values())
