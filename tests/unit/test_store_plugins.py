"""Stores of third parties in a configuration: found by entry point, judged by their own keys."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from docs.examples import sqlite_store
from edge_agent.cli import schema
from edge_agent.config import load
from edge_agent.config.schema import json_schema
from edge_agent.config.store_plugins import InstalledStores
from edge_agent.errors import ConfigError, FindingsError, StoreError
from edge_agent.sdk import Problem
from edge_agent.stores import local_file, open_store, require_local_file
from edge_agent.stores.sdk import (
    SDK_VERSION,
    SecretStr,
    StoreEngine,
    StoreOptions,
    StorePlugin,
)
from tests.support.jsonschema import faults
from tests.support.store_packages import install

ROOT = Path(__file__).parents[2]
SQLITE = "docs.examples.sqlite_store:PLUGIN"


class NetOptions(StoreOptions):
    host: str
    """Where the database listens."""
    password: SecretStr | None = None
    certificate: Path | None = None
    port: int = 1


def judged(options: NetOptions) -> Iterable[Problem]:
    if options.port == 13:
        yield Problem(None, "port", "端口 13 不行。", "port 13 will not do.")


def fails(options: NetOptions, path: Path) -> StoreEngine:
    raise StoreError("it is asleep") if options.port == 2 else RuntimeError("odd")


NET = StorePlugin(
    name="net",
    options=NetOptions,
    open=fails,
    check=judged,
    file=lambda _options, _path: None,
    sdk_version=SDK_VERSION,
)


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "net_store_module", _Module())
    install(
        tmp_path, monkeypatch, sqlite=SQLITE, net="net_store_module:NET", gone="no_such:PLUGIN",
        odd="json:dumps", duckdb="json:loads", misnamed=SQLITE,
    )  # fmt: skip


class _Module:
    NET = NET


def site(folder: Path, store: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(
        "agent: {id: ipc-01, site: test}\nmqtt: {url: 'mqtt://127.0.0.1:1'}\n"
        f"store: {store}\ndevices: []\n",
        encoding="utf-8",
    )
    return path


def refused(folder: Path, store: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(site(folder, store))
    return str(error.value)


def test_its_own_keys_are_validated_and_paths_count_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "hunter2")
    written = "{kind: net, host: db, password: !env PASSWORD, certificate: ca.pem, path: s}"
    store: Any = load(site(tmp_path, written)).store
    assert (store.kind, store.host, store.port) == ("net", "db", 1)
    assert store.certificate == tmp_path / "ca.pem"
    assert store.path == tmp_path / "s"
    assert "hunter2" not in repr(store)
    assert load(site(tmp_path, written)).store == store
    assert isinstance(store, NetOptions)


@pytest.mark.parametrize(
    ("store", "code", "sentence"),
    [
        ("{kind: net}", "missing-key", '"store.host"'),
        ("{kind: net, host: db, hots: 1}", "unknown-key", "hots"),
        ("{kind: net, host: db, url: 'http://a:1'}", "unknown-key", "url"),
        ("{kind: net, host: db, port: many}", "wrong-type", "store.port"),
        ("{kind: net, host: db, port: 13}", "bad-store", "port 13 will not do."),
        ("{kind: gone, whatever: 1}", "broken-store", "cannot be loaded"),
        ("{kind: odd}", "broken-store", "odd"),
        ("{kind: misnamed}", "broken-store", "no StorePlugin of that name"),
        ("{kind: sqlit}", "unknown-value", "Did you mean 'sqlite'?"),
        ("{kind: line}", "missing-key", "store.url"),
    ],
)
def test_what_is_wrong_is_a_plain_sentence_with_its_place(
    store: str, code: str, sentence: str, tmp_path: Path
) -> None:
    said = refused(tmp_path, store)
    assert sentence in said
    assert "site.yaml:3:" in said
    assert [finding.code for finding in _findings(tmp_path)] == [code], said


def _findings(folder: Path) -> list[Any]:
    with pytest.raises(ConfigError) as error:
        load(folder / "site.yaml")
    return list(error.value.findings)


def test_no_package_takes_the_name_of_a_built_in_store() -> None:
    assert "duckdb" not in InstalledStores()
    assert [plugin.name for plugin in InstalledStores().loadable()] == ["net", "sqlite"]


def test_a_plug_in_of_a_newer_contract_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(ValueError, match=r"stores\.sdk"):
        StorePlugin(name="n", options=NetOptions, open=fails, sdk_version=SDK_VERSION + 1)


def test_the_schema_and_the_reference_know_its_keys() -> None:
    document = json_schema({}, InstalledStores().loadable())
    section = document["properties"]["store"]
    start = {"agent": {"id": "a"}, "mqtt": {"url": "mqtt://h:1"}}
    good = start | {"store": {"kind": "net", "host": "db"}}
    assert faults(good, document, document) == []
    assert faults(start | {"store": {"kind": "net", "hots": "db"}}, document, document) != []
    assert (
        faults(start | {"store": {"kind": "line", "url": "http://a:1"}}, document, document) == []
    )
    assert "NetStoreSection" in str(section)
    assert "`host`" in schema.reference()
    assert "Where the database listens." in schema.schema()


@pytest.mark.parametrize(("port", "sentence"), [(1, "odd"), (2, "it is asleep")])
def test_one_that_cannot_be_opened_says_why(port: int, sentence: str, tmp_path: Path) -> None:
    config = load(site(tmp_path, f"{{kind: net, host: db, port: {port}}}")).store
    assert local_file(config) is None
    require_local_file(config)
    with pytest.raises(FindingsError, match=sentence) as error:
        open_store(config)
    assert error.value.findings[0].code == "store-unreachable"


def test_commands_do_not_make_a_store_that_is_not_there(tmp_path: Path) -> None:
    config = load(site(tmp_path, "{kind: sqlite, path: s.sqlite}")).store
    with pytest.raises(FindingsError, match="There is no store yet"):
        require_local_file(config)
    with closing(open_store(config, "ipc-01")) as store:
        store.identify()
    require_local_file(config)
    (tmp_path / "dir").mkdir()
    bad = load(site(tmp_path, "{kind: sqlite, path: dir}")).store
    with pytest.raises(FindingsError, match="SQLite file cannot be opened"):
        open_store(bad)


def test_the_guide_prints_the_example_that_is_checked() -> None:
    guide = (ROOT / "docs" / "store-guide.md").read_text(encoding="utf-8")
    printed = re.findall(r"```python\n(\"\"\"A store in one.*?)```", guide, re.DOTALL)
    assert printed == [Path(sqlite_store.__file__).read_text(encoding="utf-8")]
