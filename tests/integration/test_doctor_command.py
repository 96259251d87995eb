"""`edge-agent doctor`: the whole way, with a running agent, whose devices nobody else opens, and
without one."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.main import main
from edge_agent.commissioning.doctor.suspicions import TagPast, TagView, suspicions, window_of
from edge_agent.model import STATUS
from tests.support.agents import Plc, configuration, online, running
from tests.support.aio import run, until
from tests.support.servers import free_port, mosquitto

KEYS = {"level", "where", "what_zh", "what_en", "next_zh", "next_en"}


async def doctor(*arguments: object) -> tuple[int, list[dict[str, str]]]:
    """Exit status and findings, beside the loop in which the devices of the test live."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        words = [str(argument) for argument in arguments]
        status = await asyncio.to_thread(main, ["doctor", *words, "--json"])
    document = json.loads(out.getvalue())
    assert list(document) == ["findings"]
    for finding in document["findings"]:
        assert set(finding) == KEYS
        assert finding["level"] in ("ok", "note", "fault")
        assert finding["what_zh"]
        assert finding["what_en"]
        if finding["level"] == "fault":
            assert finding["next_zh"]
            assert finding["next_en"]
    return status, document["findings"]


def at(findings: list[dict[str, str]], where: str) -> dict[str, str]:
    """The first finding about a place."""
    return next(finding for finding in findings if finding["where"] == where)


def first_fault(findings: list[dict[str, str]]) -> dict[str, str]:
    return next(finding for finding in findings if finding["level"] == "fault")


def test_errors_of_the_file_come_first_and_alone(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(
        "agent: {id: a}\nmqtt: {url: mqtt://127.0.0.1}\ndevices: [{id: x, conector: modbus}]\n"
    )
    status, findings = run(doctor(file))
    assert status == 1
    assert all(finding["level"] == "fault" for finding in findings)
    assert f"{file}:3" in findings[0]["where"]


def test_without_an_agent_the_devices_are_asked_and_the_first_fault_is_named(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with Plc(r0=7, r1=0xFFFF, r2=1234).on() as plc:
            path = configuration(
                tmp_path,
                free_port(),
                {
                    "plc-1": f"url: '{plc.url}', tags: {{a: {{address: holding/0}}, n: {{address: "
                    f"holding/1}},"
                    " b: {address: holding/2, range: [0, 100]}, c: {address: holding/2}}",
                    "plc-2": f"url: 'tcp://127.0.0.1:{free_port()}', tags: {{a: {{address: "
                    f"holding/0}}}}",
                    "plc-3": "url: 'tcp://no-such-host.invalid:502', tags: {a: {address: holding/0}}",
                    "bus": "url: 'rtu:///dev/ttyNotThere', tags: {a: {address: holding/0}}",
                },
            )
            status, findings = await doctor(path)
            assert status == 1
            assert at(findings, str(path))["level"] == "ok"
            assert at(findings, "plc-1")["level"] == "ok"
            assert "refuses the connection" in at(findings, "plc-2")["what_en"]
            assert "cannot be resolved" in at(findings, "plc-3")["what_en"]
            assert "/dev/ttyNotThere" in at(findings, "bus")["what_en"]
            assert first_fault(findings)["where"] == "plc-2"
            assert at(findings, "mqtt")["level"] == "fault"
            assert "0xFFFF" in at(findings, "plc-1/n")["what_en"]
            assert "outside range 0..100" in at(findings, "plc-1/b")["what_en"]
            assert "same address" in at(findings, "plc-1/b, c")["what_en"]
            _, only = await doctor(path, "plc-2")
            assert not any(finding["where"].startswith("plc-1") for finding in only)
            assert await asyncio.to_thread(main, ["doctor", str(path), "plc-9"]) == 2

    run(scenario())


def test_a_broker_that_accepts_is_well(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        async with Plc(r0=7).on() as plc:
            tags = "tags: {a: {address: holding/0}}"
            path = configuration(tmp_path, port, {"plc-1": f"url: '{plc.url}', {tags}"})
            status, findings = await doctor(path)
            assert status == 0, findings
            assert at(findings, "mqtt")["level"] == "ok"
            assert at(findings, "serve")["level"] == "note", (
                "without a section store nothing of ours is expected"
            )

    with mosquitto(tmp_path) as broker:
        run(scenario(broker.port))


def test_a_running_agent_is_asked_and_its_devices_are_left_alone(tmp_path: Path) -> None:
    """The device has one connection, the agent's; nobody else opens one, and no secret is
    needed."""

    async def scenario(port: int) -> None:
        async with Plc(r0=0, r1=8).on() as plc:
            tags = "tags: {a: {address: holding/0}, b: {address: holding/1}}"
            path = configuration(
                tmp_path, port, {"plc-1": f"url: '{plc.url}', every: 50ms, {tags}"}
            )
            async with running(path) as agent:
                await until(online(agent, "plc-1"))
                await until(lambda: agent.status()["broker_connected"])
                before = len(plc.connections)
                with_secret = path.read_text().replace(
                    "mqtt: {", "mqtt: {username: u, password: !env NO_SUCH_SECRET, "
                )
                path.write_text(with_secret)
                status, findings = await doctor(path)
                assert status == 0, findings
                assert at(findings, "agent")["level"] == "ok"
                assert at(findings, "plc-1")["level"] == "ok"
                assert at(findings, "mqtt")["level"] == "ok"
                assert [
                    finding["level"]
                    for finding in findings
                    if "NO_SUCH_SECRET" in finding["what_en"]
                ] == ["note"]
                assert "read 0 at every look" in at(findings, "plc-1/a")["what_en"]
                assert len(plc.connections) == before

    with mosquitto(tmp_path) as broker:
        run(scenario(broker.port))


def test_the_text_ends_with_the_first_thing_to_do(tmp_path: Path) -> None:
    path = configuration(
        tmp_path,
        free_port(),
        {"bus": "url: 'rtu:///dev/ttyNotThere', tags: {a: {address: holding/0}}"},
    )
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["doctor", str(path)]) == 1
    head, _, last = out.getvalue().partition("do this first: ")
    assert last.startswith("bus")
    assert "by-id" in last
    assert "✗ bus" in head


def row(
    value: Any, raw: str, *, quality: str = "Good", address: str = "holding/0", unit: str = ""
) -> dict[str, Any]:
    return {
        "tag": "t",
        "value": value,
        "raw": raw,
        "quality": quality,
        "address": address,
        "unit": unit,
    }


def seen(*rows: dict[str, Any], name: str = "t", **keys: Any) -> TagView:
    return TagView(name, list(rows), **keys)


def said(*tags: TagView) -> list[str]:
    return [finding.what_en for finding in suspicions("d", tags)]


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        (seen(row(0, "0x0000"), row(0, "0x0000")), "read 0 at every look"),
        (seen(row(65535, "0xFFFF"), row(65535, "0xFFFF")), "0xFFFF"),
        (
            seen(row(2.5e-41, "0x0000 0x44BE", quality="UncertainSensorNotAccurate")),
            "no sensor measures",
        ),
        (seen(row(-3.2e26, "0xEB85 0x40C9")), "no sensor measures"),
        (
            seen(
                row(300.0, "0x012C", quality="UncertainEngineeringUnitsExceeded"), low=0, high=100
            ),
            "outside range",
        ),
        (
            seen(
                row(5.0, "0x0005", unit="kWh"), window=TagPast(100, 5.0, 5.0, 0, 8 * 3600 * 10**9)
            ),
            "not moved for 8 h",
        ),
    ],
)
def test_what_is_suspicious_is_said(tag: TagView, says: str) -> None:
    (sentence,) = said(tag)
    assert says in sentence


@pytest.mark.parametrize(
    "tag",
    [
        seen(row(7, "0x0007"), row(7, "0x0007")),
        seen(row(0, "0x0000"), row(1, "0x0001")),
        seen(row(False, "0x0000"), row(False, "0x0000")),
        seen(row(0.0, ""), row(0.0, "")),
        seen(row(1.8e15, "")),
        seen(row(None, "0x0000", quality="BadTimeout")),
        seen(row(5.0, "0x0005", unit="kWh"), window=TagPast(100, 5.0, 5.1, 0, 8 * 3600 * 10**9)),
        seen(row(5.0, "0x0005", unit="kWh"), window=TagPast(100, 5.0, 5.0, 0, 600 * 10**9)),
        seen(row(21.0, "0x0015", unit="Cel"), window=TagPast(100, 21.0, 21.0, 0, 8 * 3600 * 10**9)),
    ],
)
def test_what_is_ordinary_is_not(tag: TagView) -> None:
    assert said(tag) == []


def test_tags_with_equal_registers_are_named_together() -> None:
    rows = [row(1526.7, "0xDCCD 0x44BE", address=f"holding/{at}") for at in (0, 2, 4)]
    rows[2] = row(0.0, "0x0000 0x0000", address="holding/4")
    tags = [seen(one, name=f"t{at}") for at, one in enumerate(rows)]
    found = list(suspicions("d", tags))
    assert [one.where for one in found] == ["d/t2", "d/t0, t1"]
    assert "equal at every look" in found[1].what_en


def test_a_window_counts_what_is_good_and_spans_it() -> None:
    bad = STATUS["BadTimeout"]
    window = window_of([0, 10, 20], [1.0, float("nan"), 3.0], [0, 0, 0], None)
    window = window_of([30, 40], [9.0, 2.0], [bad, 0x40000000], window)
    assert (window.readings, window.low, window.high, window.uncertain) == (3, 1.0, 3.0, 1)
