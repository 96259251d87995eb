"""What a server's refusals mean: 5xx and silence are waited out, 4xx about the data is poison, no
retry hides."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import PoisonError, StoreError
from edge_agent.stores import Chunk, Rows, Store, StreamMark, WriteBatch, open_store
from edge_agent.stores.columns import FLOAT
from tests.support.servers import free_port

KINDS = ["influxdb", "influxdb1", "line"]
T0 = 1_763_900_000_000_000_000


class Server:
    """Answers every write with `status` and keeps what it was sent, and every question with
    `answer`."""

    def __init__(self) -> None:
        self.status = 204
        self.drop = False
        self.hold = threading.Event()
        """Cleared, answers wait for it, at most 5 s."""
        self.hold.set()
        self.answer = b"{}"
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.requests.append((self.path, dict(self.headers), body))
                if outer.drop:
                    self.connection.close()
                    self.close_connection = True
                    return
                outer.hold.wait(5)
                answer = b"" if outer.status == 204 else b'{"error":"partial write"}'
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.answer)))
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as running:
        yield running


def opened(kind: str, port: int, folder: Path, **keys: Any) -> Store:
    config = {
        "kind": kind,
        "url": f"http://127.0.0.1:{port}",
        "path": folder / "s",
        "token": "secret",
        **keys,
    }
    return open_store(StoreConfig.model_validate(config))


def batch(store: Store) -> WriteBatch:
    chunk = Chunk(
        store.catalogue.ids("m1", ("x y",)), T0, np.array([1.5]), np.full(1, FLOAT, np.uint8)
    )
    return WriteBatch(Rows.of([chunk]), T0 + 1, marks=[StreamMark("a/0/1", 1, 1)])


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_the_token_and_the_bucket_arrive(
    kind: str, server: Server, tmp_path: Path
) -> None:
    with closing(opened(kind, server.port, tmp_path, bucket="b", org="o")) as store:
        store.write(batch(store))
    path, headers, body = server.requests[-1]
    assert (
        body
        == b"samples,device=m1,kind=float,tag=x\\ y num=1.5,stored=1763900000000000001i 1763900000000000000"
    )
    assert headers["Authorization"] == "Token secret"
    assert headers["Content-Encoding"] == "gzip"
    assert path.startswith("/write?db=b" if kind == "influxdb1" else "/api/v2/write?")
    assert "precision=ns" in path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [500, 503, 429, 401, 404])
def test_what_may_pass_is_asked_once(
    kind: str, status: int, server: Server, tmp_path: Path
) -> None:
    with closing(opened(kind, server.port, tmp_path)) as store:
        server.status = status
        with pytest.raises(StoreError, match=str(status)):
            store.write(batch(store))
        assert len(server.requests) == 1, "no retry hides here"
        assert store.marks() == {}
        assert store.counts().stored == 0
        server.status = 204
        store.write(batch(store))
        assert store.marks()["a/0/1"].pairs() == [(1, 1)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_about_the_data_is_poison(
    kind: str, status: int, server: Server, tmp_path: Path
) -> None:
    with closing(opened(kind, server.port, tmp_path)) as store:
        server.status = status
        with pytest.raises(PoisonError, match="partial write"):
            store.write(batch(store))
        assert store.marks() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_that_breaks_or_is_refused_can_be_repeated(
    kind: str, server: Server, tmp_path: Path
) -> None:
    with closing(opened(kind, server.port, tmp_path)) as store:
        server.drop = True
        with pytest.raises(StoreError):
            store.write(batch(store))
        server.drop = False
        store.write(batch(store))
    with closing(opened(kind, free_port(), tmp_path / "other")) as store, pytest.raises(StoreError):
        store.write(batch(store))


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_that_does_not_answer_in_its_time_is_tried_again(
    kind: str, server: Server, tmp_path: Path
) -> None:
    with closing(opened(kind, server.port, tmp_path, timeout=0.3)) as store:
        server.hold.clear()
        with pytest.raises(StoreError):
            store.write(batch(store))
        server.hold.set()
        store.write(batch(store))


@pytest.mark.parametrize("kind", KINDS)
def test_newest_samples_and_marks_survive_a_restart(
    kind: str, server: Server, tmp_path: Path
) -> None:
    with closing(opened(kind, server.port, tmp_path)) as store:
        store.write(batch(store))
        live = store.latest()
    with closing(opened(kind, server.port, tmp_path)) as store:
        assert store.latest() == live
        assert store.counts().stored == 1
        assert store.catalogue.find("m1", "x y") == 0
        assert (tmp_path / "s.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"results":[{"series":[{"values":[[1]]}]}],"data":{"result":[{"metric":{},"value":[]}]}}',
        b'{"results":[{"error":"timeout reached"}],"data":{"result":[{}]}}',
        b'{"results":[{"series":[{"partial":true,"values":[]}]}],"isPartial":true,"data":{"result":[]}}',
    ],
)
def test_an_answer_that_is_none_is_not_taken_for_nothing(
    kind: str, answer: bytes, server: Server, tmp_path: Path
) -> None:
    """InfluxDB says with HTTP 200 that a query failed, or that it gave a part of the rows."""
    server.answer = answer
    with closing(opened(kind, server.port, tmp_path)) as store, pytest.raises(StoreError):
        store.health(0, T0)


@pytest.mark.parametrize("kind", ["influxdb", "influxdb1"])
def test_a_database_that_no_write_has_made_yet_holds_nothing(
    kind: str, server: Server, tmp_path: Path
) -> None:
    server.answer = b'{"results":[{"statement_id":0,"error":"database not found: edge"}]}'
    with closing(opened(kind, server.port, tmp_path)) as store:
        assert store.health(0, T0) == {}
        assert len(store.samples("m1", "a", 0, T0).t) == 0
