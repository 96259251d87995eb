"""A small store file of the format that this program writes now, for `tests/data/formats/VERSION`.

Run `python -m tests.support.format_samples FOLDER` when the number of a format was raised, and keep
what it writes: the files are opened in `tests/unit/test_formats.py` by every later version.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from edge_agent.identity import DeviceKeys
from edge_agent.ingest import messages
from edge_agent.ingest.messages import Assembly, IngestMessage
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.duckdb.store import DuckDbStore
from edge_agent.stores.registers import RegisterVersion
from edge_agent.stores.remote.sidecar import Sidecar

T0, S = 1_763_900_000_000_000_000, 1_000_000_000
_STREAM = "ipc-01/0/9f3c"
_HEALTH = {
    "period_s": 5.0,
    "scheduled_s": 5.0,
    "covered_s": 5.0,
    "due": 5,
    "done": 5,
    "good": 5,
    "bad": 0,
    "values": 5,
    "latency_ms": 1.0,
    "latency_max_ms": 2.0,
    "overruns": 0,
    "state": "online",
    "reason": "",
}


def _births() -> list[dict[str, Any]]:
    tag = {"type": "float", "unit": "kWh", "address": "holding/0"}
    return [
        {"t": T0, "tags": {"energy_import": tag | {"scale": 40}}},
        {"t": T0 + 30 * S, "tags": {"energy_import": tag | {"scale": 60}}},
    ]


def _read(kind: str, document: dict[str, object], catalogue: Catalogue) -> IngestMessage:
    document = {"v": 1, "device": "plc-1", "agent": "ipc-01", **document}
    return messages.read(f"edge/e/s/a/l/plc-1/{kind}", orjson.dumps(document), catalogue)


def _batch(catalogue: Catalogue) -> Assembly:
    """A minute of one device whose scale changes, with a health row each 5 s."""
    found = []
    for birth in _births():
        catalogue.born({"v": 1, "device": "plc-1", "agent": "ipc-01", "staleness": 6.0, **birth})
    for n in range(12):
        about = {"stream": _STREAM, "t": T0 + 5 * n * S}
        found.append(
            _read(
                "data",
                about | {"seq": 2 * n + 1, "values": {"energy_import": 100.0 + n}},
                catalogue,
            )
        )
        health = about | {"seq": 2 * n + 2, "last_good_t": T0 + 5 * n * S, **_HEALTH}
        found.append(_read("health", health, catalogue))
    return Assembly.of(found, T0 + 61 * S)


def write_samples(folder: Path) -> None:
    """`store.duckdb` and `store.sqlite` as this version writes them, into a folder that exists."""
    with closing(DuckDbStore(folder / "store.duckdb", agent="ipc-01")) as store:
        store.write(_batch(store.catalogue).batch)
        store.keep_register(RegisterVersion("v1", T0, T0), "document")
        store.put_metric("M-05", T0, {"id": "M-05", "value": 0.5})
        store.keep_hours(store.read_open_hours(T0 + 3 * 3600 * S, 9))
    with closing(Sidecar(folder / "store.sqlite", DeviceKeys("ipc-01"))) as sidecar:
        sidecar.use("0123456789abcdef", "http://a", adopt=False)
        catalogue = sidecar.catalogue()
        sidecar.save(_batch(catalogue).batch, catalogue, {"plc-1": T0})
        sidecar.keep_register(RegisterVersion("v1", T0, T0), "document")


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        write_samples(Path(scratch))
        for path in sorted(Path(scratch).glob("store.*")):
            (target / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    main()
