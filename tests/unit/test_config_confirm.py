"""`mqtt.confirm` where nobody wrote it, and what `check` says of a file as a whole."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from edge_agent.cli import check
from edge_agent.commissioning.terminal import SentencePrinter
from edge_agent.config.models import Site
from tests.support.sites import site


def summary(loaded: Site) -> str:
    """What `check` prints of a file."""
    file = io.StringIO()
    check.show_summary(SentencePrinter(Console(file=file)), loaded)
    return file.getvalue()


DEVICE = 'devices: [{id: a, connector: modbus, url: "tcp://h", tags: {t: {address: holding/1}}}]\n'


@pytest.mark.parametrize(
    ("text", "confirm", "reason"),
    [
        ("", "broker", "no store"),
        ("store: {}\n", "store", "store"),
        ("store:\n", "store", "store"),
        ("store: {kind: duckdb}\n", "store", "store"),
    ],
)
def test_a_store_section_says_that_the_store_is_waited_for(
    tmp_path: Path, text: str, confirm: str, reason: str
) -> None:
    loaded = site(tmp_path, text)
    assert (loaded.mqtt.confirm, loaded.confirm_reason) == (confirm, reason)
    said = summary(loaded)
    assert f"confirm: {confirm}（" in said
    assert f"confirm: {confirm} (" in said


def test_what_is_written_counts(tmp_path: Path) -> None:
    for written in ("broker", "store"):
        path = tmp_path / f"{written}.yaml"
        path.write_text(
            f"agent: {{id: a}}\nmqtt: {{url: mqtt://h, confirm: {written}}}\nstore: {{}}\n"
        )
        from edge_agent.config import load

        loaded = load(path)
        assert (loaded.mqtt.confirm, loaded.confirm_reason) == (written, "mqtt.confirm")
        assert "as mqtt.confirm says" in summary(loaded)


def test_a_file_without_devices_is_not_called_fine(tmp_path: Path) -> None:
    loaded = site(tmp_path, "")
    assert "fine" not in summary(loaded)
    assert [note.code for note in check.site_notes(loaded)] == ["no-devices"]
    assert list(check.site_notes(site(tmp_path, DEVICE))) == []


def test_one_device_is_one_device(tmp_path: Path) -> None:
    said = summary(site(tmp_path, DEVICE))
    assert "1 device on 1 connection, 1 tag, 1 value/s" in said
