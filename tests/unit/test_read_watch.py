"""`read --watch` redraws in place: no line is wider than the terminal, and there are no more lines
than it has."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, Group
from rich.text import Text

from edge_agent.cli.read_view import view

WHY = (
    "设备不认识这个地址（异常码 2），它可能没有这个寄存器，也可能从 1 而不是从 0 数："
    "请对照手册核对 address，"
    "或运行 edge-agent probe tcp://127.0.0.1:502 --unit 1 --from 0 --count 10 查看。",
    "The device does not know this address (exception 2): it may not have the register, or count "
    "from 1 and not from 0;"
    " compare address with the manual, or run `edge-agent probe tcp://127.0.0.1:502 --unit 1 "
    "--from 0 --count 10`.",
)


def document(rows: int) -> dict[str, Any]:
    devices, values = [], []
    for number in range(3):
        state = "offline" if number == 2 else "online"
        device = f"一号车间数控铣床-{number}"
        devices.append(
            {"id": device, "state": state, "reason": "BadTimeout", "zh": WHY[0], "en": WHY[1]}
        )
        for tag in range(rows):
            fine = tag % 3 > 0 and state == "online"
            values.append(
                {
                    "agent": "ipc",
                    "device": device,
                    "tag": f"主轴转速设定值与实际值之差的滑动平均{tag}",
                    "value": 1234567.891
                    if tag % 2
                    else "程序名称很长很长很长很长很长很长很长很长很长很长很长很长很长",
                    "unit": "转每分钟",
                    "quality": "Good" if fine else "BadNodeIdUnknown",
                    "t": 1,
                    "age_s": 1.5,
                    "raw": "0x1234 0x5678 0x9abc 0xdef0 0x1234 0x5678",
                    "address": "holding/40001 (ns=2;s=主轴.转速)",
                    "why": WHY,
                }
            )
    return {"agent": "ipc", "devices": devices, "values": values}


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 10), (100, 30), (120, 30), (160, 50)])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("rows", [1, 4, 40])
def test_no_line_is_broken_and_none_is_too_many(
    width: int, height: int, raw: bool, rows: int
) -> None:
    out = io.StringIO()
    screen = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    shown = view(document(rows), raw=raw, width=width, height=height - 1)
    screen.print(Group(Text("ipc  12:00:00  Ctrl-C 结束 / ends"), shown))
    lines = out.getvalue().rstrip("\n").split("\n")
    assert max(map(cell_len, lines)) <= width
    assert len(lines) <= height
    assert any("主轴" in line for line in lines)
    if rows == 40:
        assert any("more rows" in line for line in lines)
    assert any(
        "种原因" in line or "edge-agent probe" in line or "异常码 2" in line for line in lines
    ), "why is said"
