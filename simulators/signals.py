"""From a behaviour's signals to a tag's values: names, units and enumerations.

Tags are matched by name. `ALIASES` is the one table of what else a signal may be called; a tag that
matches nothing gets the generic behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from simulators.behaviours.base import (
    Behaviour,
    MachineryItemState,
    MachineryOperationMode,
    SignalValue,
    number,
)
from simulators.behaviours.generic import generic
from simulators.spec import TagSpec

Reader = Callable[[Mapping[str, SignalValue], float], SignalValue]
"""(signals of the device, simulated seconds) -> the tag's engineering value."""

ALIASES: Final = {
    "machine_state": "item_state",
    "machinery_item_state": "item_state",
    "machinery_operation_mode": "operation_mode",
    "state_text": "item_state",
    "mode": "operation_mode",
    "work_mode": "operation_mode",
    "estop": "emergency_stop",
    "e_stop": "emergency_stop",
    "alarm_no": "alarm_number",
    "alarm_code": "alarm_number",
    "alarm_active": "alarm",
    "fault_code": "alarm_number",
    "alarm_message": "alarm_text",
    "program_name": "program",
    "program_selected": "program",
    "active_program": "program",
    "active_program_name": "program",
    "main_program": "program",
    "program_block": "block",
    "current_block": "block",
    "parts_actual": "part_count",
    "parts": "part_count",
    "parts_user": "part_count",
    "parts_completed": "part_count",
    "total_parts": "parts_total",
    "part_count_total": "parts_total",
    "parts_produced_in_lifetime": "parts_total",
    "parts_produced": "parts_total",
    "good_parts": "parts_good",
    "scrap_parts": "parts_scrap",
    "parts_ng": "parts_scrap",
    "parts_ok": "parts_good",
    "ok_count": "count_ok",
    "ng_count": "count_ng",
    "target": "parts_required",
    "tool_no": "tool_number",
    "tool": "tool_number",
    "feed": "feed_rate",
    "feed_rate_x": "feed_rate",
    "feed_rate_actual": "feed_rate",
    "feedrate": "feed_rate",
    "active_axis_speed": "feed_rate",
    "path_feed_override": "feed_override",
    "channel_feed_override": "feed_override",
    "channel_rapid_override": "rapid_override",
    "spindle_rpm": "spindle_speed",
    "spindle_is_rotating": "is_rotating",
    "cycle_time_diag": "cycle_time",
    "power_on_duration": "power_on_time",
    "power_on_hours": "power_on_time",
    "run_time": "operating_time",
    "active_power": "power",
    "power_total": "power",
    "energy_import": "import",
    "energy_total": "energy",
    "kwh": "energy",
    "import_energy": "import",
    "dp": "differential_pressure",
    "dust": "dust_concentration",
    "dust_density": "dust_concentration",
    "pack_state": "packml_state",
    "state_number": "packml_state",
    "battery_level": "battery",
    "soc": "battery",
    "frequency_set": "frequency_command",
    "x_position": "pos_x",
    "y_position": "pos_y",
    "z_position": "pos_z",
}

#: Words (lower case) by which labels name a machine that executes, waits, ... : first match wins.
_ITEM_WORDS: Final[Mapping[MachineryItemState, tuple[str, ...]]] = {
    MachineryItemState.Executing: (
        "executing",
        "active",
        "running",
        "execute",
        "run",
        "start",
        "cycle",
        "运行",
        "加工",
        "自动运行",
    ),
    MachineryItemState.OutOfService: (
        "outofservice",
        "alarm",
        "fault",
        "error",
        "emergency",
        "aborted",
        "报警",
        "故障",
        "急停",
    ),
    MachineryItemState.NotExecuting: (
        "notexecuting",
        "idle",
        "ready",
        "stopped",
        "reset",
        "stop",
        "standby",
        "待机",
        "空闲",
        "停止",
        "就绪",
        "停机",
    ),
    MachineryItemState.NotAvailable: ("notavailable", "off", "offline", "关机", "离线"),
}
_MODE_WORDS: Final[Mapping[MachineryOperationMode, tuple[str, ...]]] = {
    MachineryOperationMode.Processing: (
        "processing",
        "auto",
        "automatic",
        "mem",
        "produce",
        "production",
        "自动",
        "生产",
    ),
    MachineryOperationMode.Setup: (
        "setup",
        "manual",
        "jog",
        "mdi",
        "set-up",
        "手动",
        "调试",
        "调机",
    ),
    MachineryOperationMode.Maintenance: ("maintenance", "service", "维护", "保养"),
    MachineryOperationMode.NONE: ("none", "off", "无"),
}
_STATE_NAMES: Final = (
    "status",
    "state",
    "run_status",
    "machine_status",
    "running_state",
    "device_state",
    "work_state",
    "execution_state",
)
_MODE_NAMES: Final = ("mode", "work_mode", "run_mode", "operating_mode", "control_mode")

#: The unit of a signal where it is not the tag's, and the factors to others.
_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("power", "demand", "demand_max", *(f"power_l{i}" for i in (1, 2, 3))), "kW"),
    **dict.fromkeys(("reactive_power", *(f"reactive_power_l{i}" for i in (1, 2, 3))), "kvar"),
    **dict.fromkeys(("apparent_power", *(f"apparent_power_l{i}" for i in (1, 2, 3))), "kVA"),
    **dict.fromkeys(
        ("power_on_time", "operating_time", "cutting_time", "cycle_time", "remaining_time"), "s"
    ),
    **dict.fromkeys(
        (
            f"{name}{end}"
            for name in ("energy", "import", "export", "sum")
            for end in ("", "_l1", "_l2", "_l3")
        ),
        "kWh",
    ),
}
_FACTORS: Final = {
    ("kW", "W"): 1000.0,
    ("kvar", "var"): 1000.0,
    ("kVA", "VA"): 1000.0,
    ("kW", "MW"): 0.001,
    ("kWh", "Wh"): 1000.0,
    ("kWh", "MWh"): 0.001,
    ("s", "min"): 1 / 60.0,
    ("s", "h"): 1 / 3600.0,
    ("s", "ms"): 1000.0,
}


def reader(tag: TagSpec, behaviour: Behaviour | None, seed: int) -> Reader:
    """How the value of `tag` comes out of the signals of `behaviour`."""
    offered = behaviour.signals() if behaviour is not None else {}
    name = tag.name if tag.name in offered else ALIASES.get(tag.name, tag.name)
    if name in offered:
        return _direct(tag, name)
    if "item_state" in offered and tag.labels and tag.name in (*_STATE_NAMES, *_MODE_NAMES):
        return _by_label(tag, "operation_mode" if tag.name in _MODE_NAMES else "item_state")
    make = generic(tag, seed)
    return lambda _, t: make(t)


def _direct(tag: TagSpec, name: str) -> Reader:
    factor = _FACTORS.get((_UNITS.get(name, ""), tag.unit), 1.0)
    if factor != 1.0:
        return lambda signals, _: factor * number(signals[name])
    if name in ("item_state", "operation_mode") and tag.labels:
        return _by_label(tag, name)
    if tag.kind == "text":
        return lambda signals, _: _text(signals[name])
    return lambda signals, _: signals[name]


def _text(value: SignalValue) -> str:
    if isinstance(value, IntEnum):
        return "None" if value is MachineryOperationMode.NONE else value.name
    return str(value)


def _by_label(tag: TagSpec, signal: str) -> Reader:
    """The number whose label names the machine's state; without such a label the state's own
    number."""
    numbers: dict[int, int | None] = {}
    if signal == "operation_mode":
        numbers.update(
            (int(mode), _number(tag.labels, words)) for mode, words in _MODE_WORDS.items()
        )
    else:
        numbers.update(
            (int(item), _number(tag.labels, words)) for item, words in _ITEM_WORDS.items()
        )
    fallback = min(tag.labels)

    def read(signals: Mapping[str, SignalValue], _: float) -> SignalValue:
        state = int(number(signals[signal]))
        found = numbers.get(state)
        return found if found is not None else state if state in tag.labels else fallback

    return read


def _number(labels: Mapping[int, str], words: tuple[str, ...]) -> int | None:
    for word in words:
        for value, label in labels.items():
            if label.lower().replace(" ", "").replace("_", "") == word or (
                not word.isascii() and word in label
            ):
                return value
    return None
