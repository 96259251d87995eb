"""`edge-agent scan`: who answers, with which line settings, and which profile fits; nobody writes.

Every profile's simulator is recognised, every published map with numbers between its registers, and
no stranger.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from connectors.modbus.framing import crc16
from edge_agent.app.demo import rehearse
from edge_agent.cli.main import main
from edge_agent.commissioning.scan import Scanned, all_answers_equal, scan, units
from edge_agent.commissioning.scan_view import show
from edge_agent.config import load
from edge_agent.config.compile import plans
from edge_agent.config.profiles import available
from edge_agent.discovery import ScanWanted
from edge_agent.errors import FindingsError
from edge_agent.sdk import Clock
from tests.support.aio import run
from tests.support.modbus_foreign import libmodbus_program
from tests.support.modbus_unknown import MAPS, STRANGERS, Unit, of_map
from tests.support.modbus_wire import die_with_parent, mbap, tcp_device
from tests.support.servers import free_port, serving

READING = {1, 2, 3, 4, 0x2B}
MAPPED = list(dict.fromkeys(row["device"] for row in csv.DictReader(MAPS.read_text().splitlines())))
SILENT = b""


@contextlib.asynccontextmanager
async def gateway(units: Mapping[int, Unit], absent: bytes = b"\x0b") -> AsyncIterator[str]:
    """Units behind one address; `absent`: the exception code for the others, nothing for
    silence."""

    async def script(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
        if unit in units:
            writer.write(mbap(tid, unit, units[unit].respond(pdu)))
        elif absent:
            writer.write(mbap(tid, unit, bytes([pdu[0] | 0x80]) + absent))

    async with tcp_device(script) as url:
        yield url


async def scanned(url: str, asked: str, **wanted: Any) -> list[Scanned]:
    compare = wanted.pop("compare", True)
    return await scan(
        "modbus",
        ScanWanted([url], units(asked), pause=0, **wanted),
        lambda *_: None,
        compare=compare,
    )


async def command(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors, beside the loop in which the devices of the test live."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        status = await asyncio.to_thread(main, [str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def profile_of(one: Scanned) -> str | None:
    return one.matches[0].profile if one.matches else None


def test_every_map_is_recognised_with_numbers_between_its_registers() -> None:
    """Where a device answers for registers that its map has not, they hold numbers of their own."""
    there = {at: of_map(name, at, neighbours=True) for at, name in enumerate(MAPPED, 1)}

    async def scenario() -> list[Scanned]:
        async with gateway(there) as url:
            return await scanned(url, f"1-{len(MAPPED) + 2}")

    found = run(scenario())
    assert [profile_of(one) for one in found] == MAPPED
    assert set().union(*(unit.functions for unit in there.values())) <= READING
    assert all(one.matches[0].score > 0.7 and one.matches[0].supported for one in found)


def test_a_stranger_is_of_no_profile() -> None:
    there = {at: make() for at, make in enumerate(STRANGERS.values(), 1)}

    async def scenario() -> list[Scanned]:
        async with gateway(there) as url:
            return await scanned(url, f"1-{len(there)}")

    found = run(scenario())
    assert dict(zip(STRANGERS, map(profile_of, found), strict=True)) == dict.fromkeys(STRANGERS)


def test_every_profiles_simulator_is_recognised_as_that_profile(tmp_path: Path) -> None:
    profiles = {
        name: yaml.safe_load(file.read_text(encoding="utf-8")) for name, file in available().items()
    }
    # Contacts alone tell nothing: eight inputs are those of any module.
    names = sorted(
        name
        for name, profile in profiles.items()
        if any(tag.get("type") != "bool" for tag in profile["tags"].values())
    )
    lines = ["agent: {id: rehearsal}", "mqtt: {url: mqtt://127.0.0.1:1883}", "devices:"]
    for at, name in enumerate(names, 1):
        modbus = profiles[name]["connector"] == "modbus"
        where = (
            f"url: tcp://10.0.1.{at}:502, unit: {at}"
            if modbus
            else f"endpoint: opc.tcp://10.0.1.{at}:4840"
        )
        lines.append(f"  - {{id: {name}, profile: {name}, {where}, every: 200ms}}")
    file = tmp_path / "plant.yaml"
    file.write_text("\n".join(lines), encoding="utf-8")

    async def scenario() -> dict[str, str | None]:
        site, simulation = load(file), rehearse.SimulatorProcess(tmp_path / "simulators.log")
        found: dict[str, str | None] = {}
        try:
            ends = await simulation.start(rehearse.spec(site, plans(site), Clock()))
            for at, name in enumerate(names, 1):
                connector = profiles[name]["connector"]
                wanted = ScanWanted([ends[name]], [at] if connector == "modbus" else [], pause=0)
                (one,) = await scan(connector, wanted, lambda *_: None)
                found[name] = profile_of(one)
                if connector == "opcua":
                    assert "None/None" in " ".join(one.answer.offers)
        finally:
            await simulation.stop()
        return found

    assert run(scenario(), 110) == {name: name for name in names}


def test_an_identification_names_a_plc_whose_profile_has_areas_only() -> None:
    there = {
        1: Unit(refuses=False, texts=("Inovance", "H5U-1614MTD-A8", "V5.71")),
        2: Unit(refuses=False, texts=("ACME", "PLC-9", "1.0")),
        3: Unit(refuses=False, texts=("Moxa", "ioLogik E1212", "3.1")),
        4: Unit(refuses=False, texts=("Moxa", "ioLogik E1214", "3.1")),
    }

    async def scenario() -> list[Scanned]:
        async with gateway(there) as url:
            return await scanned(url, "1-4")

    known, other, module, sister = run(scenario())
    assert profile_of(module) == "moxa-iologik-e1212"
    assert profile_of(sister) is None
    assert profile_of(known) == "inovance-h5u"
    assert known.answer.facts == {
        "vendor": "Inovance",
        "product": "H5U-1614MTD-A8",
        "revision": "V5.71",
    }
    assert profile_of(other) is None


@pytest.mark.parametrize("absent", [b"\x0b", b"\x0a", SILENT], ids=["0B", "0A", "silent"])
def test_absent_units_of_a_gateway_do_not_hide_the_others(absent: bytes) -> None:
    there = {3: Unit(), 7: Unit(refuses=False), 9: of_map("eastron-sdm120")}

    async def scenario() -> list[Scanned]:
        async with gateway(there, absent) as url:
            return await scanned(url, "1-10", timeout=0.15, compare=False)

    found = run(scenario())
    assert [one.answer.device["unit"] for one in found] == [3, 7, 9]


class PickyBus:
    """Stations on a pty that hear nothing unless the line has their settings. A pty has no
    parity."""

    def __init__(self, stations: Mapping[int, Unit], baud: int, stop_bits: int) -> None:
        self.stations, self.baud, self.stop_bits = stations, baud, stop_bits
        self.asked: set[int] = set()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)

    def __enter__(self) -> PickyBus:
        asyncio.get_running_loop().add_reader(self._master, self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def _serve(self) -> None:
        request = os.read(self._master, 256)
        settings = termios.tcgetattr(self._master)
        two = bool(settings[2] & termios.CSTOPB)
        if settings[4] != getattr(termios, f"B{self.baud}") or two != (self.stop_bits == 2):
            return
        self.asked.add(request[0])
        station = self.stations.get(request[0])
        if station is not None:
            frame = request[:1] + station.respond(request[1:-2])
            os.write(self._master, frame + crc16(frame).to_bytes(2, "little"))


def test_three_of_32_units_on_a_bus_of_unknown_settings() -> None:
    there = {
        2: of_map("eastron-sdm120"),
        17: Unit(texts=("ACME", "T1", "2")),
        32: Unit(refuses=False),
    }

    async def scenario() -> tuple[list[Scanned], set[int]]:
        with PickyBus(there, 9600, 2) as bus:
            url = f"rtu://{bus.path}?baudrate=19200"
            wanted = ScanWanted([url], units("1-32"), (19200, 9600), ("N",), (1, 2), 0.1, 0)
            return await scan("modbus", wanted, lambda *_: None, compare=False), bus.asked

    found, asked = run(scenario())
    assert [one.answer.device["unit"] for one in found] == [2, 17, 32]
    assert all("baudrate=9600" in one.answer.device["url"] for one in found)
    assert all("stopbits=2" in one.answer.device["url"] for one in found)
    assert found[1].answer.facts["product"] == "T1"
    assert asked == set(range(1, 33)), "only what was named, and all of it"


def test_one_device_that_ignores_the_unit_is_said_to_be_one() -> None:
    one = of_map("eastron-sdm120")

    async def scenario() -> list[Scanned]:
        async with gateway(dict.fromkeys(range(1, 6), one)) as url:
            return await scanned(url, "1-5", compare=False)

    found = run(scenario())
    assert all_answers_equal(found, units("1-5"))
    assert not all_answers_equal(found[:-1], units("1-5"))


def test_a_server_that_refuses_for_units_it_does_not_have_is_its_own_units(tmp_path: Path) -> None:
    """As pymodbus' server does, with exception 4; a unit that lacks a register says exception 2."""
    file = tmp_path / "plant.yaml"

    async def scenario() -> tuple[int, str, str]:
        async with gateway({7: Unit()}, absent=b"\x04") as url:
            return await command("scan", "modbus", url, "--units", "1-9", "--yaml", file)

    status, out, err = run(scenario())
    assert status == 0, err
    assert "8 further units refused alike (exception 4)" in out
    assert "1 answer." in out
    assert [device["unit"] for device in yaml.safe_load(file.read_text())["devices"]] == [7]


def test_a_unit_that_is_slow_to_refuse_its_identification_costs_no_other(tmp_path: Path) -> None:
    """libmodbus waits half a second before it refuses a function, and drops what arrives
    meanwhile."""
    program, port = libmodbus_program(tmp_path), free_port()
    with serving([program, "tcp", port], port, tmp_path / "libmodbus.log"):
        found = run(scanned(f"tcp://127.0.0.1:{port}", "1-4", compare=False))
    assert [one.answer.device["unit"] for one in found] == [1, 2, 3, 4]
    assert all_answers_equal(found, units("1-4"))


def test_the_command_prints_and_writes_what_check_accepts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A unit that no profile fits waits for its tags, which is all that `check` says of it."""
    file = tmp_path / "plant.yaml"
    there = {1: of_map("eastron-sdm120"), 4: Unit()}

    async def scenario() -> tuple[int, str, str]:
        async with gateway(there) as url:
            status, out, err = await command(
                "scan", "modbus", url, "--units", "1-4", "--yaml", file
            )
            assert status == 0, err
            assert "eastron-sdm120" in out
            assert "no profile fits" in out
            assert (await command("scan", "modbus", url, "--units", "2", "--no-profiles"))[0] == 1
            return await command("scan", "modbus", url, "--units", "1,4", "--json")

    status, out, _ = run(scenario())
    assert status == 0
    first, second = json.loads(out)["answers"]
    assert (first["profile"], second["profile"]) == ("eastron-sdm120", None)
    assert first["matches"][0]["score"] > 0.9
    assert any("230" in text or "22" in text for text in first["matches"][0]["supported"]), (
        "the evidence in values"
    )
    capsys.readouterr()
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.count(f"{file}:") == said.count("the device has no tags") == 1
    file.write_text(file.read_text().replace("tags: {}", "tags: {x: {address: holding/0}}"))
    assert main(["check", str(file)]) == 0


def test_a_device_that_ignores_the_unit_is_shown_and_written_once(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"

    async def scenario() -> tuple[int, str, str]:
        async with gateway(dict.fromkeys(range(1, 6), of_map("eastron-sdm120"))) as url:
            return await command("scan", "modbus", url, "--units", "1-5", "--yaml", file)

    status, out, _ = run(scenario())
    assert status == 0
    assert out.count("→ profile") == 1
    assert "unit 2 … 5  同上 the same" in out
    assert [device["unit"] for device in yaml.safe_load(file.read_text())["devices"]] == [1]
    assert "unit: 5" in file.read_text(), "whoever has five devices finds the others there"
    assert main(["check", str(file)]) == 0


@contextlib.contextmanager
def somebody(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process; ready when it has printed a line."""
    argv = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, preexec_fn=die_with_parent
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_line_that_somebody_uses_is_left_alone() -> None:
    connected = (
        "import socket,sys; s=socket.create_connection(('127.0.0.1',int(sys.argv[1])));"
        " print(1,flush=True); sys.stdin.read()"
    )
    opened = (
        "import sys; f=open(sys.argv[1],'rb+',buffering=0); print(1,flush=True); sys.stdin.read()"
    )

    async def scenario() -> None:
        one = of_map("eastron-sdm120")
        async with gateway({1: one}) as url:
            with somebody(connected, url.rpartition(":")[2]) as process:
                status, out, _ = await command("scan", "modbus", url, "--units", "1")
                assert status == 1
                assert str(process.pid) in out
                assert "--anyway" in out
                assert (await command("probe", url, "--from", 0))[0] == 1
                assert not one.functions, "nothing was asked"
                status, _, _ = await command(
                    "scan", "modbus", url, "--units", "1", "--anyway", "--no-profiles"
                )
                assert status == 0
        with PickyBus({}, 9600, 1) as bus, somebody(opened, bus.path) as process:
            status, out, _ = await command("scan", "modbus", f"rtu://{bus.path}", "--units", "1")
            assert status == 1
            assert str(process.pid) in out
            assert not bus.asked

    run(scenario())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["modbus", "tcp://127.0.0.1:502"], "--units"),
        (["modbus", "tcp://127.0.0.1:502", "--units", "0-999"], "--units 0-999"),
        (["modbus", "127.0.0.1", "--units", "1"], "must begin with"),
        (["profinet", "x"], "no protocol 'profinet'"),
        (["opcua", "http://x"], "no OPC UA address"),
        (["modbus", "tcp://h:502", "--units", "1", "--baud", "fast"], "--baud"),
    ],
)
def test_wrong_use_is_a_sentence(arguments: list[str], says: str) -> None:
    with (
        contextlib.redirect_stderr(io.StringIO()) as err,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        assert main(["scan", *arguments]) == 2
    assert says in err.getvalue()


def test_nobody_there_is_a_sentence_and_status_1() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["scan", "modbus", f"tcp://127.0.0.1:{free_port()}", "--units", "1"]) == 1
        assert main(["scan", "opcua", f"127.0.0.1:{free_port()}"]) == 1
    assert out.getvalue().count("refuses the connection") == 2


def test_units_are_ranges_and_lists() -> None:
    assert units("1-3,7,2") == [1, 2, 3, 7]
    for text in ("", "x", "3-1", "256", "1-"):
        with pytest.raises(FindingsError):
            units(text)


def test_it_can_be_read_at_80_columns() -> None:
    async def scenario() -> list[Scanned]:
        async with gateway(
            {1: of_map("eastron-sdm230"), 2: Unit(texts=("ACME", "T1", "2"))}
        ) as url:
            return await scanned(url, "1-2")

    found = run(scenario())
    screen = Console(width=80, file=io.StringIO(), highlight=False, markup=False, emoji=False)
    show(screen, found, compared=True, ignores_units=False)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    for words in ("eastron-sdm230", "ACME", "no profile fits", "2 answers", "2 个应答"):
        assert words in text
