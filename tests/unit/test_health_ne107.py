"""NE 107: one judgement out of state, reason and findings, with numbers of OPC 10000-100 and two
languages."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from edge_agent.errors import Finding
from edge_agent.health import agent, ne107
from edge_agent.health.ne107 import FINE, Health, Notice, judged
from edge_agent.mqtt.trouble import hangs_up, publish_refused, too_large

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_the_numbers_are_those_of_the_companion_specification() -> None:
    names = ("NORMAL", "FAILURE", "CHECK_FUNCTION", "OFF_SPEC", "MAINTENANCE_REQUIRED")
    assert [Health[name].value for name in names] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("state", "reason", "findings", "health", "reasons"),
    [
        ("online", "", [], Health.NORMAL, []),
        ("starting", "", [], Health.CHECK_FUNCTION, ["starting"]),
        ("offline", "BadTimeout", [], Health.FAILURE, ["BadTimeout"]),
        ("offline", "0x80ABCDEF", ["clock_offset"], Health.FAILURE, ["0x80ABCDEF", "clock_offset"]),
        ("offline", "BadOutOfService", [], Health.CHECK_FUNCTION, ["BadOutOfService"]),
        ("degraded", "BadNodeIdUnknown", [], Health.MAINTENANCE_REQUIRED, ["BadNodeIdUnknown"]),
        (
            "degraded",
            "BadSensorFailure",
            ["overruns"],
            Health.OFF_SPEC,
            ["overruns", "BadSensorFailure"],
        ),
        (
            "degraded",
            "BadWaitingForInitialData",
            [],
            Health.CHECK_FUNCTION,
            ["BadWaitingForInitialData"],
        ),
        ("degraded", "BadTimeout", [], Health.OFF_SPEC, ["BadTimeout"]),
        ("online", "", ["clock_offset"], Health.OFF_SPEC, ["clock_offset"]),
    ],
)
def test_a_device_is_judged(
    state: str, reason: str, findings: list[str], health: Health, reasons: list[str]
) -> None:
    judgement = ne107.device(state, reason, findings)
    assert judgement.brief() == {"number": int(health), "name": health.name, "reasons": reasons}
    for notice in judgement.notices:
        assert CHINESE.search(notice.zh)
        assert re.search("[a-z]", notice.en)
        assert not CHINESE.search(notice.en)


def test_the_worst_decides_and_among_equals_the_first() -> None:
    notices = [
        Notice(health, reason, "。", ".")
        for reason, health in zip("abcdef", [4, 3, 1, 2, 1, 0], strict=True)
    ]
    notices = [replace(notice, health=Health(notice.health)) for notice in notices]
    judgement = judged(notices)
    assert [notice.reason for notice in judgement.notices] == ["c", "e", "d", "b", "a", "f"]
    assert judged([]).worst is FINE


AWAY = Finding("mqtt-refused", "mqtt://h", "没有代理。", "No broker.")


@pytest.mark.parametrize(
    ("facts", "health", "reason"),
    [
        (agent.AgentFacts(), Health.NORMAL, ""),
        (agent.AgentFacts(connected=False), Health.CHECK_FUNCTION, "broker_connecting"),
        (
            agent.AgentFacts(connected=False, broker=AWAY),
            Health.MAINTENANCE_REQUIRED,
            "broker_away",
        ),
        (agent.AgentFacts(ingest_silent=True), Health.MAINTENANCE_REQUIRED, "ingest_silent"),
        (agent.AgentFacts(lacking=True), Health.MAINTENANCE_REQUIRED, "not_stored"),
        (
            agent.AgentFacts(refusal=publish_refused("t", "Not authorized")),
            Health.MAINTENANCE_REQUIRED,
            "broker_refuses",
        ),
        (
            agent.AgentFacts(outbox_bytes=81, outbox_limit=100),
            Health.MAINTENANCE_REQUIRED,
            "outbox_nearly_full",
        ),
        (agent.AgentFacts(outbox_bytes=79, outbox_limit=100), Health.NORMAL, ""),
        (agent.AgentFacts(dropping=5, dropped=9), Health.FAILURE, "outbox_dropping"),
        (agent.AgentFacts(dropped=9), Health.OFF_SPEC, "outbox_dropped"),
        (agent.AgentFacts(damaged=512), Health.OFF_SPEC, "outbox_damaged"),
        (agent.AgentFacts(unsynced_s=6.0), Health.FAILURE, "disk"),
        (agent.AgentFacts(stalled=["tcp://plc"]), Health.FAILURE, "loop_stalled"),
        (agent.AgentFacts(devices=2, offline=2), Health.OFF_SPEC, "all_devices_offline"),
        (agent.AgentFacts(devices=2, offline=1), Health.NORMAL, ""),
        (agent.AgentFacts(clock=["clock_unset"]), Health.OFF_SPEC, "clock_unset"),
        (agent.AgentFacts(clock=["clock_jump"], jump_s=-7200.0), Health.OFF_SPEC, "clock_jump"),
        (agent.AgentFacts(refused="x.yaml:3:1"), Health.MAINTENANCE_REQUIRED, "reload_refused"),
        (agent.AgentFacts(restart=["mqtt"]), Health.MAINTENANCE_REQUIRED, "restart_needed"),
        (agent.AgentFacts(listen="127.0.0.1:1"), Health.MAINTENANCE_REQUIRED, "listen_failed"),
    ],
)
def test_the_agent_is_judged(facts: agent.AgentFacts, health: Health, reason: str) -> None:
    worst = judged(agent.notices(facts)).worst
    assert (worst.health, worst.reason) == (health, reason)
    assert CHINESE.search(worst.zh)
    assert re.search("[a-z]", worst.en)


def test_a_refused_file_is_told_in_one_language_a_sentence() -> None:
    worst = judged(
        agent.notices(
            agent.AgentFacts(refused="x.yaml:3:1 Unknown key.", refused_zh="x.yaml:3:1 未知的键。")
        )
    ).worst
    assert "未知的键" in worst.zh
    assert "Unknown" not in worst.zh
    assert not CHINESE.search(worst.en)


def test_values_are_said_to_queue_only_while_there_is_no_connection() -> None:
    away, unstable = (
        judged(agent.notices(agent.AgentFacts(connected=on, broker=AWAY))).worst
        for on in (False, True)
    )
    assert ("queue" in away.en, "排队" in away.zh) == (True, True)
    assert ("queue" in unstable.en, "排队" in unstable.zh) == (False, False)
    assert ("unstable" in unstable.en, "不稳定" in unstable.zh) == (True, True)


@pytest.mark.parametrize(
    "why", [publish_refused("a/b", "Quota exceeded"), too_large("a/b", 10, 5), hangs_up("a/b")]
)
def test_what_the_broker_refuses_is_said_in_both_languages(why: Finding) -> None:
    (notice,) = agent.notices(agent.AgentFacts(refusal=why))
    assert f"a/b：{why.zh}。" in notice.zh
    assert CHINESE.search(why.zh)
    assert f"a/b: {why.en}." in notice.en
    assert not CHINESE.search(notice.en)


def test_a_reason_that_nobody_knows_is_quoted() -> None:
    assert publish_refused("t", "0xA7").zh.endswith("（0xA7）")
