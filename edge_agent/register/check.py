"""What cell by cell reading cannot see: duplicates, links that lead nowhere, contradictions between
columns.

Errors (`ParsedRegister.errors`) stop the register from being used; everything else is listed and
the rest stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import date

from edge_agent.errors import Finding
from edge_agent.identity import AmbiguousNameError, DeviceNames
from edge_agent.register.kinds import CONTROLLED, published
from edge_agent.register.model import Register, split_processes
from edge_agent.register.parse import ParsedRegister, SheetRow, nearest


def check_processes(parsed: ParsedRegister) -> None:
    """Process ids are unique."""
    parsed.errors += _duplicates(parsed, "process_id")


def check_equipment(
    parsed: ParsedRegister, processes: ParsedRegister | None, devices: DeviceNames | None
) -> None:
    """Extend the findings of the equipment sheet. `devices` are the configured ones, None when not
    known."""
    parsed.errors += _duplicates(parsed, "equipment_id")
    parsed.errors += _duplicates(parsed, "asset_no")
    for row in parsed.rows:
        parsed.notes += _contradictions(parsed, row)
        parsed.notes += _process_link(parsed, row, processes)
    parsed.notes += _device_links(parsed, devices)
    if processes is not None:
        parsed.notes += _kinds_not_stated(parsed, processes)
        parsed.notes += _empty_key_processes(parsed, processes)


def _duplicates(parsed: ParsedRegister, column: str) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for row in parsed.rows:
        value = row.text(column)
        if value and value in seen:
            yield Finding(
                f"duplicate-{column.replace('_', '-')}",
                parsed.place(row, column),
                f"{column} “{value}”与第 {seen[value]} 行重复；每台设备（工序）只能有一行，"
                "请改正或删除其中一行。",
                f"{column} “{value}” is already in row {seen[value]}; each has one row, correct "
                "or remove one.",
            )
        seen.setdefault(value, row.number)


def _in_use(row: SheetRow) -> bool:
    return row.text("status") == "in_use"


def _counted(row: SheetRow) -> bool:
    return row.is_true("in_scope") and _in_use(row)


def _may_count(row: SheetRow) -> bool:
    """Counted, or not known because a cell was not understood (which is listed already)."""
    return row.cells.get("in_scope") is not False and row.cells.get("status") in (None, "in_use")


def _contradictions(parsed: ParsedRegister, row: SheetRow) -> Iterator[Finding]:
    yield from _dates_reversed(parsed, row)
    if not _counted(row):
        return
    name = row.text("equipment_id")
    yield from _kind_contradictions(parsed, row, name)
    if row.is_true("digital") and row.text("interface") == "none":
        yield Finding(
            "digital-without-interface",
            parsed.place(row, "interface"),
            f"{name} 申报为数字化但接口为“无”：按数字化计入，请说明加装方式或改正。",
            f"{name} is declared digital with interface none: it counts as digital; state the "
            "retrofit or correct it.",
        )
    if row.is_true("networked_declared"):
        yield from _networked_contradictions(parsed, row, name)
    if row.text("control_class") == "robot" and row.cells.get("is_robot") is False:
        yield Finding(
            "robot-not-flagged",
            parsed.place(row, "is_robot"),
            f"{name} 的数控类型是机器人，但“是否机器人”为否：M-09/M-10 不计入，请核对。",
            f"{name} has control_class robot and is_robot N: M-09/M-10 leave it out; check which "
            "is right.",
        )
    if row.is_true("is_robot") and not row.text("brand_origin"):
        yield Finding(
            "robot-without-origin",
            parsed.place(row, "brand_origin"),
            f"机器人 {name} 没有品牌产地：按非国产计入分母，请填写。",
            f"the robot {name} has no brand_origin: it counts as not domestic; fill it in.",
        )


def _dates_reversed(parsed: ParsedRegister, row: SheetRow) -> Iterator[Finding]:
    begun = row.cells.get("commissioned")
    ended = row.cells.get("retired_on")
    if isinstance(begun, date) and isinstance(ended, date) and ended <= begun:
        name = row.text("equipment_id")
        yield Finding(
            "dates-reversed",
            parsed.place(row, "retired_on"),
            f"{name} 的停用日期 {ended} 不晚于启用日期 {begun}：任何窗口都不计入，请改正。",
            f"{name} is retired on {ended}, not after its commissioning on {begun}: no window "
            "counts it; correct it.",
        )


def _kind_contradictions(parsed: ParsedRegister, row: SheetRow, name: str) -> Iterator[Finding]:
    """Where the kind of a machine and its control class do not go together."""
    kinds = published()
    stated = row.text("machine_kind")
    control = row.text("control_class")
    by_nature = row.is_true("is_robot") or (stated in kinds and kinds[stated].nc)
    if by_nature and control not in CONTROLLED:
        yield Finding(
            "kind-contradicts-control",
            parsed.place(row, "control_class"),
            f"{name} 按种类属于数控设备，但数控类型是“手动/无”：不计为数控，请核对。",
            f"{name} is numerically controlled by its kind, and its control_class is manual or "
            "none: it does not count "
            "as NC; check which is right.",
        )


def _kinds_not_stated(parsed: ParsedRegister, processes: ParsedRegister) -> Iterator[Finding]:
    """Machines of discrete key processes whose name is that of a numerically controlled kind they
    do not state."""
    known = [row.text("process_id") for row in processes.rows]
    keys = {row.text("process_id") for row in processes.rows if row.is_true("is_key")}
    for row in filter(_counted, parsed.rows):
        control = row.text("control_class")
        if (
            row.text("machine_kind")
            or row.is_true("is_robot")
            or control not in CONTROLLED - {"cnc", "robot"}
        ):
            continue
        if keys.isdisjoint(split_processes(row.text("process_id"), known)):
            continue
        title = row.text("name_zh") + row.text("name_en")
        name = row.text("equipment_id")
        kind = next((each for each in published().values() if each.nc and each.names(title)), None)
        if kind is not None:
            yield Finding(
                "kind-not-stated",
                parsed.place(row, "machine_kind"),
                f"{name} 的名称像“{kind.zh}”：若确实是，请填写设备种类，即按其种类计为数控；"
                "不会按名称推断。",
                f"the name of {name} reads like “{kind.en}”: if it is one, state its "
                f"machine_kind ({kind.kind}) and it "
                "counts as NC by its kind; nothing is inferred from a name.",
            )


def _networked_contradictions(
    parsed: ParsedRegister, row: SheetRow, name: str
) -> Iterator[Finding]:
    if not row.text("gateway_device"):
        yield Finding(
            "networked-without-device",
            parsed.place(row, "gateway_device"),
            f"{name} 申报联网但没有对应的采集设备：只有申报（E0），有效联网不计入；"
            "请填写采集设备。",
            f"{name} is declared networked without a gateway_device: declared only (E0); name "
            "its device.",
        )
    if row.cells.get("digital") is False:
        yield Finding(
            "networked-not-digital",
            parsed.place(row, "digital"),
            f"{name} 申报联网但不是数字化设备：M-04b 的分子分母都不计入，请核对。",
            f"{name} is declared networked and not digital: M-04b leaves it out on both sides; "
            "check it.",
        )


def _process_link(
    parsed: ParsedRegister, row: SheetRow, processes: ParsedRegister | None
) -> Iterator[Finding]:
    written = row.text("process_id")
    if processes is None or (not written and not _counted(row)):
        return
    known = [other.text("process_id") for other in processes.rows]
    if not written:
        yield Finding(
            "missing-process",
            parsed.place(row, "process_id"),
            f"{row.text('equipment_id')} 没有工序编号，不计入任何工序；请填写。",
            f"{row.text('equipment_id')} has no process_id and counts for no process; fill it in.",
        )
    for process in split_processes(written, known):
        if process in known:
            continue
        near = nearest(process, known)
        yield Finding(
            "unknown-process",
            parsed.place(row, "process_id"),
            f"工序“{process}”不在工序表中，该设备不计入此工序；"
            + (f"是否应为“{near}”？" if near else "请补工序表。"),
            f"the process “{process}” is not in the process list; the machine does not count for "
            "it. " + (f"Did you mean “{near}”?" if near else "Add it to the list."),
        )


def _device_links(parsed: ParsedRegister, devices: DeviceNames | None) -> Iterator[Finding]:
    users: dict[str, list[SheetRow]] = defaultdict(list)
    for row in filter(_in_use, parsed.rows):
        links = list(dict.fromkeys(link for link in row.text("gateway_device").split(";") if link))
        for position, link in enumerate(links):
            try:
                key = devices.resolve(link) if devices is not None else link
            except AmbiguousNameError as error:
                yield _ambiguous(parsed, row, "gateway_device", error)
                key = link
            # only the primary device speaks for a machine: the others may be shared
            if position == 0:
                users[key or link].append(row)
            if devices is not None and key is None:
                yield _unknown_device(parsed, row, link, devices.ids)
    yield from _shared_devices(parsed, users)
    if devices is not None:
        yield from _unknown_meters(parsed, devices)


def _unknown_meters(parsed: ParsedRegister, devices: DeviceNames) -> Iterator[Finding]:
    """Each meter that is no configured device, once: the energy it would give is missing."""
    seen = set[str]()
    for row in filter(_in_use, parsed.rows):
        meter = row.text("meter_id")
        if not meter or meter in seen:
            continue
        seen.add(meter)
        try:
            known = devices.resolve(meter) is not None
        except AmbiguousNameError as error:
            yield _ambiguous(parsed, row, "meter_id", error)
            continue
        if not known:
            near = nearest(meter, list(devices.ids))
            yield Finding(
                "unknown-meter",
                parsed.place(row, "meter_id"),
                f"电表“{meter}”没有配置为采集设备，其电量不计；"
                + (f"是否应为“{near}”？" if near else "请在配置的 devices 中添加或改正。"),
                f"the meter “{meter}” is no configured device, its energy is not counted; "
                + (f"did you mean “{near}”?" if near else "add it under devices."),
            )


def future_dates(register: Register, today: date, name: str) -> list[Finding]:
    """Machines in use that are commissioned after today."""
    return [
        Finding(
            "future-date",
            f"{name}:{row.equipment_id}:commissioned",
            f"{row.equipment_id} 在用，启用日期 {row.commissioned} 却在今天之后：自该日起才计入；"
            "若日期有误请改正。",
            f"{row.equipment_id} is in use and commissioned on {row.commissioned}, after today: "
            "it counts from then "
            "on. Correct the date if it is wrong.",
        )
        for row in register.equipment
        if row.counted and row.commissioned is not None and row.commissioned > today
    ]


def retired_dates(register: Register, today: date, name: str) -> list[Finding]:
    """Machines whose status and date of retirement contradict each other today."""
    found = []
    for row in register.equipment:
        if row.retired_on is None or (row.status == "in_use") is (row.retired_on > today):
            continue
        if row.status == "in_use":
            zh, en = (
                f"在用，停用日期 {row.retired_on} 却已到",
                f"is in use and was retired on {row.retired_on}",
            )
        else:
            zh, en = (
                f"不再在用，停用日期 {row.retired_on} 却未到",
                f"is not in use and retired on {row.retired_on} only",
            )
        place = f"{name}:{row.equipment_id}:retired_on"
        zh_next, en_next = "以日期为准；请改正其中一项。", "the date counts; correct either."
        said = f"{row.equipment_id} {zh}：{zh_next}", f"{row.equipment_id} {en}: {en_next}"
        found.append(Finding("retired-contradiction", place, *said))
    return found


def _ambiguous(
    parsed: ParsedRegister, row: SheetRow, column: str, error: AmbiguousNameError
) -> Finding:
    named = ", ".join(error.names)
    return Finding(
        "ambiguous-device",
        parsed.place(row, column),
        f"“{error.written}”可以指多个采集代理的设备（{named}），无法对应；请写成“代理:设备”。",
        f"“{error.written}” may mean devices of several agents ({named}) and is linked to none; "
        "write `agent:device`.",
    )


def _unknown_device(
    parsed: ParsedRegister, row: SheetRow, link: str, devices: Collection[str]
) -> Finding:
    near = nearest(link, list(devices))
    return Finding(
        "unknown-device",
        parsed.place(row, "gateway_device"),
        f"采集设备“{link}”没有配置，"
        + (f"是否应为“{near}”？" if near else "请在配置的 devices 中添加或改正。"),
        f"the device “{link}” is not configured; "
        + (f"did you mean “{near}”?" if near else "add it under devices."),
    )


def _shared_devices(parsed: ParsedRegister, users: dict[str, list[SheetRow]]) -> Iterator[Finding]:
    for device, rows in users.items():
        for row in rows[1:]:
            first = rows[0]
            yield Finding(
                "shared-device",
                parsed.place(row, "gateway_device"),
                f"采集设备“{device}”已对应第 {first.number} 行的 {first.text('equipment_id')}:"
                "一个采集设备只能证明一台机器，两台都不计为有效联网；请为每台配置一个设备（可共"
                "用同一连接）。",
                f"the device “{device}” already belongs to {first.text('equipment_id')} in row "
                f"{first.number}: "
                "a device is evidence for one machine, so neither counts as effectively networked; "
                "configure one device per machine (they may share a connection).",
            )


def _empty_key_processes(parsed: ParsedRegister, processes: ParsedRegister) -> Iterable[Finding]:
    known = [row.text("process_id") for row in processes.rows]
    counting = (row for row in parsed.rows if _may_count(row))
    used = {
        process for row in counting for process in split_processes(row.text("process_id"), known)
    }
    for row in processes.rows:
        if row.is_true("is_key") and row.text("process_id") not in used:
            yield Finding(
                "key-process-without-equipment",
                processes.place(row, "process_id"),
                f"关键工序 {row.text('process_id')} 没有在用设备：按未数控化（0）计入 M-01，"
                "请核对。",
                f"the key process {row.text('process_id')} has no machine in use: it counts as 0 "
                "in M-01; check it.",
            )
