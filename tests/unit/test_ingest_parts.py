"""The small parts of the ingest: window, watermarks, quarantine, the socket, the quarantine
command."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from edge_agent.clock import Clock
from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.control import client, server, store_questions
from edge_agent.errors import FindingsError, StoreError
from edge_agent.identity import agent_of
from edge_agent.ingest.quarantine import MessageQuarantine, RefusedMessage
from edge_agent.ingest.replay import replay
from edge_agent.ingest.watermark import Watermarks
from edge_agent.ingest.window import ReceiveWindow
from edge_agent.intervals import IntervalSet
from edge_agent.stores.duckdb.store import DuckDbStore
from tests.support.aio import run


def test_a_window_is_learned_from_stopping_twice_at_the_same_number() -> None:
    window = ReceiveWindow()
    assert not window.full(20)
    window.waited(20)
    window.waited(20)
    assert window.full(20)
    assert not window.full(19)


def test_more_than_the_window_proves_it_wrong() -> None:
    window = ReceiveWindow()
    window.waited(3)
    window.waited(3)
    window.seen(3)
    assert window.full(3)
    window.seen(4)
    assert not window.full(4)
    window.waited(4)
    assert not window.full(4)


def told(marks: Watermarks, agent: str, known: dict[str, IntervalSet]) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(marks.document(agent, "ingest", 5, known))
    return document


def test_watermarks_speak_of_named_and_recent_streams() -> None:
    marks = Watermarks()
    known = {
        "a/0/1": IntervalSet([(1, 5), (7, 9)]),
        "a/0/2": IntervalSet([(1, 1)]),
        "b/0/1": IntervalSet([(4, 4)]),
    }
    marks.take_agent_state({"agent": "a", "streams": ["a/0/1", "a/0/9", 5]})
    assert marks.due(0.0, everyone=False) == ["a"]
    assert marks.due(0.0, everyone=False) == []
    assert told(marks, "a", known)["streams"] == {"a/0/1": [[1, 5], [7, 9]], "a/0/9": []}
    marks.committed({"a/0/2", "b/0/1"}, 1.0)
    assert marks.due(1.0, everyone=False) == ["a", "b"]
    assert set(told(marks, "a", known)["streams"]) == {"a/0/1", "a/0/9", "a/0/2"}
    assert told(marks, "b", known) == {
        "v": 1,
        "ingest": "ingest",
        "t": 5,
        "streams": {"b/0/1": [[4, 4]]},
    }
    assert marks.due(2.0, everyone=True) == ["a", "b"]
    assert marks.due(2000.0, everyone=True) == ["a"], (
        "a stream of long ago is told only while it is named"
    )
    assert agent_of("ipc-01/0/9f") == "ipc-01"


@pytest.mark.parametrize("state", [{}, {"agent": 1, "streams": []}, {"agent": "a", "streams": "x"}])
def test_malformed_agent_states_are_passed_over(state: dict[str, Any]) -> None:
    marks = Watermarks()
    marks.take_agent_state(state)
    assert marks.due(0.0, everyone=True) == []


@pytest.mark.parametrize(
    "name", ["", "+", "a#", "a b", "a\0", "a\x81", "\uffff", "a" * 257], ids=ascii
)
def test_a_name_that_no_topic_can_have_is_told_nothing(name: str) -> None:
    """It would be the watermark's topic, and publishing to it would end the service."""
    marks = Watermarks()
    marks.take_agent_state({"agent": name, "streams": [f"{name}/0/1"]})
    marks.committed({f"{name}/0/1", "a/0/1"}, 0.0)
    assert marks.due(0.0, everyone=True) == ["a"]
    marks.take_agent_state({"agent": "a/b", "streams": []})
    assert marks.due(0.0, everyone=True) == ["a"]


def entry(payload: bytes = b"{}", **fields: Any) -> RefusedMessage:
    return RefusedMessage.new(5, "edge/e/s/a/l/m1/data", payload, "reason", 1, **fields)


def test_quarantine_keeps_every_byte_and_is_private(tmp_path: Path) -> None:
    quarantine = MessageQuarantine(tmp_path / "q")
    assert list(quarantine.entries()) == []
    assert quarantine.drop(["x"]) == 0
    entries = [entry("中文\n".encode()), entry(b"\xff\x00"), entry(tags=["a", "b"])]
    quarantine.append(entries)
    quarantine.append([])
    assert list(quarantine.entries()) == entries
    assert (tmp_path / "q").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "q").iterdir())
    assert quarantine.drop([entries[1].id, "unknown"]) == 1
    assert list(quarantine.entries()) == [entries[0], entries[2]]
    file = next((tmp_path / "q").glob("*.jsonl"))
    file.write_bytes(file.read_bytes() + b'{"id":"torn')
    assert len(list(quarantine.entries())) == 2
    assert quarantine.drop([entries[0].id, entries[2].id]) == 2
    assert list((tmp_path / "q").glob("*.jsonl")) == []


def test_a_flood_of_poison_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.ingest.quarantine._FILE_BYTES", 100)
    monkeypatch.setattr("edge_agent.ingest.quarantine._FILES", 3)
    quarantine = MessageQuarantine(tmp_path / "q")
    entries = [entry(b"x" * 100) for _ in range(6)]
    for one in entries:
        quarantine.append([one])
    assert list(quarantine.entries()) == entries[3:]


def test_a_quarantine_that_cannot_be_written_stops_the_acknowledgement(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        MessageQuarantine(tmp_path / "file").append([entry()])


def data(tag: str, value: Any, device: str = "m1") -> bytes:
    return orjson.dumps(
        {
            "v": 1,
            "device": device,
            "stream": "a/0/1",
            "seq": 3,
            "t": 7,
            "values": {tag: value, "z": 1},
        }
    )


def test_replay_stores_what_it_can_and_keeps_the_rest(tmp_path: Path) -> None:
    quarantine = MessageQuarantine(tmp_path / "q")
    quarantine.append([entry(data("x", 2)), entry(b"not json"), entry(data("y", 3), tags=["y"])])
    with closing(DuckDbStore(tmp_path / "s.duckdb", agent="a")) as store:
        done = replay(list(quarantine.entries()), store, quarantine, Clock())
        assert (done.stored, len(done.taken), list(done.refused.values())) == (3, 2, ["not JSON"])
        assert store.samples("m1", "x", 0, 10).values() == [2]
        assert store.samples("m1", "z", 0, 10).values() == [1], (
            "the tags that were stored then are not stored again"
        )
        assert store.counts().stored == 3
    assert [left.payload for left in quarantine.entries()] == [b"not json"]


def test_an_entry_behind_a_torn_line_is_not_lost_with_it(tmp_path: Path) -> None:
    quarantine = MessageQuarantine(tmp_path / "q")
    quarantine.append([entry(b"1"), entry(b"2")])
    (path,) = (tmp_path / "q").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-9])  # a power cut amid the second
    quarantine.append([entry(b"3")])
    assert [left.payload for left in quarantine.entries()] == [b"1", b"3"]


def test_the_socket_answers_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    path = client.socket_path(folder / "s.duckdb")

    async def slow(text: str) -> str:
        return text * 2

    def refuse() -> None:
        raise FindingsError.one("code", "中", "en", "where")

    async def main(store: DuckDbStore) -> None:
        async with server.serve_socket(
            path, {**store_questions.operations(store), "slow": slow, "refuse": refuse}
        ):
            assert path.stat().st_mode & 0o777 == 0o600
            ask = lambda op, **kw: asyncio.to_thread(client.ask, path, op, **kw)  # noqa: E731
            assert await ask("counts") == {"stored": 0, "quarantined": 0}
            assert await ask("latest") == {}
            assert await ask("slow", text="ab") == "abab"
            with pytest.raises(FindingsError, match="unknown"):
                await ask("unknown")
            with pytest.raises(FindingsError, match="TypeError"):
                await ask("slow", wrong=1)
            with pytest.raises(FindingsError, match="中"):
                await ask("refuse")
            with pytest.raises(FindingsError, match="ValueError"):
                await ask("metrics", from_ns="now")
            with pytest.raises(FindingsError, match="serve"):
                async with server.serve_socket(path, {}):
                    pass
        assert not path.exists()

    with closing(DuckDbStore(folder / "s.duckdb", agent="a")) as store:
        run(main(store))


def test_an_asker_who_stays_does_not_hold_up_the_end(tmp_path: Path) -> None:
    import socket

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            async with server.serve_socket(tmp_path / "x.sock", {}):
                await asyncio.to_thread(sock.connect, str(tmp_path / "x.sock"))
                sock.sendall(b"half a li")

    run(main())


def left_behind(path: Path) -> None:
    """The socket of a service that was killed."""
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_open_or_ask_prefers_the_running_service(tmp_path: Path) -> None:
    config = StoreConfig(path=tmp_path / "s.duckdb")
    assert store_questions.open_or_ask(config, "counts") == {"stored": 0, "quarantined": 0}
    left_behind(tmp_path / "s.duckdb.sock")
    assert store_questions.open_or_ask(config, "metrics") == []

    async def main() -> None:
        async with server.serve_socket(
            client.socket_path(config.path), {"counts": lambda: "served"}
        ):
            assert (
                await asyncio.to_thread(store_questions.open_or_ask, config, "counts") == "served"
            )

    run(main())
