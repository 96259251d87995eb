"""Reading YAML: scalars, places, and the bounds that keep a hostile file harmless."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from edge_agent.config.dump import dump
from edge_agent.config.findings import Findings
from edge_agent.config.places import FilePosition, SecretReference, YamlMapping
from edge_agent.config.scalars import plain
from edge_agent.config.source import MAX_BYTES, MAX_DEPTH, MAX_NODES, read
from tests.support.sites import refused


def parsed(path: Path, text: str | bytes) -> tuple[YamlMapping | None, list[str]]:
    """What a file holds, and the codes of what is wrong with it."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = Findings(path)
    table = read(path, found)
    return table, [finding.code for finding in found.sorted()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False),
        ("yes", "yes"), ("off", "off"), ("NO", "NO"), ("1:30", "1:30"), ("2025-11-23", "2025-11-23"),
        ("0", 0), ("-12", -12), ("+5", 5), ("40101", 40101), ("0x1000", 4096), ("0o17", 15),
        ("00101", "00101"), ("007", "007"), ("1_000", "1_000"), ("1" * 31, "1" * 31),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-2.5E-3", -0.0025), (".inf", float("inf")),
        ("1.2.3", "1.2.3"), ("-", "-"), (".", "."), ("+", "+"), ("0x", "0x"), ("10.0.1.50", "10.0.1.50"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2_and_keep_leading_zeros(text: str, value: object) -> None:
    result = plain(text)
    assert isinstance(result, type(value))
    assert result == value


@pytest.mark.parametrize("text", ["0x9CA5", "0X", "0o17", "40101.10", "40101.0", "1e3", ".50"])
def test_a_number_with_several_spellings_keeps_its_own(text: str) -> None:
    assert str(plain(text)) == text
    assert repr(plain(text)).strip("'") == text


def test_a_number_that_keeps_its_text_is_a_number_to_everybody_else() -> None:
    number = plain("0x9CA5")
    assert (number, f"{number}", f"{number:06}", f"{number:x}") == (
        40101,
        "40101",
        "040101",
        "9ca5",
    )
    assert (
        dump({"a": number, "b": plain("40101.10"), "c": "0x10"})
        == 'a: 0x9CA5\nb: 40101.10\nc: "0x10"\n'
    )


def test_every_key_and_value_knows_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    table, _ = parsed(path, "a: 1\nb:\n  - x\n  - {c: !env N, 7: '8'}\n")
    assert table is not None
    assert table["b"][1] == {"c": SecretReference("!env", "N"), 7: "8"}
    assert table.keys_at["b"] == FilePosition(path, 2, 1)
    assert table["b"].at == [FilePosition(path, 3, 5), FilePosition(path, 4, 5)]
    assert table["b"][1].values_at["c"] == FilePosition(path, 4, 9)
    assert str(table["b"][1].keys_at[7]) == f"{path}:4:17"


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    table, codes = parsed(
        tmp_path / "a.yaml", "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\nd: {<<: [*a, {z: 4}]}\n"
    )
    assert not codes
    assert table == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 2},
        "d": {"x": 1, "y": 2, "z": 4},
    }


def test_billion_laughs_is_a_finding_and_costs_nothing(tmp_path: Path) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    tracemalloc.start()
    table, codes = parsed(tmp_path / "a.yaml", "l0: &l0 [lol, lol]\n" + levels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (table, codes) == (None, ["too-large"])
    assert peak < 10_000_000


def test_a_huge_file_is_a_finding(tmp_path: Path) -> None:
    assert parsed(tmp_path / "a.yaml", b"a: " + b"x" * 5_000_000) == (None, ["too-large"])
    table, codes = parsed(tmp_path / "b.yaml", b"a: " + b"x" * (MAX_BYTES - 3))
    assert table is not None
    assert codes == []


@pytest.mark.slow
def test_more_values_than_anyone_writes_is_a_finding(tmp_path: Path) -> None:
    assert parsed(tmp_path / "a.yaml", "a: [" + "1," * (MAX_NODES + 1) + "]") == (
        None,
        ["too-large"],
    )


@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_deep_nesting_is_a_finding(tmp_path: Path, text: str) -> None:
    assert parsed(tmp_path / "a.yaml", "a:\n " + text) == (None, ["too-deep"])


def test_depth_counts_through_aliases(tmp_path: Path) -> None:
    chain = "l0: &l0 [1]\n" + "".join(f"l{n}: &l{n} [*l{n - 1}]\n" for n in range(1, MAX_DEPTH + 2))
    assert parsed(tmp_path / "a.yaml", chain) == (None, ["too-deep"])


def test_a_file_that_is_not_utf8_names_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "gbk.yaml"
    path.write_bytes(b"agent: {id: a}\n" + "name: 加工".encode("gbk"))
    (finding,) = refused(path)
    assert (finding.code, finding.where) == ("not-utf8", f"{path}:2:7")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    table, codes = parsed(tmp_path / "a.yaml", b"\xef\xbb\xbfa: 1\n")
    assert (table, codes) == ({"a": 1}, [])


def test_no_file_a_folder_and_a_fifo(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, code in (
        (tmp_path / "none.yaml", "no-file"),
        (tmp_path, "is-a-directory"),
        (fifo, "not-a-file"),
        (tmp_path / ("n" * 300), "unreadable-file"),
    ):
        (finding,) = refused(path)
        assert finding.code == code
        assert "\n" not in finding.en
