"""`edge-agent outbox status|verify|export`, beside a running agent and after it."""

from __future__ import annotations

import argparse
import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_agent.cli import outbox as command
from edge_agent.errors import FindingsError
from edge_agent.outbox import Outbox


def run(argv: Sequence[str | Path]) -> int:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    args = parser.parse_args(["outbox", *map(str, argv)])
    status: int = args.func(args)
    return status


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(
        f"agent: {{id: a}}\nmqtt: {{url: 'mqtt://127.0.0.1:1'}}\noutbox: {{path: "
        f"{tmp_path / 'box'}}}\ndevices: []\n"
    )
    return path


def filled(path: Path) -> Outbox:
    outbox = Outbox(path, agent="ipc-01", max_bytes=1_000_000, fsync_ms=10)
    for n in range(20):
        outbox.append("edge/a/data", b'{"seq":', b',"x":1}', 1_700_000_000_000_000_000 + n, 4)
    taken = [outbox.take_backlog() for _ in range(8)]
    outbox.acknowledge([e for e in taken[:5] if e], release=True)
    outbox.acknowledge([e for e in taken[5:] if e], release=False)
    return outbox


def test_status_beside_a_running_agent_and_after_it(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = filled(tmp_path / "box")
    assert run(["status", config]) == 0
    running = capsys.readouterr().out
    outbox.close_now()
    assert run(["status", config]) == 0
    for text in (running, capsys.readouterr().out):
        assert "15 条 entries, 60 个值 values" in text
        assert outbox.stream in text
        assert "broker 3" in text


def test_verify_tells_sound_from_damaged(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(tmp_path / "box").close_now()
    assert run(["verify", config]) == 0
    segment = next((tmp_path / "box").glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[300] ^= 1
    segment.write_bytes(raw)
    before = sorted((p.name, p.stat().st_size) for p in (tmp_path / "box").iterdir())
    assert run(["verify", config]) == 1
    assert segment.name in capsys.readouterr().out
    assert sorted((p.name, p.stat().st_size) for p in (tmp_path / "box").iterdir()) == before, (
        "it only looks"
    )


def test_the_outboxes_of_workers_present_and_former_count_too(
    config: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for folder in ("box", "box/worker-1", "box/worker-3", "box/quarantine"):
        filled(tmp_path / folder).close_now()
    assert run(["status", config]) == 0
    text = capfdbinary.readouterr().out.decode()
    assert "45 条 entries, 180 个值 values" in text
    assert run(["export", config]) == 0
    assert len(capfdbinary.readouterr().out.splitlines()) == 45
    segment = next((tmp_path / "box" / "worker-3").glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[300] ^= 1
    segment.write_bytes(raw)
    assert run(["verify", config]) == 1
    assert str(segment) in capfdbinary.readouterr().out.decode()


def test_export_gives_what_is_pending(
    config: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    outbox = filled(tmp_path / "box")
    try:
        assert run(["export", config]) == 0
        lines = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
        assert [line["seq"] for line in lines] == list(range(6, 21))
        assert lines[0]["payload"] == {"seq": 6, "x": 1}
        assert [line["acknowledged"] for line in lines].count(True) == 3
        target = tmp_path / "all.jsonl"
        assert run(["export", config, "--all", "--output", target]) == 0
        assert len(target.read_text().splitlines()) == 20
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    finally:
        outbox.close_now()


def test_no_outbox_yet_is_a_plain_sentence(config: Path) -> None:
    with pytest.raises(FindingsError) as error:
        run(["status", config])
    assert error.value.findings[0].code == "no-outbox"
