"""collectd as a native peer: a C daemon with a Modbus reader (libmodbus) and an MQTT writer
(libmosquitto).

Debian's package, its defaults kept. It has one request and one message for each value, no batching
to switch on, and no buffer on disk.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.shapes import LoadShape

_PLUGINS = Path("/usr/lib/collectd")


def program() -> str | None:
    """Where it is, or None: Debian's collectd-core with libmodbus5 and libmosquitto1."""
    found = shutil.which("collectd", path="/usr/sbin:/usr/bin")
    return (
        found
        if found and all((_PLUGINS / f"{name}.so").exists() for name in ("modbus", "mqtt"))
        else None
    )


def version() -> str:
    """Its version, `5.12.0` or the like; empty when it is not installed."""
    found = program()
    if found is None:
        return ""
    said = subprocess.run([found, "-h"], capture_output=True, text=True, check=False).stdout
    found_version = re.search(r"^collectd (\d[\d.]*\d)", said, re.MULTILINE)
    return found_version[1] if found_version else ""


def configure(shape: LoadShape, endpoints: list[str], broker_port: int, folder: Path) -> list[str]:
    """Write its file for a shape, and say how to start it."""
    file = folder / "collectd.conf"
    hosts = "\n".join(_host(n, url, shape) for n, url in enumerate(endpoints))
    data = "\n".join(_data(i, shape.step) for i in range(shape.tags))
    file.write_text(
        f'Hostname "bench"\nFQDNLookup false\nBaseDir "{folder}"\nPIDFile "{folder}/collectd.pid"\n'
        f"Interval {shape.every}\nLoadPlugin modbus\nLoadPlugin mqtt\n"
        f"<Plugin modbus>\n{data}\n{hosts}\n</Plugin>\n"
        f'<Plugin mqtt>\n<Publish "bench">\nHost "127.0.0.1"\nPort {broker_port}\nClientId '
        '"collectd"\nQoS 1\n'
        'Prefix "collectd"\nStoreRates false\n</Publish>\n</Plugin>\n'
    )
    found = program()
    assert found is not None
    return [found, "-f", "-C", str(file)]


def _data(index: int, step: int) -> str:
    return (
        f'<Data "v{index}">\nRegisterBase {index * step}\nRegisterType Float\nRegisterCmd '
        "ReadHolding\n"
        f'Type gauge\nInstance "v{index}"\n</Data>'
    )


def _host(number: int, url: str, shape: LoadShape) -> str:
    collect = "\n".join(f'Collect "v{i}"' for i in range(shape.tags))
    port = url.rpartition(":")[2]
    return (
        f'<Host "dev-{number:04}">\nAddress "127.0.0.1"\nPort "{port}"\nInterval {shape.every}\n'
        f"<Slave 1>\n{collect}\n</Slave>\n</Host>"
    )
