"""`check --show` of a store on a server: its own keys are there, what is secret is not."""

from __future__ import annotations

from pathlib import Path

from edge_agent.cli.check import effective
from edge_agent.config import load

_PLANT = """\
agent: {id: a, enterprise: e, site: s, area: x}
mqtt: {url: "mqtt://127.0.0.1:1883"}
store: {kind: influxdb, url: "http://u:S3cret@127.0.0.1:8086", token: S3cret, bucket: b1}
devices:
  - id: d
    connector: modbus
    url: tcp://127.0.0.1:502
    tags: {x: {address: holding/1, type: uint16}}
"""


def test_a_store_on_a_server_is_shown_with_its_keys_and_without_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(_PLANT, encoding="utf-8")
    store = effective(load(file))["store"]
    assert (store["bucket"], store["url"]) == ("b1", "http://***@127.0.0.1:8086")
    assert "S3cret" not in str(store)
