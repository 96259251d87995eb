"""`check --show` of a store on a server: its own keys are there, what is secret is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli.check import effective
from edge_agent.config import load
from edge_agent.errors import ConfigError

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


def test_an_error_about_an_address_does_not_show_a_password_with_a_slash(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(_PLANT.replace("u:S3cret@", "u:pa/S3cret@"), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert "http://***@127.0.0.1:8086" in str(raised.value)
    assert "S3cret" not in str(raised.value)
