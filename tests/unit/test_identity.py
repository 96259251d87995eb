"""Agents and devices as one key, what people call them, and what a written name means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import load
from edge_agent.errors import ConfigError
from edge_agent.identity import AmbiguousNameError, DeviceKeys, DeviceNames, agent_of, lineage
from tests.support.sites import write

IDS = st.text(st.sampled_from("ab:1"), min_size=1, max_size=4)
AGENTS = st.text(st.sampled_from("ab1"), min_size=1, max_size=3)
PAIRS = st.lists(st.tuples(AGENTS, IDS), unique=True, max_size=8)


@pytest.mark.parametrize(
    ("stream", "agent"), [("ipc-01/0/9f3c", "ipc-01"), ("a/b/0/9f", "a/b"), ("a/0", "a"), ("s", "s"), ("/0/1", "")]
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
def test_what_people_are_shown_names_one_device_and_is_understood_again(own: str, pairs: list[tuple[str, str]]) -> None:
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
    names = DeviceNames(keys, ["plc-1", "ipc-02:plc-1", "ipc-02:plc-2", "ipc-02:plc-3", "ipc-03:plc-3"], ["ipc-09"])
    assert names.resolve("plc-1") == "plc-1"
    assert names.resolve("ipc-01:plc-1") == "plc-1"
    assert names.resolve("plc-2") == "ipc-02:plc-2"
    assert names.resolve("plc-4") is None
    assert names.resolve("ipc-02:plc-4") is None
    assert names.resolve("ipc-09:anything") == "ipc-09:anything", "of this agent nothing is known here"
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
        load(write(tmp_path, "devices: []\n", head=f"{key}\nmqtt: {{url: mqtt://127.0.0.1:1883}}\n"))
    assert ":" in caught.value.findings[0].en
