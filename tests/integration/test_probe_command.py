"""`edge-agent probe`: registers in every type and order; what a person expects decides, and nothing
is written."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyModbusTCP.server import DataBank, ModbusServer
from rich.console import Console

from connectors.modbus.readings import decodings, plausible
from edge_agent.cli.main import main
from edge_agent.commissioning.probe import ChangedRegisters
from edge_agent.commissioning.probe_view import view
from edge_agent.discovery import ProbedPlace, ProbeLook
from tests.support.aio import run, until
from tests.support.modbus_unknown import Unit
from tests.support.modbus_wire import die_with_parent, encode, mbap, tcp_device
from tests.support.servers import free_port

ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


def registers(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def words(*values: tuple[Any, str, str]) -> list[int]:
    """The registers of (value, type, order), one behind the other."""
    return registers(b"".join(encode(value, type_, order) for value, type_, order in values))


async def command(*arguments: object) -> tuple[int, str, str]:
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        status = await asyncio.to_thread(main, ["probe", *map(str, arguments)])
    return status, out.getvalue(), err.getvalue()


@contextlib.asynccontextmanager
async def unit_at(unit: Unit) -> Any:
    async def script(writer: asyncio.StreamWriter, tid: int, number: int, pdu: bytes) -> None:
        writer.write(mbap(tid, number, unit.respond(pdu)))

    async with tcp_device(script) as url:
        yield url


# --- which reading makes sense --------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("type_", ["float32", "float64", "int32", "uint32"])
def test_what_is_expected_decides_type_order_and_place(type_: str, order: str) -> None:
    value = 1526.7 if type_.startswith("float") else 152_670_123
    block = [3, 77, *words((value, type_, order)), 5, 9]
    best = plausible("holding", 100, block, value)[0]
    assert (best.address, best.order) == ("holding/102", order)
    assert best.type.removeprefix("u") == type_.removeprefix("u")
    assert best.value == value
    assert f"{value:.12g}" in best.en
    assert best.keys["address"] == "holding/102"


@pytest.mark.parametrize(
    ("word", "expect", "scale"),
    [(2304, 230.4, 0.1), (4998, 49.98, 0.01), (65036, -5.0, 0.01), (15267, 1526.7, 0.1)],
)
def test_a_scaled_integer_is_found_with_its_scale(word: int, expect: float, scale: float) -> None:
    best = plausible("input", 0, [17, word, 17], expect)[0]
    assert (best.address, best.keys["scale"], best.value) == ("input/1", scale, expect)


def test_of_two_floats_one_register_apart_the_nearer_is_first() -> None:
    block = [0, *words((87.3, "float32", "DCBA"), (0.612, "float32", "DCBA"))]
    found = plausible("input", 0, block, 87.3)
    assert [(one.address, one.order) for one in found] == [("input/1", "DCBA"), ("input/2", "BADC")]


def test_a_text_with_one_character_in_each_register_is_found() -> None:
    (found, *_) = plausible("holding", 28, [7, 0, *map(ord, "AB-7"), 0], "AB-7")
    assert found.keys == {
        "address": "holding/30",
        "type": "string",
        "length": 8,
        "encoding": "utf-16-be",
    }


def test_large_numbers_are_written_out_in_the_reason() -> None:
    (first, *_) = plausible("holding", 0, words((12345678, "bcd32", "ABCD")), 12345678.0)
    assert "12345678" in first.en
    assert "12345678" in first.zh
    assert "e+07" not in first.en


@pytest.mark.parametrize(("pairs", "unsure"), [(2, True), (4, False)])
def test_few_registers_are_said_to_be_few(pairs: int, unsure: bool) -> None:
    values = [(value, "float32", "CDAB") for value in (24.21, 6.31, 415.2, 0.85)]
    (first, *_) = plausible("holding", 0, words(*values[:pairs]))
    assert ("confirm it with --expect" in first.en) == unsure
    assert ("请用 --expect 确认" in first.zh) == unsure


def test_a_gap_is_one_row_and_the_registers_stay_readable_beside_wide_numbers() -> None:
    block: list[int | None] = [None] * 10 + list(
        words((-4.290008e8, "float32", "CDAB"), (1480.5, "float32", "BADC"))
    )
    places = [
        ProbedPlace(f"holding/{at}", word, "", decodings(block, at))
        for at, word in enumerate(block)
    ]
    screen = Console(width=80, file=io.StringIO(), force_terminal=False)
    screen.print(view(ProbeLook(places, []), ChangedRegisters(), 80))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("—") == 1
    assert "–9" in text
    assert all(f"{word:04X}" in text for word in block[10:])
    assert max(map(len, text.splitlines())) <= 80


def test_a_value_that_moves_on_is_found_within_one_percent() -> None:
    best = plausible("holding", 0, words((1526.7, "float32", "CDAB")), 1530)[0]
    assert (best.type, best.order) == ("float32", "CDAB")


def test_bcd_and_texts_are_found() -> None:
    assert plausible("holding", 0, [0x1234], 1234)[0].type == "bcd16"
    assert plausible("holding", 0, [0x1234, 0x5678], 12345678)[0].type == "bcd32"
    chinese = registers("车床7".encode("gbk") + b"\0")
    best = plausible("holding", 0, [1, *chinese], "车床7")[0]
    assert (best.address, best.keys["encoding"]) == ("holding/1", "gbk")
    swapped = registers(encode("LATHE-07", "string", "BADC", length=8))
    best = plausible("holding", 0, swapped, "LATHE-07")[0]
    assert best.keys["word_order"] == "BADC"
    (serial,) = plausible("holding", 0, [0, *registers(b"SN-2026-0042"), 0])
    assert (serial.type, serial.value) == ("string", "SN-2026-0042")


@pytest.mark.parametrize("order", ORDERS)
def test_without_a_hint_a_block_of_floats_shows_its_order(order: str) -> None:
    """In blocks of ten ordinary measurements, whatever their decimals."""
    chosen = random.Random(order)
    for _ in range(20):
        values = [round(chosen.uniform(1, 900), chosen.randrange(4)) for _ in range(10)]
        found = plausible("holding", 0, words(*((value, "float32", order) for value in values)))
        assert {(one.type, one.order) for one in found} == {("float32", order)}, values
        assert "10 of 10" in found[0].en


@pytest.mark.parametrize("block", [[0] * 10, [5, 12, 99, 300, 8, 0, 1, 2], [0xFFFF] * 6, []])
def test_where_nothing_speaks_for_an_order_none_is_named(block: list[int]) -> None:
    assert plausible("holding", 0, block) == []


def test_everything_that_can_begin_at_a_register_is_there() -> None:
    block = words((-1.5, "float64", "CDAB"))
    found = {(one.type, one.order): one.value for one in decodings(block, 0)}
    assert found["float64", "CDAB"] == -1.5
    assert {order for type_, order in found if type_ == "float32"} == set(ORDERS)
    assert {"uint16", "int16", "bcd16", "text", "int32", "uint32", "bcd32", "int64", "uint64"} <= {
        t for t, _ in found
    }
    assert not any(
        type_ in ("float64", "int32")
        for type_, _ in {(o.type, o.order) for o in decodings(block, 3)}
    )


# --- over the wire --------------------------------------------------------------------------------


def test_a_foreign_server_is_read_and_what_is_expected_becomes_a_tag(tmp_path: Path) -> None:
    file, port, bank = tmp_path / "plant.yaml", free_port(), DataBank()
    server = ModbusServer("127.0.0.1", port, no_block=True, data_bank=bank)
    bank.set_input_registers(10, [9, *words((1526.7, "float32", "CDAB")), 9])
    server.start()
    try:

        async def scenario() -> None:
            at = ("--area", "input", "--from", 10, "--count", 4)
            url = f"tcp://127.0.0.1:{port}"
            status, out, err = await command(url, *at, "--expect", "1526.7", "--yaml", file)
            assert status == 0, err
            assert "float32 CDAB" in out
            assert main(["check", str(file)]) == 0
            status, out, _ = await command(url, *at, "--expect", "77.25", "--json")
            assert status == 1, "nothing reads so"
            places = json.loads(out)["places"]
            assert [place["raw"] for place in places][:1] == [9]

        run(scenario())
        with contextlib.redirect_stdout(io.StringIO()) as out:
            assert main(["read", str(file), "--json"]) == 0
        assert [value["value"] for value in json.loads(out.getvalue())["values"]] == [1526.7]
    finally:
        server.stop()


def test_what_the_numbers_do_not_decide_stays_out_of_the_file(tmp_path: Path) -> None:
    """Floats beside small numbers: one reading that is expected becomes a tag by its name, and
    nothing else."""
    file, port, bank = tmp_path / "plant.yaml", free_port(), DataBank()
    server = ModbusServer("127.0.0.1", port, no_block=True, data_bank=bank)
    floats = [(1526.7, "float32", "CDAB"), (87.35, "float32", "CDAB"), (23.1, "float32", "CDAB")]
    bank.set_holding_registers(100, [*words(*floats), 2154, 2207, 1, 317])
    server.start()
    try:

        async def scenario() -> None:
            at = (f"tcp://127.0.0.1:{port}", "--from", 100, "--count", 10, "--into", file)
            status, out, err = await command(*at)
            assert status == 0, err
            assert "with --expect, one at a time" in out
            assert not file.exists()
            status, out, err = await command(*at, "--expect", "87.35", "--tag", "pressure")
            assert status == 0, err
            assert (await command(*at, "--tag", "pressure"))[0] == 2

        run(scenario())
    finally:
        server.stop()
    (device,) = yaml.safe_load(file.read_text())["devices"]
    assert device["tags"] == {
        "pressure": {"address": "holding/102", "type": "float32", "word_order": "CDAB"}
    }
    assert "timeout" not in device


def test_registers_that_are_refused_are_shown_as_such_and_only_reads_are_sent() -> None:
    unit = Unit()
    unit.tables["holding"] = {at: at for at in (0, 1, 2, 5)}
    unit.tables["coil"] = {0: 1, 1: 0, 2: 1}

    async def scenario() -> None:
        async with unit_at(unit) as url:
            status, out, _ = await command(url, "--from", 0, "--count", 7, "--json")
            assert status == 0
            assert [place["raw"] for place in json.loads(out)["places"]] == [
                0,
                1,
                2,
                None,
                None,
                5,
                None,
            ]
            status, out, _ = await command(
                url, "--area", "coil", "--from", 0, "--count", 3, "--json"
            )
            assert [place["raw"] for place in json.loads(out)["places"]] == [1, 0, 1]
            assert (await command(url, "--from", 100, "--count", 2))[0] == 1
            assert (await command(url, "--from", "0x0", "--count", 1))[0] == 0
        assert set(unit.functions) == {1, 3}

    run(scenario())


def test_watching_marks_what_changes_and_ends_in_order() -> None:
    unit = Unit()
    unit.tables["holding"] = {0: 1, 1: 2}

    async def scenario() -> None:
        async with unit_at(unit) as url:
            argv = [
                sys.executable,
                "-m",
                "edge_agent",
                "probe",
                url,
                "--from",
                "0",
                "--count",
                "2",
                "--watch",
                "--json",
            ]
            process = await asyncio.create_subprocess_exec(
                *argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            )  # fmt: skip
            assert process.stdout is not None
            first = json.loads(await process.stdout.readline())
            assert [place["changed"] for place in first["places"]] == [False, False]
            unit.tables["holding"][1] = 3

            async def changed() -> bool:
                assert process.stdout is not None
                look = json.loads(await process.stdout.readline())
                return [place["changed"] for place in look["places"]] == [False, True]

            await until(changed)
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
            assert process.returncode == 0
            assert err == b""

    run(scenario())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["opc.tcp://h:4840", "--from", "0"], "browse"),
        (["tcp://127.0.0.1:1", "--from", "0", "--area", "holdin"], "no area"),
        (["tcp://127.0.0.1:1", "--from", "65530", "--count", "10"], "out of range"),
        (["tcp://127.0.0.1:1", "--from", "0", "--unit", "300"], "unit"),
        (["tcp:///x", "--from", "0"], "tcp://host:port"),
    ],
)
def test_wrong_use_is_a_sentence(arguments: list[str], says: str) -> None:
    status, _, err = run(command(*arguments))
    assert status == 2
    assert says in err


def look_at(values: list[int]) -> ProbeLook:
    places = [
        ProbedPlace(f"holding/{at}", word, "", decodings(values, at))
        for at, word in enumerate(values)
    ]
    return ProbeLook(places, plausible("holding", 0, values))


@pytest.mark.parametrize("width", [80, 140])
def test_it_fits_a_terminal(width: int) -> None:
    values = [round(struct.unpack(">f", struct.pack(">f", 230.4 + at))[0], 2) for at in range(20)]
    look = look_at(words(*((value, "float32", "CDAB") for value in values)))
    changes = ChangedRegisters()
    changes.note(look)
    screen = Console(
        width=width, height=24, file=io.StringIO(), highlight=False, markup=False, emoji=False
    )
    screen.print(view(look, changes, width, 24))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    lines = text.splitlines()
    assert len(lines) <= 24
    assert all(len(line) <= width for line in lines)
    assert "230.4" in text
    assert "CDAB" in text
    assert "个" in text, "what does not fit is counted"
