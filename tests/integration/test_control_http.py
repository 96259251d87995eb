"""`/metrics` and `/healthz` over a real socket: what is answered, and how little anybody can do
with it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from edge_agent.config.models import Agent
from edge_agent.control import http
from edge_agent.health.ne107 import FINE, Health, Notice, judged
from edge_agent.process import process_usage
from tests.support.aio import run, until
from tests.support.servers import free_port

BAD = Notice(Health.FAILURE, "disk", "磁盘。", "The disk.")


async def talk(port: int, request: bytes) -> tuple[str, str]:
    """Head and body of the answer; both empty when the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        answer = (await reader.read()).decode()
    except ConnectionResetError:
        answer = ""
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return head, body


def pages(notices: list[Notice]) -> dict[str, http.Page]:
    async def status() -> dict[str, Any]:
        document = {
            "ne107": judged(notices).full(),
            "counters": {"stored": 5},
            "broker_connected": True,
        }
        return document | {"lag_s": 0.0, "devices": [], "process": process_usage()}

    return http.pages(status, "serve")


def with_pages(notices: list[Notice], request: bytes) -> tuple[str, str]:
    async def scenario() -> tuple[str, str]:
        port = free_port()
        async with http.serve_pages(f"127.0.0.1:{port}", pages(notices)):
            return await talk(port, request)

    return run(scenario())


def test_metrics_are_prometheus_text() -> None:
    head, body = with_pages([FINE], b"GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    assert "text/plain; version=0.0.4" in head
    assert f"Content-Length: {len(body.encode())}" in head
    assert 'edge_agent_store_values_total{stage="stored"} 5' in body


@pytest.mark.parametrize(
    ("notices", "code"),
    [
        ([], 200),
        ([Notice(Health.MAINTENANCE_REQUIRED, "broker_away", "离", "away")], 200),
        ([BAD], 503),
    ],
)
def test_healthz_is_503_only_when_data_is_lost_or_work_has_stopped(
    notices: list[Notice], code: int
) -> None:
    head, body = with_pages(notices, b"GET /healthz HTTP/1.1\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {code} ")
    document = json.loads(body)
    assert [notice["reason"] for notice in document["ne107"]["notices"]] == [
        notice.reason for notice in notices
    ]


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
        (b"GET / HTTP/1.1\r\n\r\n", "404"),
        (b"GET /../../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        (b"DELETE /healthz HTTP/1.0\r\n\r\n", "405"),
        (b"GET /metrics\r\n\r\n", "400"),
        (b"\x16\x03\x01\x00\xff garbage\r\n\r\n", "400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", "431"),
    ],
)
def test_anything_else_is_refused(request_: bytes, answer: str) -> None:
    head, body = with_pages([], request_)
    # a reset may overtake the answer
    assert head.split(" ")[1:2] == [answer] or (answer == "431" and head == "")
    assert not (request_.startswith(b"HEAD") and body)


def test_who_says_nothing_is_dropped_and_never_holds_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "MOST_SECONDS", 0.2)

    async def scenario() -> None:
        port = free_port()
        async with http.serve_pages(f"127.0.0.1:{port}", pages([])):
            silent = [
                await asyncio.open_connection("127.0.0.1", port)
                for _ in range(http.MOST_EXCHANGES + 5)
            ]

            async def served() -> bool:
                return (await talk(port, b"GET /healthz HTTP/1.1\r\n\r\n"))[0].startswith(
                    "HTTP/1.1 200"
                )

            await until(served)
            for reader, writer in silent:
                assert await reader.read() == b""
                writer.close()

    run(scenario())


def test_an_exchange_under_way_does_not_outlive_the_service() -> None:
    async def scenario() -> None:
        port = free_port()
        async with http.serve_pages(f"127.0.0.1:{port}", pages([])):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metr")
            await writer.drain()
            assert (await talk(port, b"GET /healthz HTTP/1.1\r\n\r\n"))[0]
        assert await reader.read() == b""
        writer.close()

    run(scenario())


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9470", "[::1]:9470", "localhost:1", "127.8.9.1:65535"]
)
def test_a_loopback_address_may_be_listened_on(address: str) -> None:
    assert Agent(id="a", listen=address).listen == address


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9470", "10.0.0.1:9470", ":9470", "9470", "127.0.0.1:0", "plc:80", "::1"]
)
def test_any_other_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Agent(id="a", listen=address)
