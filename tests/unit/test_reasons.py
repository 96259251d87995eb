"""The table of reasons: every status has its name, every reason a sentence in both languages that
says what to do."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import re
import socket
import ssl
import string
from pathlib import Path

import pytest
from asyncua.ua import status_codes

from connectors.modbus.frame import ReadRequest, exception_cause
from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import DeviceError, Finding, StoreError
from edge_agent.health import DeviceHealth
from edge_agent.ingest.session import SessionLostError, _joined
from edge_agent.model import STATUS, Batch, Tag, TagTable, status_code, status_name
from edge_agent.mqtt.flap_detector import flapping
from edge_agent.mqtt.trouble import explain, trouble
from edge_agent.reasons import cause, cause_of_error, sentence
from edge_agent.reasons.causes import CAUSES
from edge_agent.reasons.refusals import refusal_sentence
from edge_agent.reasons.states import STATES
from edge_agent.reasons.statuses import STATUSES
from edge_agent.stores.remote.http import HttpEndpoint, refusal

ROOT = Path(__file__).parents[2]
CHINESE = re.compile(r"[\u4e00-\u9fff]")
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:?!]")


def facts_of(name: str) -> dict[str, str]:
    _, zh, en = CAUSES[name]
    return {
        field: "7" for text in (zh, en) for _, field, *_ in string.Formatter().parse(text) if field
    }


def test_every_status_a_server_can_send_has_its_symbolic_name() -> None:
    theirs = {code: name for code, (name, _) in status_codes.code_to_name_doc.items()}
    assert {code: status_name(code) for code in theirs} == theirs
    assert {status_code(name): name for name in theirs.values()} == theirs
    assert status_name(STATUS["BadSecurityModeRejected"] | 0x0480) == "BadSecurityModeRejected", (
        "flags are no code"
    )
    assert status_name(0x8FFF0000) == "0x8FFF0000", "what OPC UA does not have keeps its number"


@pytest.mark.parametrize("name", [*STATUS, "0x8FFF0000"])
def test_every_status_is_a_sentence_in_both_languages(name: str) -> None:
    zh, en = sentence(name)
    assert CHINESE.search(zh)
    assert zh.endswith("。")
    assert not HALF_WIDTH.search(zh)
    assert not CHINESE.search(en)
    assert en.endswith(".")
    assert name in STATUSES or name in en, "what has no sentence of its own is quoted"
    assert "{name}" not in zh + en


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_a_sentence_in_both_languages(name: str) -> None:
    zh, en = sentence(name)
    assert (bool(CHINESE.search(zh)), zh[-1], en[-1]) == (True, "。", ".")


@pytest.mark.parametrize("name", CAUSES)
def test_every_cause_is_a_sentence_in_both_languages_with_the_same_facts(name: str) -> None:
    status, zh, en = CAUSES[name]
    assert status in STATUS
    fields = [
        {field for _, field, *_ in string.Formatter().parse(text) if field} for text in (zh, en)
    ]
    assert fields[0] == fields[1]
    found = cause(name, **facts_of(name))
    assert CHINESE.search(found.zh)
    assert not HALF_WIDTH.search(found.zh)
    assert not CHINESE.search(found.en)


def test_each_modbus_exception_has_a_sentence_of_its_own() -> None:
    request = ReadRequest(3, "holding", 100, 2)
    found = [exception_cause(code, request) for code in range(1, 12)]
    assert len({one.name for one in found}) == len({one.zh for one in found}) == 11
    assert all(f"{code}" in one.en and "holding/100" in one.en for code, one in enumerate(found, 1))
    assert "exception 77" in exception_cause(77, request).en


@pytest.mark.parametrize(
    ("error", "name", "zh", "en"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "x"),
            "connection_refused",
            "没有程序在监听",
            "nothing listens",
        ),
        (OSError(errno.EHOSTUNREACH, "x"), "no_route", "主机不可达", "No route to host"),
        (OSError(errno.ENETUNREACH, "x"), "no_route", "网络不可达", "Network is unreachable"),
        (
            PermissionError(errno.EPERM, "x"),
            "connection_forbidden",
            "IPAddressAllow",
            "IPAddressAllow",
        ),
        (
            ConnectionResetError(errno.ECONNRESET, "x"),
            "connection_reset",
            "连接被重置",
            "reset by peer",
        ),
        (BrokenPipeError(), "connection_reset", "连接已断开", "Broken pipe"),
        (socket.gaierror(-2, "Name or service not known"), "name_unknown", "DNS", "DNS"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "tls_failed", "TLS", "WRONG_VERSION_NUMBER"),
        (
            OSError("Multiple exceptions: [Errno 111] a, [Errno 101] b"),
            "connection_refused",
            "监听",
            "nothing listens",
        ),
        (OSError("strange"), "connection_broken", "strange", "strange"),
    ],
)
def test_what_the_system_says_becomes_a_cause(
    error: Exception, name: str, zh: str, en: str
) -> None:
    found = cause_of_error(error, "tcp://10.0.0.7:502")
    assert found.name == name
    assert zh in found.zh
    assert en in found.en
    assert "10.0.0.7" in found.zh + found.en


def test_a_connector_that_writes_one_language_is_still_told_in_both() -> None:
    error = DeviceError(STATUS["BadDeviceFailure"], "the lamp is out")
    assert error.detail == "the lamp is out"
    assert error.cause.zh == "设备报告自身故障：请查看设备面板（the lamp is out）。"


TABLE = TagTable("dev", 1.0, (Tag("a", "float", None), Tag("b", "float", None)))
REFUSED, SILENT = (
    cause("modbus_exception_2", request="holding/7"),
    cause("modbus_exception_1", request="holding/7"),
)


def part_bad(code: int, why: dict[int, object] | None) -> Batch:
    batch = Batch(TABLE, 1, [None, 2.0], {0: code})
    batch.causes = why  # type: ignore[assignment]
    return batch


def test_the_exact_cause_of_a_tag_is_in_transition_status_and_judgement() -> None:
    health = DeviceHealth("dev", 2, 2.0, 0.0)
    health.answered(part_bad(STATUS["BadConfigurationError"], {0: REFUSED}), 1.0, 0.0)
    row = health.row(2.0)
    said = (REFUSED.zh, REFUSED.en)
    assert (row["transition"]["zh"], row["transition"]["en"]) == said
    assert (row["reason"], row["transition"]["reason"]) == (
        "BadConfigurationError",
        "BadConfigurationError",
    )
    (move,) = row["tag_transitions"]
    assert (move["zh"], move["en"]) == said == health.detail
    (tag,) = health.tags.not_good()
    assert (tag["cause"], tag["zh"], tag["en"]) == ("modbus_exception_2", *said)
    assert (health.judgement().worst.zh, health.judgement().worst.en) == said


def test_another_cause_behind_the_same_status_is_news_and_a_good_tag_has_none() -> None:
    health = DeviceHealth("dev", 2, 2.0, 0.0)
    health.answered(part_bad(STATUS["BadConfigurationError"], {0: REFUSED}), 1.0, 0.0)
    health.row(2.0)
    health.answered(part_bad(STATUS["BadConfigurationError"], {0: SILENT}), 3.0, 0.0)
    assert health.row(4.0)["transition"]["en"] == SILENT.en
    health.answered(part_bad(STATUS["BadConfigurationError"], {0: SILENT}), 5.0, 0.0)
    assert "transition" not in health.row(6.0)
    health.answered(Batch(TABLE, 1, [1.0, 2.0]), 7.0, 0.0)
    assert health.cause is None
    assert health.row(8.0)["transition"]["to"] == "online"
    health.answered(part_bad(STATUS["BadTimeout"], None), 9.0, 0.0)
    assert health.detail == sentence("BadTimeout"), "an old cause is not told of a new fault"


def test_a_cause_of_part_of_a_table_goes_with_that_part() -> None:
    health = DeviceHealth("dev", 2, 2.0, 0.0, streaming=True)
    batch = Batch(TABLE, 1, [None], {0: STATUS["BadTypeMismatch"]}, None, [1])
    batch.causes = {0: REFUSED}
    health.answered(batch, 1.0, 0.0)
    health.answered(Batch(TABLE, 2, [1.0], None, None, [0]), 2.0, 0.0)
    assert [tag["cause"] for tag in health.tags.not_good()] == ["modbus_exception_2"]
    health.answered(Batch(TABLE, 3, [1.0], None, None, [1]), 3.0, 0.0)
    assert health.tags.not_good() == []
    assert health.state == "online"


@pytest.mark.parametrize(
    ("status", "name"),
    [(401, "store_login"), (403, "store_login"), (404, "store_not_found"), (503, "store_failed")],
)
def test_a_store_that_refuses_says_what_to_look_at(status: int, name: str) -> None:
    error = refusal(status, b"because")
    assert isinstance(error, StoreError)
    assert error.cause.name == name
    assert f"HTTP {status}: because" in error.cause.zh
    assert str(error) == error.cause.en


def test_the_services_notice_has_the_brokers_reason_in_both_languages() -> None:
    found = SessionLostError.of(
        trouble("mqtt-login", "消息服务器拒绝登录。", "The broker refused the login.", "mqtt://h")
    ).finding
    assert (found.code, found.zh, found.en) == (
        "mqtt-login",
        "消息服务器拒绝登录。",
        "The broker refused the login.",
    )
    many = _joined(
        [
            Finding("mqtt-tls-file", "mqtt.ca", f"无法读取 {n}。", f"{n} is unreadable.")
            for n in "ab"
        ]
    )
    assert (many.zh, many.en) == ("无法读取 a。无法读取 b。", "a is unreadable. b is unreadable.")


# --- no English in a Chinese sentence -------------------------------------------------------------

LATIN = re.compile(r"[A-Za-z]{3,}")


def malformed_reasons() -> set[str]:
    """The texts of all `MalformedError(...)` in the ingest, `{}` for what they name."""
    found = set()
    for module in ("decode", "messages"):
        tree = ast.parse((ROOT / "edge_agent" / "ingest" / f"{module}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "MalformedError":
                (argument,) = node.args
                if isinstance(argument, ast.Constant):
                    found.add(argument.value)
                elif isinstance(argument, ast.JoinedStr):
                    found.add(
                        "".join(
                            str(getattr(part, "value", "{}"))
                            if isinstance(part, ast.Constant)
                            else "device"
                            for part in argument.values
                        )
                    )
    return found


def test_every_reason_of_the_quarantine_has_its_own_sentence() -> None:
    reasons = malformed_reasons() | {
        "bad-name",
        "timestamp-out-of-bounds",
        "not-finite",
        "text-too-long",
    }
    assert len(reasons) > 20
    unknown = refusal_sentence("something of another version")
    for reason in sorted(reasons):
        zh, en = refusal_sentence(reason)
        assert CHINESE.search(zh), reason
        assert not CHINESE.search(en), reason
        assert zh.replace(reason, "") != unknown[0].replace("something of another version", ""), (
            reason
        )
    assert "something of another version" in unknown[0]
    assert "partial write" in refusal_sentence("the store refuses it: partial write")[0]


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EADDRINUSE, errno.ECONNRESET]
)
def test_the_systems_words_are_said_in_the_readers_language(number: int) -> None:
    error = OSError(number, os.strerror(number))
    told = [
        explain(error, "mqtt://broker").finding,
        flapping("ipc-01", "mqtt://broker", explain(error, "mqtt://broker").finding),
    ]
    for finding in told:
        plain = re.sub(r"mqtt\.[a-z_]+|client_id|'ipc-01'|DNS|retain|false", "", finding.zh)
        assert not LATIN.search(plain), finding.zh
        assert not CHINESE.search(finding.en)


def test_a_certificate_that_is_not_trusted_is_explained_in_chinese() -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = 18, "self-signed certificate"
    finding = explain(error, "mqtts://broker").finding
    assert "自签名证书" in finding.zh
    assert "self-signed" not in finding.zh
    assert "self-signed certificate" in finding.en


def test_what_a_client_library_wraps_is_still_the_systems_error() -> None:
    """`influxdb-client` raises an error of urllib3 whose cause is the refusal."""
    endpoint = HttpEndpoint(
        StoreConfig.model_validate({"kind": "influxdb", "url": "http://10.0.0.9:8086"})
    )
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    wrapped = RuntimeError("HTTPConnectionPool: Max retries exceeded")
    wrapped.__cause__ = refused
    assert endpoint.unreachable(wrapped) == cause(
        "connection_refused", where="10.0.0.9:8086", why=""
    )
    assert endpoint.unreachable(RuntimeError("odd")).name == "store_failed"


def test_a_store_that_took_the_connection_and_is_silent_is_no_fault_of_the_way_there() -> None:
    """A stopped InfluxDB was told as a cable that is not plugged in."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = StoreConfig.model_validate(
            {"kind": "influxdb1", "url": f"http://127.0.0.1:{port}"}
        )
        with (
            contextlib.closing(HttpEndpoint(config, timeout=0.05)) as endpoint,
            pytest.raises(StoreError) as silent,
        ):
            endpoint.request("GET", "/query", {})
    assert silent.value.cause.name == "store_silent"
    assert f"127.0.0.1:{port} took the connection" in silent.value.cause.en
