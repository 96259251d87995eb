"""One cause is one sentence: in the log, in `status`, in the health that the store keeps, in what
the service says.

Real failures of real peers, all devices of one agent, and every place compared word for word in
both languages.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app.serve import StoreService
from edge_agent.app.status.ask import ask_agent, ask_missing, ask_serve, serve_socket
from edge_agent.cli.main import main
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.control import server
from edge_agent.control.client import ask
from edge_agent.errors import FindingsError, StoreError
from edge_agent.reasons import cause
from tests.support.agents import running
from tests.support.aio import run, until
from tests.support.modbus_wire import Device, mbap, sound, tcp_device
from tests.support.opcua_secured import Secured, secured_server
from tests.support.opcua_server import URI, endpoint, serving
from tests.support.servers import free_port, mosquitto

PASSWORD = "geheim 密码"
#: Device -> the name of its cause, and words that its sentences must have in Chinese and in
#: English.
EXPECTED = {
    "refused": ("connection_refused", "没有程序在监听", "nothing listens on that port"),
    "black-hole": (
        "modbus_silent",
        "站号 1 在 0.5 秒内没有应答",
        "Unit 1 did not answer within 0.5 s",
    ),
    "wrong-unit": (
        "modbus_wrong_unit",
        "问的是站号 1，应答的却是站号 2",
        "Unit 1 was asked and unit 2 answered",
    ),
    "exception-2": (
        "modbus_exception_2",
        "没有这个地址（异常 2，unit 1 holding/9",
        "exception 2, unit 1 holding/9",
    ),
    "untrusted": ("certificate_unknown", "还不在信任列表中", "It is not trusted yet"),
    "wrong-policy": (
        "opcua_policy_not_offered",
        "不提供 Basic256Sha256/Sign，它提供：None/None",
        "does not offer Basic256Sha256/Sign; it offers: None/None",
    ),
    "wrong-password": ("BadUserAccessDenied", "服务器拒绝了用户", "The server refused the user"),
    "wrong-path": (
        "opcua_path_ends",
        "path 走到 Objects 为止，下一段 Servr 不存在；那里有：Server",
        "The path leads as far as Objects; the next segment, Servr, is not there. What stands "
        "there: Server",
    ),
    "unknown-node": ("BadNodeIdUnknown", "没有这个变量", "does not have this tag"),
}


async def another_unit(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
    writer.write(mbap(tid, unit + 1, Device({0: 7}).answer(pdu)))


async def nothing(writer: asyncio.StreamWriter, tid: int, unit: int, pdu: bytes) -> None:
    """A peer that takes everything and says nothing."""


def modbus(name: str, url: str, *addresses: int) -> str:
    tags = ", ".join(f"t{address}: {{address: holding/{address}}}" for address in addresses)
    return (
        f"  - {{id: {name}, connector: modbus, timeout: 500ms, every: 500ms, url: '{url}', tags: "
        f"{{{tags}}}}}\n"
    )


def opcua(name: str, where: str, more: str, asked: str = f"node: 'nsu={URI};s=Double'") -> str:
    tags = f"tags: {{known: {{node: 'nsu={URI};s=Double'}}, asked: {{{asked}}}}}"
    keys = f"connector: opcua, mode: read, every: 500ms, endpoint: '{where}', {more}, {tags}"
    return f"  - {{id: {name}, {keys}}}\n"


def write_site(folder: Path, port: int, devices: list[str]) -> Path:
    path = folder / "site.yaml"
    head = (
        f"agent: {{id: ipc-01, site: test, health: 200ms}}\nmqtt: {{url: "
        f"'mqtt://127.0.0.1:{port}'}}\ndevices:\n"
    )
    path.write_text(head + "".join(devices), encoding="utf-8")
    return path


async def asked(site: Any) -> dict[str, Any]:
    """Every place that tells of a device, asked at once."""
    agent, service = (
        await asyncio.to_thread(ask_agent, site),
        await asyncio.to_thread(ask_serve, site),
    )
    missing = await asyncio.to_thread(ask_missing, site, 3600.0)
    moves = await asyncio.to_thread(ask, serve_socket(site), "transitions", from_ns=0, to_ns=2**62)
    assert agent is not None
    assert service is not None
    return {"agent": agent, "serve": service, "missing": missing, "moves": moves}


async def everything(
    folder: Path, secured: Secured, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], str]:
    """All devices fail as they should, and every place has heard of it; the documents, and what
    `status` prints."""
    port = free_port()
    plain = endpoint(port)
    with mosquitto(folder) as broker:
        async with serving(port), tcp_device(another_unit) as wrong, tcp_device(nothing) as hole:
            holes = Device({0: 7, 9: 8})
            holes.holes = {9}
            async with tcp_device(sound(holes)) as partial:
                user = "user: {name: operator, password: %s}, allow_insecure: true"
                trust = "security: {policy: Basic256Sha256, mode: Sign, pki: '%s'}" % (
                    folder / "pki"
                )
                devices = [
                    modbus("refused", f"tcp://127.0.0.1:{free_port()}", 0),
                    modbus("black-hole", hole, 0),
                    modbus("wrong-unit", wrong, 0),
                    modbus("exception-2", partial, 0, 9),
                    opcua("untrusted", secured.endpoint, trust),
                    opcua("wrong-policy", plain, trust),
                    opcua("wrong-password", secured.endpoint, user % "falsch"),
                    opcua(
                        "unknown-node",
                        plain,
                        "security: {policy: None}",
                        f"node: 'nsu={URI};s=Nowhere'",
                    ),
                    opcua(
                        "wrong-path",
                        plain,
                        "security: {policy: None}",
                        "path: Objects/Servr/ServerStatus",
                    ),
                ]
                path = write_site(folder, broker.port, devices)
                site, stop = load(path), asyncio.Event()
                service = asyncio.create_task(StoreService(site, Clock()).run(stop))
                try:
                    await until(lambda: subscribed(site), what="the service has its subscription")
                    async with running(path):
                        await until(lambda: told(site), what="all places know all causes")
                        documents = await asked(site)
                        capsys.readouterr()
                        await asyncio.to_thread(main, ["status", str(path)])
                        return documents, capsys.readouterr().out
                finally:
                    stop.set()
                    await service


async def subscribed(site: Any) -> bool:
    status = await asyncio.to_thread(ask_serve, site)
    return status is not None and bool(status["broker_connected"])


async def told(site: Any) -> bool:
    try:
        found = await asked(site)
    except (ConnectionError, AssertionError):
        return False
    known = {
        row["id"] for row in found["agent"]["devices"] if row["cause"] == EXPECTED[row["id"]][0]
    }
    stored = {row["id"] for row in found["serve"]["devices"] if row["reason"]}
    return known == stored == set(EXPECTED)


def test_one_cause_is_one_sentence_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "server").mkdir()
    with secured_server(tmp_path / "server") as secured:
        documents, printed = run(everything(tmp_path, secured, capsys))
    rows = {row["id"]: row for row in documents["agent"]["devices"]}
    service = {row["id"]: row for row in documents["serve"]["devices"]}
    logged = "\n".join(record.getMessage() for record in caplog.records)
    for device, (name, zh, en) in EXPECTED.items():
        row = rows[device]
        sentences = (row["detail_zh"], row["detail"])
        assert row["cause"] == name, device
        assert zh in sentences[0], device
        assert en in sentences[1], device
        notice = row["ne107"]["notices"][0]
        assert (notice["zh"], notice["en"]) == sentences, device
        moves = [
            m
            for m in documents["moves"]
            if m["device"] == device and not m.get("tag") and m["reason"]
        ]
        assert (moves[-1]["zh"], moves[-1]["en"]) == sentences, f"{device}: health row"
        assert tuple(service[device]["why"]) == sentences, f"{device}: the service's status"
        outages = [one for one in documents["missing"]["outages"] if one["device"] == device]
        if row["state"] == "offline":
            assert (outages[-1]["zh"], outages[-1]["en"]) == sentences, f"{device}: outage"
        assert sentences[0] in printed, f"{device}: printed status"
        assert sentences[1] in printed, f"{device}: printed status"
        assert repr(sentences[1])[1:-1] in logged, f"{device}: log"
    assert "0x" not in json.dumps([row["reason"] for row in rows.values()])


def test_a_store_that_is_away_is_told_to_who_asks_the_service(tmp_path: Path) -> None:
    """`history` while the store is away: its sentence in each language, and no name of a class."""
    why = cause("connection_refused", where="127.0.0.1:8086")
    door = tmp_path / "door.sock"

    def away() -> None:
        raise StoreError(why)

    async def check() -> None:
        async with server.serve_socket(door, {"history_page": away}):
            with pytest.raises(FindingsError) as refused:
                await asyncio.to_thread(ask, door, "history_page")
            (finding,) = refused.value.findings
            assert (finding.zh, finding.en) == (why.zh, why.en)

    run(check())
