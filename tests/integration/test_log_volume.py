"""How many lines are written where something goes wrong all the time: one per cause."""

from __future__ import annotations

import io
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.opcua.options import OpcuaTag
from connectors.opcua.resolve import report
from edge_agent.app.log_limit import LimitedHandler
from edge_agent.ingest.quarantine import MessageQuarantine, RefusedMessage
from edge_agent.model import STATUS, Tag, TagTable
from tests.support.sites import write


def test_serve_whose_broker_hangs_up_writes_one_line(tmp_path: Path) -> None:
    """It tries again all the time, and at its end says how often."""
    with socket.create_server(("127.0.0.1", 0)) as broker, (tmp_path / "log").open("w+") as log:
        broker.settimeout(60)
        head = (
            f"agent: {{id: ipc-01, site: s}}\nmqtt: {{url: "
            f"'mqtt://127.0.0.1:{broker.getsockname()[1]}'}}\n"
        )
        path = write(tmp_path, "devices: []\nstore: {path: s.duckdb, quarantine: q}\n", head=head)
        service = subprocess.Popen([sys.executable, "-m", "edge_agent", "serve", path], stderr=log)
        try:
            for _ in range(4):
                broker.accept()[0].close()
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(30)
        log.seek(0)
        lines = [line for line in log.read().splitlines() if "broker-away" in line]
    first, count = lines
    assert "count=" not in first
    assert int(count.rpartition("count=")[2]) >= 2


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a long-running command would write to stderr."""
    out, root = io.StringIO(), logging.getLogger()
    handler, before = LimitedHandler(out), root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield out
    root.removeHandler(handler)
    root.setLevel(before)
    handler.close()


def test_a_poisoned_message_each_second_is_one_line(tmp_path: Path, written: io.StringIO) -> None:
    quarantine = MessageQuarantine(tmp_path / "quarantine")
    for second in range(100):
        quarantine.append([RefusedMessage.new(second, "edge/a/data", b"x", "not JSON", 1)])
    quarantine.append([RefusedMessage.new(101, "edge/b/data", b"x", "not JSON", 1)])
    assert written.getvalue().count("quarantined id=") == 2


def test_a_server_that_refuses_50_of_150_items_is_one_line(written: io.StringIO) -> None:
    tags = tuple(Tag(f"t{n}", "float", OpcuaTag(node=f"ns=2;i={n}")) for n in range(150))
    table = TagTable("cnc", 1.0, tags)
    refused = dict.fromkeys(range(0, 150, 3), STATUS["BadNodeIdUnknown"])
    report(table, {}, refused)
    report(table, refused, refused)
    (line,) = written.getvalue().splitlines()
    assert (
        "opcua-tags-refused device=cnc status=BadNodeIdUnknown count=50 tags=t0(ns=2;i=0),t3("
        in line
    )
    report(table, refused, {})
    assert "opcua-tags-found device=cnc count=50" in written.getvalue().splitlines()[1]
