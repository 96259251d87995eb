"""What brokers answer: each code of MQTT 5 and 3.1.1 has a name, sentences in two languages, and a
next step."""

from __future__ import annotations

import re

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config.models import Mqtt
from edge_agent.mqtt import answers, reasons
from edge_agent.mqtt.trouble import (
    Attempt,
    closed_early,
    ended,
    no_answer,
    not_mqtt,
    publish_refused,
    refused,
)

CHINESE = re.compile(r"[一-鿿]")
NEXT_STEP = re.compile(
    r"mqtt\.\w+|[Cc]heck|[Ss]ee its|see the broker|[Ll]ower|[Rr]aise|[Aa]sk |(tri|mad|sen)\w+ again"
)
KEYS = set(Mqtt.model_fields)
REFUSING = {code: names for code, names in ReasonCode.names.items() if code >= 0x80}


@pytest.mark.parametrize("code", sorted(REFUSING))
def test_every_code_that_says_no_has_a_name_and_sentences(code: int) -> None:
    name = reasons.name_of(code)
    assert name in REFUSING[code], "the name is MQTT's"
    for zh, en in (
        reasons.of_connection(name),
        reasons.of_end(name),
        reasons.of_subscription(name),
    ):
        assert CHINESE.search(zh)
        assert zh.endswith("。")
        assert en.endswith(".")
        assert not CHINESE.search(en)
        assert NEXT_STEP.search(en), en
        assert "unknown reason" not in en
    assert reasons.SENTENCES.keys() >= {name}


def test_the_keys_that_are_named_exist() -> None:
    for zh, en in reasons.SENTENCES.values():
        for text in (zh, en):
            assert set(re.findall(r"mqtt\.(\w+)", text)) <= KEYS, text


def test_both_languages_name_the_same_keys() -> None:
    for zh, en in reasons.SENTENCES.values():
        assert set(re.findall(r"mqtt\.\w+", zh)) == set(re.findall(r"mqtt\.\w+", en)), en


def test_a_refused_message_has_its_own_sentence_for_each_code_of_puback() -> None:
    for code, names in REFUSING.items():
        for name, packets in names.items():
            if PacketTypes.PUBACK in packets:
                found = publish_refused("a/b", name)
                assert found.en.endswith(f"({name})"), code
                assert CHINESE.search(found.zh)
                assert "login" not in found.en


OF_3_1_1 = {
    1: ("mqtt-unsupported-protocol-version", "mqtt.version"),
    2: ("mqtt-client-identifier-not-valid", "mqtt.client_id"),
    3: ("mqtt-server-unavailable", "quorum"),
    4: ("mqtt-login", "mqtt.password"),
    5: ("mqtt-login", "mqtt.username"),
}


@pytest.mark.parametrize("code", OF_3_1_1)
def test_every_return_code_of_3_1_1_is_named(code: int) -> None:
    found = answers.refusal(answers.CONNACK, bytes([0, code]), five=False)
    assert found is not None
    error = refused(*found[:1], "u", found[1])
    expected, key = OF_3_1_1[code]
    assert error.finding.code == expected
    assert key in error.finding.en


def test_a_broker_without_mqtt_5_answers_in_the_older_form() -> None:
    assert answers.refusal(answers.CONNACK, b"\0\1", five=True) == (
        "Unsupported protocol version",
        "",
    )


def test_what_the_broker_adds_in_its_own_words_is_quoted() -> None:
    said = "topic a/b\nnot for you"
    properties = (
        b"\x24\x01" + b"\x26\0\1a\0\1b" + b"\x1f" + len(said).to_bytes(2, "big") + said.encode()
    )
    for kind, head in ((answers.CONNACK, b"\0\x87"), (answers.DISCONNECT, b"\x87")):
        body = head + bytes([len(properties)]) + properties
        assert answers.refusal(kind, body, five=True) == ("Not authorized", "topic a/b not for you")
    assert ended("Not authorized", "u", "why").finding.en.endswith("(Not authorized: why)")


@pytest.mark.parametrize(
    "tail", [b"", b"\xff\xff\xff\xff\xff", b"\x05\x1f\xff\xffab", b"\x02\x99\x00", b"\x03\x26\0\1"]
)
def test_properties_that_cannot_be_read_cost_only_the_words(tail: bytes) -> None:
    found = answers.refusal(answers.DISCONNECT, b"\x8b" + tail, five=True)
    assert found is not None
    assert found[0] == "Server shutting down"


def test_an_acceptance_and_other_packets_are_no_refusals() -> None:
    assert answers.refusal(answers.CONNACK, b"\0\0\0", five=True) is None
    assert answers.refusal(answers.CONNACK, b"\0", five=False) is None
    assert answers.refusal(0x90, b"\0\1\x80", five=False) is None
    assert answers.refusal(answers.DISCONNECT, b"", five=True) == (reasons.NORMAL_END, "")


def test_a_code_that_mqtt_does_not_know_is_quoted() -> None:
    zh, en = reasons.of_connection(reasons.name_of(0xEE))
    assert "0xEE" in zh
    assert "0xEE" in en


def attempt(
    url: str = "mqtt://h:1", *, will: bool = True, before: bool = False, five: bool = False
) -> Attempt:
    return Attempt(url, five, retained_will=will, accepted_before=before)


def test_an_end_without_a_reason_lists_what_can_be_the_reason_here() -> None:
    plain = closed_early(attempt(), 0.0).finding
    assert "mqtt.retain: false" in plain.en
    assert "mqtt.retain: false" in plain.zh
    assert "mqtts://" in plain.en
    assert "mqtt.cert" not in plain.en, "there is no TLS"
    assert "quorum" in plain.en
    secure = closed_early(attempt("mqtts://h:1", will=False), 0.0).finding
    assert "mqtt.cert" in secure.en
    assert "mqtt.retain" not in secure.en


def test_a_broker_that_took_us_before_is_looked_at_first() -> None:
    again = closed_early(attempt(before=True), 0.0).finding.en
    assert "quorum" in again
    assert "mqtt.username" not in again
    assert "accepted the same settings before" in again


def test_a_broker_that_hesitates_and_hangs_up_is_not_about_certificates() -> None:
    found = closed_early(attempt("mqtts://h:1"), 3.0).finding
    assert found.code == "mqtt-not-ready"
    assert "quorum" in found.en
    assert "mqtt.cert" not in found.en
    assert "quorum" in no_answer(attempt(), 5.0).finding.zh


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"), (b"INFO {\"server\"", "NATS"), (b"SSH-2.0-x", "SSH"),
        (b"\x15\x03\x01\0\2\2\x46", "mqtts://"), (b"\0\0", "another protocol"),
    ],
)  # fmt: skip
def test_a_port_that_speaks_something_else(data: bytes, word: str) -> None:
    found = not_mqtt("u", data)
    assert word in found.finding.en
    assert "mqtt.url" in found.finding.zh
    assert found.slow
