"""The publisher's parts without a network: pace, back-off, sentences, and the judgement on the
ingest."""

from __future__ import annotations

import socket
import ssl
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.models import Mqtt
from edge_agent.errors import FindingsError
from edge_agent.mqtt.backoff import AWAY_S, LONGEST_S, ReconnectBackoff
from edge_agent.mqtt.trouble import explain, refused, tls_context
from edge_agent.publish import confirm
from edge_agent.publish.in_flight_window import InFlightWindow


def test_the_backlog_gets_more_room_while_the_broker_is_quick() -> None:
    pace = InFlightWindow(40, None, 0.0)
    for n in range(100):
        pace.acknowledged(0.01, float(n))
    assert pace.allows(39, 0.0)
    assert not pace.allows(40, 0.0)


def test_the_backlog_yields_when_the_broker_is_slow_but_never_stops() -> None:
    pace = InFlightWindow(40, None, 0.0)
    for n in range(100):
        pace.acknowledged(5.0, 10.0 * n)
    assert pace.allows(0, 0.0)
    assert not pace.allows(1, 0.0)


@pytest.mark.slow
@given(st.integers(1, 500), st.lists(st.floats(0.001, 3), min_size=50, max_size=200))
def test_the_drain_limit_holds_over_any_time(rate: int, steps: list[float]) -> None:
    pace, now, sent = InFlightWindow(1000, rate, 0.0), 0.0, 0
    for step in steps:
        now += step
        while pace.allows(0, now):
            pace.spend()
            sent += 1
    assert sent <= now * rate + max(1, rate / 10)


def test_back_off_grows_to_its_limit_and_starts_over() -> None:
    backoff = ReconnectBackoff()
    assert backoff.next(slow=False) <= 0.2
    waits = [backoff.next(slow=False) for _ in range(200)]
    assert 1 < max(waits) <= AWAY_S
    assert min(waits) > 0
    assert backoff.next(slow=True) == LONGEST_S
    backoff.reset()
    assert backoff.next(slow=False) <= 0.2


@pytest.mark.parametrize(
    ("error", "code", "slow"),
    [
        (ConnectionRefusedError(), "mqtt-refused", False),
        (TimeoutError(), "mqtt-timeout", False),
        (socket.gaierror(-2, "unknown"), "mqtt-name", False),
        (ssl.SSLCertVerificationError("self-signed"), "mqtt-certificate", True),
        (ssl.SSLError("wrong version number"), "mqtt-tls", True),
        (OSError("broken pipe"), "mqtt-lost", False),
    ],
)
def test_each_failure_has_its_sentence(error: OSError, code: str, slow: bool) -> None:
    found = explain(error, "mqtt://broker:1883")
    assert (found.finding.code, found.slow, found.finding.where) == (
        code,
        slow,
        "mqtt://broker:1883",
    )
    assert found.finding.zh
    assert found.finding.en.endswith(".")


def test_a_refused_login_is_told_apart_from_a_refused_version() -> None:
    assert refused("Not authorized", "u").finding.code == "mqtt-login"
    assert refused("Bad user name or password", "u").finding.code == "mqtt-login"
    assert (
        refused("Unsupported protocol version", "u").finding.code
        == "mqtt-unsupported-protocol-version"
    )


def test_missing_tls_files_are_all_named_at_once(tmp_path: Path) -> None:
    config = Mqtt(
        url="mqtts://broker",
        ca=tmp_path / "ca.pem",
        cert=tmp_path / "cert.pem",
        key=tmp_path / "key.pem",
    )
    with pytest.raises(FindingsError) as error:
        tls_context(config)
    assert [f.where for f in error.value.findings] == ["mqtt.ca", "mqtt.cert", "mqtt.key"]


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello")
    with pytest.raises(FindingsError, match="PEM"):
        tls_context(Mqtt(url="mqtts://broker", ca=tmp_path / "ca.pem"))


def test_tls_is_at_least_1_2_and_checks_the_host() -> None:
    context = tls_context(Mqtt(url="mqtts://broker"))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert tls_context(Mqtt(url="mqtt://broker")) is None


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"{}", b'{"streams":[]}', b'{"streams":{"a":[[2,1]]}}', b'{"streams":{"a":[[0,1]]}}',
     b'{"streams":{"a":[[1.0,2]]}}', b'{"streams":{"a":[1]}}', b'{"streams":{"a":[[1,true]]}}', b"\xff"],
)  # fmt: skip
def test_a_watermark_that_is_none_is_ignored(payload: bytes) -> None:
    assert confirm.parse(payload) is None


def test_a_watermark_is_understood() -> None:
    document = b'{"v":1,"ingest":"i","t":1,"streams":{"a/0/1":[[1,3],[5,5]],"b/0/2":[]}}'
    assert confirm.parse(document) == confirm.Watermark({"a/0/1": [(1, 3), (5, 5)], "b/0/2": []})


AWAITING = {"a/0/1": [(1, 5)]}


def test_nothing_is_sent_again_without_a_living_ingest() -> None:
    watch = confirm.ConfirmationWatch(0.0)
    assert not any(watch.overdue(float(now), AWAITING) for now in range(300))
    assert watch.silent(60.0)
    assert not watch.alive(60.0)


def test_a_living_ingest_has_thirty_seconds() -> None:
    watch = confirm.ConfirmationWatch(0.0)
    due = []
    for now in range(100):
        if now % 10 == 0:
            watch.life(float(now))
        if watch.overdue(float(now), AWAITING):
            due.append(now)
    assert due
    assert due[0] >= 30
    assert all(b - a >= 30 for a, b in pairwise(due))
    assert not watch.silent(99.0)


def test_an_ingest_that_comes_back_gets_its_time_anew() -> None:
    watch = confirm.ConfirmationWatch(0.0)
    watch.life(1.0)
    watch.overdue(2.0, AWAITING)
    assert not watch.alive(31.0)
    watch.life(100.0)
    assert not watch.overdue(101.0, AWAITING), "it has lived for one second"
    for now in range(105, 131, 5):
        watch.life(float(now))
    assert watch.overdue(131.5, AWAITING) == AWAITING


def test_sending_again_once_is_chance_and_twice_in_a_row_is_a_finding() -> None:
    watch = confirm.ConfirmationWatch(0.0)
    assert not watch.lacks_entries(0.0)
    watch.sent_again(100.0)
    watch.sent_again(100.0)
    assert not watch.lacks_entries(101.0), "two streams in one round are one time"
    watch.sent_again(131.0)
    assert watch.lacks_entries(140.0)
    assert not watch.lacks_entries(100.0 + confirm.LACKING_S), "nothing had to be sent again since"
