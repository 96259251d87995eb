"""What `serve` refuses at its start, and what its files allow others."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.sites import write

DEVICE = "devices: []\n"


@pytest.mark.parametrize("content", ["not a certificate", None])
def test_certificates_that_cannot_be_used_end_it_at_once(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    head = "agent: {id: ipc-01, site: dongguan}\nmqtt: {url: mqtts://127.0.0.1:1, ca: ca.pem}\n"
    path = write(tmp_path, DEVICE, head=head)
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "serve", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "mqtt.ca" in done.stderr


def test_no_file_of_the_store_is_for_others() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir(mode=0o755)
        (folder / "data").chmod(0o755)
        path = write(
            folder, DEVICE + "store: {path: data/store.duckdb, quarantine: data/quarantine}\n"
        )
        service = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "serve", path], stderr=subprocess.DEVNULL
        )
        try:
            deadline = time.monotonic() + 60
            while not (folder / "data/store.duckdb.sock").exists():
                assert service.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            files = list((folder / "data").iterdir())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) & 0o077 for file in files}
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(30)
        assert "store.duckdb" in modes
        assert set(modes.values()) == {0}
