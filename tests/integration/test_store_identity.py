"""Two agents with one device id in every store: two series, two healths, two of everything; and
whose the marks are."""

from __future__ import annotations

import gzip
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from edge_agent.app.forgetting import forgettable
from edge_agent.app.status import overview
from edge_agent.app.status.absent import holes
from edge_agent.app.status.missing import of_plant, report
from edge_agent.app.status.recent_health import RecentHealth
from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import FindingsError, StoreError
from edge_agent.health import DeviceHealth
from edge_agent.ingest import messages
from edge_agent.ingest.agents import Agents
from edge_agent.ingest.messages import Assembly
from edge_agent.model import STATUS
from edge_agent.production.site_devices import SiteDevices
from edge_agent.reasons import Cause, sentence
from edge_agent.stores import Rows, Store, WriteBatch, open_store
from tests.support import servers
from tests.support.sites import site

S = 1_000_000_000
T0 = time.time_ns() // S * S - 600 * S


@dataclass(frozen=True)
class Backend:
    """A kind of store, and where it is."""

    kind: str
    port: int = 0

    def config(self, folder: Path) -> StoreConfig:
        keys: dict[str, Any] = {"kind": self.kind, "path": folder / "store.duckdb"}
        if self.port:
            keys |= {"url": f"http://127.0.0.1:{self.port}", "bucket": folder.name[-60:]}
        return StoreConfig.model_validate(keys)

    def flush(self) -> None:
        if self.kind == "line":
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/internal/force_flush").read()


@pytest.fixture(scope="module", autouse=True)
def influxdb1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One for all: each test has a database of its own. (Started first, or a test would be blamed
    for the process.)"""
    with servers.influxdb1(tmp_path_factory.mktemp("influxdb1")) as running:
        yield Backend("influxdb1", running.port)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Backend]:
    """A VictoriaMetrics of its own: it knows no databases."""
    with servers.victoria_metrics(tmp_path / "vm") as running:
        yield Backend("line", running.port)


@pytest.fixture(params=["duckdb", "influxdb1", "line"])
def backend(request: pytest.FixtureRequest) -> Backend:
    found: Backend = (
        Backend("duckdb") if request.param == "duckdb" else request.getfixturevalue(request.param)
    )
    return found


def birth(agent: str, device: str, area: str = "a", **more: Any) -> tuple[str, dict[str, Any]]:
    document = {
        "v": 1,
        "device": device,
        "name": f"{device} of {agent}",
        "agent": agent,
        "connector": "modbus",
        "staleness": 3.0,
        "tags": {"x": {"type": "float", "unit": "kW"}},
        **more,
    }
    return f"edge/e/s/{area}/l/{device}/birth", document


def data(
    agent: str, device: str, seq: int, t: int, value: float, tag: str = "x"
) -> tuple[str, dict[str, Any]]:
    document = {
        "v": 1,
        "device": device,
        "stream": f"{agent}/0/{agent}f",
        "seq": seq,
        "t": t,
        "values": {tag: value},
    }
    return f"edge/e/s/a/l/{device}/data", document


def health(
    agent: str, device: str, seq: int, t: int, state: str = "online", **more: Any
) -> tuple[str, dict[str, Any]]:
    good = state == "online"
    document = {
        "v": 1,
        "device": device,
        "stream": f"{agent}/0/{agent}f",
        "seq": seq,
        "t": t,
        "state": state,
        "scheduled_s": 5.0,
        "covered_s": 5.0 * good,
        "due": 5,
        "done": 5 * good,
        "good": 5 * good,
        "bad": 0,
        "values": 5,
        "overruns": 0,
        "last_good_t": t if good else None,
        **more,
    }
    return f"edge/e/s/a/l/{device}/health", document


def take(store: Store, *sent: tuple[str, dict[str, Any]], agents: Agents | None = None) -> None:
    """As the ingest takes messages into the store."""
    found = []
    for topic, document in sent:
        message = messages.read(topic, orjson.dumps(document), store.catalogue)
        assert message.refused == ""
        if message.birth is not None:
            store.catalogue.born(message.birth)
        if agents is not None:
            agents.received(message)
        found.append(message)
    store.identify()
    store.write(Assembly.of(found, time.time_ns()).batch)


def night_of_twins(other: str) -> list[tuple[str, dict[str, Any]]]:
    """Two devices `plc-1`: the own agent's delivers all along, the other's is cut off half-way."""
    sent = [birth("ipc-01", "plc-1"), birth(other, "plc-1", "b")]
    for n in range(24):
        t, away = T0 + n * 5 * S, n >= 12
        sent.append(data("ipc-01", "plc-1", 2 * n + 1, t, 62.5))
        sent.append(health("ipc-01", "plc-1", 2 * n + 2, t))
        move = {"from": "online", "to": "offline", "reason": "BadTimeout", "zh": "。", "en": "."}
        more = {"transition": move} if n == 12 else {}
        sent.append(
            health(
                other,
                "plc-1",
                2 * n + 2,
                t,
                "offline" if away else "online",
                reason="BadTimeout",
                **more,
            )
        )
        if not away:
            sent.append(data(other, "plc-1", 2 * n + 1, t, 65411.0))
    return sent


def test_a_store_keeps_its_id_and_another_sidecar_finds_it(
    backend: Backend, tmp_path: Path
) -> None:
    found = []
    for folder in (
        tmp_path,
        tmp_path,
        tmp_path if backend.kind == "duckdb" else tmp_path / "other" / tmp_path.name,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        with closing(open_store(backend.config(folder), "ipc-01")) as store:
            store.identify()
            found.append(store.store_id)
    assert len(set(found)) == 1
    assert len(found[0]) == 16


def test_twins_are_two_in_everything(backend: Backend, tmp_path: Path) -> None:
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        take(store, *night_of_twins("ipc-02"))
        backend.flush()
        end = T0 + 120 * S
        assert set(store.samples("plc-1", "x", T0, end).values()) == {62.5}
        assert set(store.samples("ipc-02:plc-1", "x", T0, end).values()) == {65411.0}
        assert len(store.samples("plc-1", "x", T0, end)) == 24
        assert {key: row.covered_s for key, row in store.health(T0 - S, end).items()} == {
            "plc-1": 120.0, "ipc-02:plc-1": 60.0,
        }  # fmt: skip
        facts = store.live_facts(T0 - S, end)
        assert (facts["plc-1"].good, facts["ipc-02:plc-1"].good) == (120, 60)
        assert {key: spans[-1][1] for key, spans in store.evidence(T0, end).items()} == {
            "plc-1": T0 + 115 * S, "ipc-02:plc-1": T0 + 55 * S,
        }  # fmt: skip
        assert [row["device"] for row in store.transitions(T0, end)] == ["ipc-02:plc-1"]
        found = report(store, T0, end)
        assert [(row["device"], row["reason"]) for row in found["outages"]] == [
            ("ipc-02:plc-1", "BadTimeout")
        ]
        assert store.latest()["ipc-02:plc-1"]["x"].value == 65411.0
        (runs,) = store.changes([("ipc-02:plc-1", "x")], T0, end).values()
        assert runs.num.tolist() == [65411.0]
    with closing(open_store(backend.config(tmp_path), "ipc-02")) as store:
        assert set(store.samples("plc-1", "x", T0, end).values()) == {65411.0}, (
            "the same file, seen by the other"
        )
        assert set(store.samples("ipc-01:plc-1", "x", T0, end).values()) == {62.5}
        assert set(store.health(T0 - S, end)) == {"plc-1", "ipc-01:plc-1"}


def devices_now(store: Store, plant: SiteDevices, now: int) -> list[dict[str, Any]]:
    recent = RecentHealth(15 * S)
    for _ in recent.read_past(store, now):
        assert not recent.complete
    return overview.devices(store, plant, now, recent.now(now), store.readings(now))


def test_a_guest_is_named_and_nothing_is_missing_of_it(backend: Backend, tmp_path: Path) -> None:
    tag = (
        "{connector: modbus, url: 'tcp://127.0.0.1:1', tags: {x: {address: holding/0}}, id: plc-1}"
    )
    plain = f"devices: [{tag}]\n"
    alone, listed = site(tmp_path / "1", plain), site(tmp_path / "2", "agents: [ipc-02]\n" + plain)
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        agents = Agents(store.catalogue)
        take(store, *night_of_twins("ipc-02"), agents=agents)
        agents.take_state(
            {"agent": "ipc-02", "state": "offline", "t": T0, "version": "1.2", "backlog_values": 5}
        )
        backend.flush()
        end = T0 + 120 * S
        plant = SiteDevices.of(alone, store)
        rows = {row["key"]: row for row in devices_now(store, plant, end)}
        assert {key: (row["id"], row["agent"], row["guest"]) for key, row in rows.items()} == {
            "ipc-01:plc-1": ("ipc-01:plc-1", "ipc-01", False),
            "ipc-02:plc-1": ("ipc-02:plc-1", "ipc-02", True),
        }
        found = of_plant(store, plant, T0, end, 5.0)
        assert (found["outages"], list(found["covered"])) == ([], ["ipc-01:plc-1"])
        own, guest = overview.agents(store, plant, agents.states(), store.readings(end))
        assert (own["agent"], own["own"], own["online"], own["guest"]) == (
            "ipc-01",
            True,
            None,
            False,
        )
        assert (guest["agent"], guest["online"], guest["guest"], guest["version"]) == (
            "ipc-02",
            False,
            True,
            "1.2",
        )
        assert (guest["backlog_values"], guest["last_t"]) == (5, T0 + 115 * S)
        whole = of_plant(store, SiteDevices.of(listed, store), T0, end, 5.0)
        assert [row["device"] for row in whole["outages"]] == ["ipc-02:plc-1"], (
            "an agent of the plant is no guest"
        )


def test_a_tag_that_was_taken_out_is_no_fault_of_the_device(tmp_path: Path) -> None:
    kept = (
        "devices: [{id: plc-1, connector: modbus, url: 'tcp://127.0.0.1:502', tags: {x: "
        "{address: holding/0}%s}}]\n"
    )
    now = T0 + 2 * S
    gone = {
        "v": 1,
        "device": "plc-1",
        "stream": "ipc-01/0/ipc-01f",
        "seq": 3,
        "t": now,
        "values": {"x": 1.0},
        "quality": {"old": "BadOutOfService"},
    }
    with closing(open_store(Backend("duckdb").config(tmp_path), "ipc-01")) as store:
        take(store, birth("ipc-01", "plc-1"), data("ipc-01", "plc-1", 1, T0, 1.0, "old"))
        take(store, health("ipc-01", "plc-1", 2, now), ("edge/e/s/a/l/plc-1/data", gone))
        for tags, quality in ((", old: {address: holding/1}", "BadOutOfService 1/2"), ("", "Good")):
            plant = SiteDevices.of(site(tmp_path, kept % tags), store)
            (row,) = devices_now(store, plant, now)
            assert row["quality"] == quality


def test_a_device_that_stays_offline_has_few_rows_and_is_not_silent(tmp_path: Path) -> None:
    plain = (
        "devices: [{id: plc-1, connector: modbus, url: 'tcp://127.0.0.1:502', tags: {x: "
        "{address: holding/0}}}]\n"
    )
    with closing(open_store(Backend("duckdb").config(tmp_path), "ipc-01")) as store:
        topic, document = health("ipc-01", "plc-1", 2, T0)
        document |= {"state": "offline", "reason": "BadTimeout", "covered_s": 0.0}
        take(
            store,
            birth("ipc-01", "plc-1"),
            data("ipc-01", "plc-1", 1, T0 - S, 1.0),
            (topic, document),
        )
        plant = SiteDevices.of(site(tmp_path, plain), store)
        for after, state, reason in (
            (10, "offline", "BadTimeout"),
            (44, "offline", "BadTimeout"),
            (46, "silent", ""),
        ):
            (row,) = devices_now(store, plant, T0 + after * S)
            assert (row["connection"], row["reason"]) == (state, reason)
            assert row["values_per_s"] == 0.0 or after < 15


def test_rows_from_before_agents_were_kept_are_the_own_agents(
    backend: Backend, tmp_path: Path
) -> None:
    """Lines without the tag, rows with NULL: written as the code before did, and read together with
    what came since."""
    with closing(open_store(backend.config(tmp_path), "")) as store:
        batch = [birth("", "plc-1"), data("x", "plc-1", 1, T0, 1.0), health("x", "plc-1", 2, T0)]
        found = [
            messages.read(topic, orjson.dumps(document), store.catalogue)
            for topic, document in batch[1:]
        ]
        assert found[1].health is not None
        old = WriteBatch(
            Assembly.of(found[:1], T0).batch.rows,
            T0,
            health=[found[1].health | {"device": "plc-1"}],
        )
        old.rows.sid[:] = store.catalogue.ids("plc-1", ("x",))
        store.identify()
        store.write(old)
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        take(
            store,
            birth("ipc-01", "plc-1"),
            data("ipc-01", "plc-1", 1, T0 + 5 * S, 2.0),
            health("ipc-01", "plc-1", 2, T0 + 5 * S),
            data("ipc-02", "plc-1", 1, T0 + 5 * S, 9.0),
        )
        backend.flush()
        assert store.samples("plc-1", "x", T0, T0 + 10 * S).values() == [1.0, 2.0]
        (row,) = store.health(T0 - S, T0 + 10 * S).values()
        assert (row.covered_s, row.first_t, row.last_t) == (10.0, T0, T0 + 5 * S)


def test_a_device_that_was_another_has_its_history(backend: Backend, tmp_path: Path) -> None:
    with closing(open_store(backend.config(tmp_path), "ipc-01", ["ipc-02"])) as store:
        old = [data("ipc-01", "press", n + 1, T0 + n * 5 * S, float(n), "temp") for n in range(4)]
        take(store, birth("ipc-01", "press"), *old, health("ipc-01", "press", 9, T0 + 15 * S))
        tags = {"x": {"type": "float", "was": "temp"}}
        new = [data("ipc-02", "press-2", n + 1, T0 + n * 5 * S, float(n)) for n in range(4, 8)]
        take(store, birth("ipc-02", "press-2", was="ipc-01:press", tags=tags), *new,
             health("ipc-02", "press-2", 9, T0 + 40 * S))  # fmt: skip
        backend.flush()
        key, end = "ipc-02:press-2", T0 + 60 * S
        assert store.samples(key, "x", T0, end).values() == [float(n) for n in range(8)]
        assert store.samples("press", "temp", T0, end).values() == [0.0, 1.0, 2.0, 3.0]
        (runs,) = store.changes([(key, "x")], T0 + 12 * S, end).values()
        assert runs.num.tolist() == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "led by the last reading before"
        ((moment, used),) = (
            (m, u) for m, u in store.energy({(key, "x"): _moments(T0, end)}).items()
        )
        assert moment == (key, "x")
        assert used[-1] == pytest.approx(5 / 3600 * (0 + 1 + 2 + 3 + 4 + 5 + 6) + 7 * 25 / 3600)
        (row,) = store.health(T0 - S, end).values()
        assert (row.covered_s, row.first_t, row.last_t) == (10.0, T0 + 15 * S, T0 + 40 * S)
        facts = store.live_facts(T0 - S, end)
        assert list(facts) == [key]
        assert facts[key].first_ns == T0 + 15 * S
        assert store.catalogue.listed() == [key]
    with closing(open_store(backend.config(tmp_path), "ipc-01", ["ipc-02"])) as store:
        assert len(store.samples(key, "x", T0, end)) == 8, "the birth document is kept"
        assert list(store.health(T0 - S, end)) == [key]


def test_a_guest_does_not_take_a_device_by_calling_it_its_own_past(
    backend: Backend, tmp_path: Path
) -> None:
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        mine = data("ipc-01", "press", 1, T0, 1.0)
        take(store, birth("ipc-01", "press"), mine, health("ipc-01", "press", 9, T0 + 15 * S))
        take(
            store,
            birth("guest", "evil", was="ipc-01:press"),
            data("guest", "evil", 1, T0 + S, 666.0),
        )
        backend.flush()
        end = T0 + 60 * S
        assert store.samples("guest:evil", "x", T0, end).values() == [666.0]
        assert list(store.health(T0 - S, end)) == ["press"]
        assert store.live_facts(T0 - S, end)["press"].covered_s == 5.0
        assert store.catalogue.listed() == ["guest:evil", "press"]


def test_a_device_that_still_speaks_is_nobodys_past(backend: Backend, tmp_path: Path) -> None:
    """Two agents of the plant, of which one names the other's living device: apart, and so after a
    restart."""

    def opened() -> Any:
        return closing(open_store(backend.config(tmp_path), "ipc-01", ["ipc-02"]))

    key, end = "ipc-02:press", T0 + 300 * S
    with opened() as store:
        take(store, birth("ipc-01", "press"), data("ipc-01", "press", 1, T0 - S, 1.0))
        take(
            store,
            birth("ipc-02", "press", was="ipc-01:press", t=T0),
            data("ipc-02", "press", 1, T0 + S, 2.0),
        )
        assert store.catalogue.listed() == [key]
        late = data("ipc-01", "press", 2, T0 + 120 * S, 3.0)
        take(store, late, agents=Agents(store.catalogue))
        backend.flush()
        assert store.catalogue.listed() == [key, "press"]
        assert store.samples(key, "x", T0 - 2 * S, end).values() == [2.0]
    with opened() as store:
        assert store.catalogue.listed() == [key, "press"]


def test_a_device_of_the_plant_stays_in_its_figures_whatever_its_birth_says(tmp_path: Path) -> None:
    """Names as long as names may be, and words of a time before they were judged."""
    agent, device = "a" * 200, "d" * 100
    odd = {
        "name": 5,
        "line": "x y",
        "cell": "ok",
        "tags": {"x": {"unit": 7, "range": "wide", "description": "d"}},
    }
    plant = site(tmp_path, f"agents: [{agent}]\n")
    with closing(open_store(plant.store, plant.agent.id, plant.agents)) as store:
        take(store, birth(agent, device), birth(agent, "odd", **odd))
        long, odd_one = SiteDevices.of(plant, store).members
        assert (long.key, long.config.id) == (f"{agent}:{device}", f"{agent}:{device}")
        assert (odd_one.config.cell, odd_one.config.tags["x"].description) == ("ok", "d")


def test_a_device_that_has_not_spoken_yet_does_not_take_the_readings_of_its_twin(
    tmp_path: Path,
) -> None:
    plant = site(
        tmp_path,
        "agents: [ipc-02]\ndevices:\n"
        + "".join(
            f"  - {{id: {name}, connector: modbus, url: 'tcp://h', tags: {{x: {{address: "
            f"holding/0}}}}}}\n"
            for name in ("plc-1", "plc-2")
        ),
    )
    with closing(open_store(plant.store, plant.agent.id, plant.agents)) as store:
        take(store, birth("ipc-01", "plc-2"), birth("ipc-02", "plc-1"))
        keys = {member.name: member.key for member in SiteDevices.of(plant, store).members}
    assert keys == {"ipc-01:plc-1": "plc-1", "plc-2": "plc-2", "ipc-02:plc-1": "ipc-02:plc-1"}


def test_an_agent_without_devices_can_be_forgotten_and_no_state_steers_a_terminal(
    tmp_path: Path,
) -> None:
    plant = site(tmp_path, "")
    with closing(open_store(plant.store, plant.agent.id)) as store:
        agents = Agents(store.catalogue)
        for name in ("ghost", "\x1b[31mred", "a:b"):
            agents.take_state({"agent": name, "state": "offline", "version": "\x1b]0;x\x07"})
        assert [(name, state.version) for name, state in agents.states().items()] == [("ghost", "")]
        known = SiteDevices.of(plant, store)
        assert forgettable("ghost", known, store.catalogue, agents.states()) == ("ghost", "", "")
        with pytest.raises(FindingsError):
            forgettable("nobody", known, store.catalogue, agents.states())


def _moments(first: int, last: int) -> Any:
    import numpy as np

    return np.array([first, last], np.int64)


def test_what_is_forgotten_is_listed_again_when_it_speaks(backend: Backend, tmp_path: Path) -> None:
    def opened() -> Any:
        return closing(open_store(backend.config(tmp_path), "ipc-01"))

    with opened() as store:
        take(
            store, birth("ipc-02", "old"), data("ipc-02", "old", 1, T0, 1.0), birth("ipc-01", "new")
        )
        store.forget(("ipc-02", "", ""), T0)
    with opened() as store:
        assert store.catalogue.listed() == ["new"]
        store.catalogue.born(birth("ipc-02", "old")[1])
        assert store.catalogue.listed() == ["new"], "a retained birth document does not speak"
        backend.flush()
        assert len(store.samples("ipc-02:old", "x", T0, T0 + S)) == 1, "its data stays"
        take(store, data("ipc-02", "old", 2, T0 + S, 2.0), agents=Agents(store.catalogue))
        assert store.catalogue.listed() == ["ipc-02:old", "new"]
    with opened() as store:
        assert store.catalogue.listed() == ["ipc-02:old", "new"]


def numbered(stream: str, *seqs: int) -> list[tuple[str, dict[str, Any]]]:
    return [data("ipc-01", "plc-1", seq, T0 + seq * S, float(seq)) for seq in seqs]


def test_a_change_of_store_tells_what_was_before_its_time(
    tmp_path: Path, influxdb1: Backend, line: Backend
) -> None:
    """DuckDB, then InfluxDB, then VictoriaMetrics, all beside one `store.path`; and back to
    InfluxDB."""

    def served(
        backend: Backend, *seqs: int
    ) -> tuple[str, list[tuple[int, int]], list[tuple[int, int]]]:
        with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
            take(store, *numbered("ipc-01/0/ipc-01f", *seqs))
            found = holes(store)
            spans = [
                [(row["from_seq"], row["to_seq"]) for row in rows]
                for rows in (found.before, found.absent)
            ]
            return store.store_id, spans[0], spans[1]

    first, before, absent = served(Backend("duckdb"), 1, 2, 3)
    assert (before, absent) == ([], [])
    second, before, absent = served(influxdb1, 10, 12)
    assert (before, absent) == ([(1, 9)], [(11, 11)]), "what is missing since is told"
    third, before, absent = served(line, 20)
    assert (before, absent) == ([(1, 19)], [])
    assert len({first, second, third}) == 3
    again, before, absent = served(influxdb1, 13)
    assert (again, before, absent) == (second, [(1, 9)], [(11, 11)])
    assert served(Backend("duckdb"), 4)[:2] == (first, [])


def test_what_two_stores_beside_one_sidecar_were_both_sent_is_told_once(
    tmp_path: Path, influxdb1: Backend, line: Backend
) -> None:
    """An agent that hears of a new store sends again what it still has, transitions and gap records
    too."""
    move = {
        "from": "Good",
        "to": "BadTimeout",
        "tag": "x",
        "reason": "BadTimeout",
        "zh": "。",
        "en": ".",
    }
    row = health("ipc-01", "plc-1", 1, T0, tag_transitions=[move])
    gap = {
        "stream": "ipc-01/0/ipc-01f",
        "from_seq": 2,
        "to_seq": 3,
        "entries": 2,
        "values": 9,
        "from_t": T0,
        "to_t": T0,
    }
    told = {"device": "ipc-01", "t": T0, "gap": gap | {"reason": "full"}}
    for backend in (influxdb1, line):
        with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
            take(store, birth("ipc-01", "plc-1"), row)
            store.write(WriteBatch(Rows.empty(), T0, agents=[told]))
            assert [each["tag"] for each in store.transitions(T0 - S, T0)] == ["x"]
            assert [each["values"] for each in store.gaps(T0 - S, T0)] == [9]


@pytest.mark.parametrize(
    "filled", [True, False], ids=["the server it was written beside", "a new server"]
)
def test_marks_of_a_sidecar_of_format_1_belong_to_a_server_with_data(
    filled: bool, influxdb1: Backend, tmp_path: Path
) -> None:
    config = influxdb1.config(tmp_path)
    if filled:
        beside = config.model_copy(update={"path": tmp_path / "beside.duckdb"})
        with closing(open_store(beside, "ipc-01")) as store:
            take(store, health("ipc-01", "plc-1", 1, T0))
    old = Path(__file__).parents[1] / "data" / "formats" / "1" / "store.sqlite.gz"
    (tmp_path / "store.sqlite").write_bytes(gzip.decompress(old.read_bytes()))
    with closing(open_store(config, "ipc-01")) as store:
        store.identify()
        assert ("ipc-01/0/9f3c" in store.marks()) == filled
        assert "plc-1" in store.catalogue.devices


def test_a_server_that_was_made_anew_is_another_store(tmp_path: Path) -> None:
    def served(folder: Path) -> str:
        with servers.victoria_metrics(folder) as running:
            store = open_store(Backend("line", running.port).config(tmp_path), "ipc-01")
            store._address = "one address"  # type: ignore[attr-defined] # its ports differ, and nothing else
            store.identify()
            store.close()
            return store.store_id

    first = served(tmp_path / "one")
    assert served(tmp_path / "one") == first
    assert served(tmp_path / "two") != first


def test_a_server_that_is_emptied_while_we_work_is_noticed(
    influxdb1: Backend, tmp_path: Path
) -> None:
    config = influxdb1.config(tmp_path)
    with closing(open_store(config, "ipc-01")) as store:
        take(store, *numbered("ipc-01/0/ipc-01f", 1, 2, 3))
        before = store.store_id
        assert not store.recheck()
        assert store.marks()
        drop = urllib.parse.urlencode({"q": f'drop database "{config.bucket}"'}).encode()
        urllib.request.urlopen(f"{config.url}/query", drop).read()
        assert store.recheck()
        assert store.store_id != before
        assert store.marks() == {}, "what the marks spoke of is gone"
        assert not store.recheck()
        take(store, *numbered("ipc-01/0/ipc-01f", 4))
        assert store.marks()["ipc-01/0/ipc-01f"].pairs() == [(4, 4)]


def test_a_server_that_does_not_answer_stays_the_one_it_was(tmp_path: Path) -> None:
    with servers.victoria_metrics(tmp_path / "vm") as running:
        store = open_store(Backend("line", running.port).config(tmp_path), "ipc-01")
        take(store, *numbered("ipc-01/0/ipc-01f", 1))
        known = store.store_id
    with closing(store):
        with pytest.raises(StoreError):
            store.recheck()
        assert store.store_id == known
        assert store.marks()


# --- why a device is as it is ---------------------------------------------------------------------


WHY = {"zh": "10.0.0.9 拒绝连接。", "en": "10.0.0.9 refuses the connection."}
DAY = 86_400 * S


def offline(agent: str, seq: int, t: int, **more: Any) -> tuple[str, dict[str, Any]]:
    return health(agent, "plc-1", seq, t, "offline", reason="BadNoCommunication", **more)


def shown(store: Store, now: int, plant: Any) -> dict[str, list[str]]:
    return {row["id"]: row["why"] for row in devices_now(store, SiteDevices.of(plant, store), now)}


def test_the_exact_cause_is_known_for_as_long_as_it_lasts(backend: Backend, tmp_path: Path) -> None:
    """Ten days, a restart, a guest's device; and neither late rows nor another reason make it
    wrong."""
    plant, exact, begun = site(tmp_path, ""), [WHY["zh"], WHY["en"]], T0 - 10 * DAY
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        move = {"from": "online", "to": "offline", "reason": "BadNoCommunication", **WHY}
        take(store, birth("ipc-01", "plc-1"), offline("ipc-01", 1, begun, transition=move))
        take(store, birth("ipc-02", "plc-1", "b"), offline("ipc-02", 1, begun, transition=move))
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        take(store, offline("ipc-01", 2, T0, cause=WHY), offline("ipc-02", 2, T0, cause=WHY))
        take(store, health("ipc-01", "plc-1", 4, T0 - DAY), health("ipc-02", "plc-1", 4, T0 - DAY))
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        backend.flush()
        assert shown(store, T0 + S, plant) == {"ipc-01:plc-1": exact, "ipc-02:plc-1": exact}, (
            "late rows are no news"
        )
        take(store, health("ipc-01", "plc-1", 5, T0 + 2 * S, "offline", reason="BadTimeout"))
        backend.flush()
        assert shown(store, T0 + 3 * S, plant) == {
            "ipc-01:plc-1": list(sentence("BadTimeout")),
            "ipc-02:plc-1": exact,
        }


def test_the_cause_comes_again_with_every_row_and_so_to_another_store(tmp_path: Path) -> None:
    """As the agent writes its rows."""
    device = DeviceHealth("plc-1", 3, 3.0, 0.0)
    device.failed(STATUS["BadNoCommunication"], Cause("connection_refused", **WHY))
    first, second = device.row(5.0), device.row(10.0)
    assert first["transition"]["en"] == WHY["en"]
    assert "cause" not in first
    assert second["cause"] == WHY
    plant = site(tmp_path, "")
    with closing(open_store(plant.store, "ipc-01")) as store:
        take(store, birth("ipc-01", "plc-1"), health("ipc-01", "plc-1", 9, T0, **second))
        assert shown(store, T0 + S, plant) == {"plc-1": [WHY["zh"], WHY["en"]]}
        (outage,) = report(store, T0 - 60 * S, T0 + S)["outages"]
        assert outage["zh"] == WHY["zh"]


def test_a_forgotten_agents_device_that_speaks_brings_back_none_but_itself(
    backend: Backend, tmp_path: Path
) -> None:
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        take(store, *(birth("ipc-02", name) for name in ("one", "two", "three")))
        store.forget(("ipc-02", "", ""), T0)
        assert store.catalogue.listed() == []
        take(store, data("ipc-02", "two", 1, T0 + S, 2.0), agents=Agents(store.catalogue))
        assert store.catalogue.listed() == ["ipc-02:two"]
        assert store.catalogue.forgotten.lists("ipc-02")
    with closing(open_store(backend.config(tmp_path), "ipc-01")) as store:
        assert store.catalogue.listed() == ["ipc-02:two"]
