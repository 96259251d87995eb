"""What `status` says of a tag stands in both languages."""

from __future__ import annotations

from edge_agent.app.status.outages import tag_lines
from edge_agent.health import sentence


def test_a_tags_reason_is_told_in_both_languages() -> None:
    zh, en = sentence("BadTimeout")
    row = {
        "device": "d",
        "tag": "a",
        "t": 0,
        "from": "good",
        "to": "bad",
        "reason": "BadTimeout",
        "zh": zh,
        "en": en,
    }
    (line,) = tag_lines([row], "UTC")
    assert zh in line
    assert en in line


def test_a_tag_that_flaps_is_one_line_with_its_reasons_counted() -> None:
    zh, en = sentence("BadSensorFailure")
    bad = {
        "device": "d",
        "tag": "a",
        "from": "Good",
        "to": "BadSensorFailure",
        "reason": "BadSensorFailure",
    }
    good = {
        "device": "d",
        "tag": "a",
        "from": "BadSensorFailure",
        "to": "Good",
        "reason": "",
        "zh": "",
        "en": "",
    }
    rows = [
        {**(bad if turn % 2 else good), "zh": zh, "en": en, "t": turn * 10**9}
        for turn in range(400)
    ]
    once = {**bad, "tag": "b", "zh": zh, "en": en, "t": 5}
    lines = tag_lines([once, *rows], "UTC")
    assert len(lines) == 2
    assert "d/b" in lines[0]
    assert "400 次变化 changes" in lines[1]
    assert "BadSensorFailure × 200" in lines[1]
    assert zh in lines[1]
    assert en in lines[1]


T0, S = 1_763_900_000_000_000_000, 1_000_000_000


def test_many_tags_that_flap_for_one_reason_are_one_entry() -> None:
    move = {
        "from": "Good",
        "to": "BadTimeout",
        "reason": "BadTimeout",
        "zh": "没有应答。",
        "en": "No answer.",
    }
    back = {"from": "BadTimeout", "to": "Good", "reason": "", "zh": "", "en": ""}
    rows = [
        {"device": "m", "tag": f"v{tag}", "t": T0 + step * S, **(back if step % 2 else move)}
        for step in range(9)
        for tag in range(30)
    ]
    alone = {**move, "device": "other", "tag": "x", "t": T0}
    lines = tag_lines([alone, *rows], "UTC")
    assert len(lines) == 2
    assert "other/x" in lines[0]
    assert "30 个变量 tags (v0, v1, v2 … +27), 270 次变化 changes" in lines[1]
    assert "现在 now BadTimeout × 30 [BadTimeout × 150]" in lines[1]
    assert lines[1].count("No answer.") == 1
