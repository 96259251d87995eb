"""Outages as people read them: the newest last, nobody hidden behind a device that comes and
goes."""

from __future__ import annotations

from typing import Any

from edge_agent.app.status.outages import outage_lines
from edge_agent.app.status.view import MOST_LINES

S = 1_000_000_000
T0 = 1_763_900_000 * S


def outage(device: str, start: int, end: int | None, reason: str = "BadTimeout") -> dict[str, Any]:
    seconds = float((9_000 if end is None else end) - start)
    until = None if end is None else T0 + end * S
    return {
        "device": device,
        "from_t": T0 + start * S,
        "to_t": until,
        "seconds": seconds,
        "reason": reason,
        "zh": "因",
        "en": "why",
    }


def heads(rows: list[dict[str, Any]]) -> list[str]:
    return [text.splitlines()[0] for text in outage_lines(rows, "UTC")]


def test_a_flapping_device_is_one_line_and_hides_nobody() -> None:
    flappy = [outage("zz-flappy", 100 * n, 100 * n + 10) for n in range(MOST_LINES + 2)]
    lines = heads([outage("aa-press", 50, 4000), *flappy])
    assert [line.split()[2] for line in lines] == ["zz-flappy:", "aa-press:"]
    assert "22 次 times" in lines[0]
    assert "共 in all 220 s [BadTimeout]" in lines[0]


def test_the_newest_stands_last_whatever_its_name() -> None:
    rows = [outage("a", 500, 700), outage("b", 10, 20), outage("c", 5, None), outage("d", 600, 650)]
    assert [line.split()[2] for line in heads(rows)] == ["b:", "d:", "a:", "c:"]


def test_devices_that_were_away_together_share_a_line_unless_the_reason_differs() -> None:
    rows = [outage(f"m{n:02}", 100, 200, "agent_stopped") for n in range(30)]
    other, together = sorted(heads([*rows, outage("x", 100, 200)]), key=len)
    assert "m00, m01" in together
    assert "+22 (30 台设备 devices)" in together
    assert "outage x:" in other


def test_less_than_a_second_is_not_nothing() -> None:
    assert "< 1 s" in heads([outage("a", 5, 5) | {"seconds": 0.4}])[0]


def test_a_few_causes_of_one_status_are_told_each_and_many_are_one_line() -> None:
    def away(number: int) -> dict[str, Any]:
        return outage(f"m{number}", 100, None) | {
            "zh": f"{number} 不通。",
            "en": f"No way to {number}.",
        }

    few = outage_lines([away(1), away(2)], "UTC")
    assert [text.splitlines()[2].strip() for text in few] == ["No way to 1.", "No way to 2."]
    (many,) = outage_lines([away(number) for number in range(5)], "UTC")
    assert "(5 台设备 devices)" in many
    assert "No way to" not in many
