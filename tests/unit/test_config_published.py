"""What is published about the configuration is current: schema, reference, examples, commands."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli import check, profiles, schema
from edge_agent.config import load
from edge_agent.config.docstrings import meanings
from edge_agent.config.findings import Findings
from edge_agent.config.models import File
from edge_agent.config.places import SecretReference
from edge_agent.config.plugins import InstalledPlugins, device_model, tag_model
from edge_agent.config.reference import markdown
from edge_agent.config.schema import json_schema
from edge_agent.config.shape import keys
from edge_agent.config.source import read
from edge_agent.errors import ConfigError
from tests.support.jsonschema import faults
from tests.support.sites import write

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "configs" / "examples").glob("*.yaml"))
SECRETS = {"MQTT_PASSWORD": "hunter1", "CNC_PASSWORD": "hunter2"}


def command(module: Any, *words: str) -> int:
    """Run one command as main() would."""
    parser = argparse.ArgumentParser()
    module.add(parser.add_subparsers())
    args = parser.parse_args([module.__name__.rpartition(".")[2], *words])
    status: int = args.func(args)
    return status


def plain(value: Any) -> Any:
    """Data without places; a secret is a text to an editor."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.argument if isinstance(value, SecretReference) else value


def test_the_checked_in_schema_is_current() -> None:
    """If not: `edge-agent schema > configs/edge-agent.schema.json`."""
    assert (ROOT / "configs" / "edge-agent.schema.json").read_text(
        encoding="utf-8"
    ) == schema.schema()


def test_the_checked_in_reference_is_current() -> None:
    """If not: `edge-agent schema --reference > docs/configuration.md`."""
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == schema.reference()


def test_the_schema_knows_every_key() -> None:
    document = json_schema(InstalledPlugins())
    assert set(document["properties"]) == set(keys(File))
    for name, plugin in InstalledPlugins().items():
        device = document["definitions"][device_model(plugin).__name__]["properties"]
        assert set(device) == {*keys(device_model(plugin)), "for", "template"}, name
        assert set(document["definitions"][tag_model(plugin).__name__]["properties"]) == {
            *keys(tag_model(plugin)),
            "for",
        }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_names_the_schema_and_fits_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../edge-agent.schema.json"
    document = json_schema(InstalledPlugins())
    assert faults(plain(read(path, Findings(path))), document, document) == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_loads_with_the_real_connectors(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    assert load(path).devices


def test_a_hundred_plcs_take_at_most_twelve_lines() -> None:
    path = ROOT / "configs" / "examples" / "hundred-plcs.yaml"
    assert len(load(path).devices) == 100
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 12


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("outboks: {}", "$.outboks"),
        ("mqtt: {url: mqtt://h, window: 0}", "$.mqtt.window"),
        ("devices: [{id: a, connector: modbus, endpoint: x}]", "$.devices[0].endpoint"),
        ("devices: [{id: a, connector: opcua, unit: 1}]", "$.devices[0].unit"),
        ("devices: [{id: a, profile: p, colour: red}]", "$.devices[0].colour"),
        ("devices: [{for: {i: many}, id: a}]", "$.devices[0].for.i"),
        ("templates: {t: {connector: modbus, untit: 1}}", "$.templates.t.untit"),
        ("defaults: {modbus: {endpoint: x}}", "$.defaults.modbus.endpoint"),
        ("defaults: {s7: {}}", "$.defaults.s7"),
        ("agent: {id: 'a:b'}", "$.agent.id"),
        (
            "devices: [{id: a, connector: modbus, tags: {' a': {address: 1}}}]",
            "$.devices[0].tags. a",
        ),
        (
            "devices: [{id: a, connector: modbus, tags: {t: {for: 3, address: 1}}}]",
            "$.devices[0].tags",
        ),
    ],
)
def test_an_editor_sees_a_slip(tmp_path: Path, text: str, fault: str) -> None:
    path = write(tmp_path, text, head="")
    document = json_schema(InstalledPlugins())
    (found,) = faults(plain(read(path, Findings(path))), document, document)
    assert found.startswith(fault)


def test_the_reference_has_a_row_and_a_meaning_for_every_key() -> None:
    text = markdown(InstalledPlugins())
    for model in (File, *(device_model(plugin) for plugin in InstalledPlugins().values())):
        for key in keys(model):
            assert f"| `{key}` |" in text
    assert keys(File).keys() == meanings(File).keys()
    for field in keys(File).values():
        for model in [field.annotation] if field.is_required() else [type(field.default)]:
            if model is not None and hasattr(model, "model_fields"):
                assert keys(model).keys() == meanings(model).keys(), model


def test_the_yaml_of_the_reference_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", markdown(InstalledPlugins()), re.DOTALL)
    write(tmp_path, "devices: []\n", "lines/empty.yaml", head="")
    assert len(load(write(tmp_path, block)).devices) == 100


def test_check_prints_a_line_for_each_device_and_the_sum(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(check, str(ROOT / "configs" / "examples" / "mixed-site.yaml")) == 0
    out = capsys.readouterr().out
    assert "opc.tcp://10.0.1.31:4840" in out
    assert "18 devices on 16 connections, 134 tags, 105.2 values/s" in out


def test_check_show_prints_what_loads_again_without_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    path = ROOT / "configs" / "examples" / "sinumerik-secure.yaml"
    assert command(check, str(path), "--show") == 0
    out = capsys.readouterr().out
    assert "hunter" not in out
    (tmp_path / "shown.yaml").write_text(out, encoding="utf-8")
    shown, original = load(tmp_path / "shown.yaml"), load(path)
    assert [list(device.tags) for device in shown.devices] == [
        list(device.tags) for device in original.devices
    ]


def test_check_refuses_with_every_finding(tmp_path: Path) -> None:
    path = write(tmp_path, "outboks: 1\ndevices: [{id: a, connector: modbuss}]\n")
    with pytest.raises(ConfigError) as caught:
        command(check, str(path))
    assert [finding.code for finding in caught.value.findings] == [
        "unknown-key",
        "no-tags",
        "unknown-connector",
    ]


def test_schema_prints_json_and_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(schema) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "edge-agent configuration"
    assert command(schema, "--reference") == 0
    assert capsys.readouterr().out.startswith("# 配置参考 Configuration reference")


def test_profiles_lists_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(profiles) == 0
    assert "eastron-sdm630" in capsys.readouterr().out
    assert command(profiles, "eastron-sdm630") == 0
    assert "source:" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="did you mean 'eastron-sdm630'"):
        command(profiles, "eastron-sdm63")


def test_a_modbus_site_does_not_pay_for_opc_ua() -> None:
    code = (
        "import sys; from edge_agent.config import load; from edge_agent.config.compile import "
        "plans;"
        f"plans(load({str(ROOT / 'configs' / 'examples' / 'hundred-plcs.yaml')!r}));"
        "print([name for name in ('asyncua', 'numpy', 'duckdb', 'rich', 'connectors.opcua') if "
        "name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_broken_connector_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    entries = [
        EntryPoint("gone", "no_such_module:PLUGIN", "edge_agent.connectors"),
        EntryPoint("odd", "json:dumps", "edge_agent.connectors"),
    ]
    monkeypatch.setattr("edge_agent.config.plugins.entry_points", lambda group: entries)
    plugins = InstalledPlugins()
    assert list(plugins) == ["gone", "odd"]
    with pytest.raises(ConfigError, match="cannot be loaded"):
        plugins["gone"]
    with pytest.raises(ConfigError, match=r"not an edge_agent\.sdk\.Plugin"):
        plugins["odd"]
