"""What the models cannot see by themselves: files that must exist, names that must be known, keys that contradict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge_agent.config.findings import Findings, advice
from edge_agent.config.models import STATE_WORDS, Agent, DeviceCommon, Mqtt, Outbox, Register, StateMap, Store
from edge_agent.config.places import Items, Place, Table, place_of
from edge_agent.sdk import DevicePlan, Plugin, Problem

#: Bytes; no process works with a smaller outbox of its own.
SMALLEST_OUTBOX = 1_000_000


def check_site(sections: Mapping[str, BaseModel], written: Table, found: Findings) -> None:
    """Files that must be readable, and keys that need one another; sections that are faulty are absent."""
    mqtt, store, register = sections.get("mqtt"), sections.get("store"), sections.get("register")
    if isinstance(mqtt, Mqtt):
        _mqtt(mqtt, written, found)
    agent, outbox = sections.get("agent"), sections.get("outbox")
    if isinstance(agent, Agent) and isinstance(outbox, Outbox):
        _room_for_all(agent.workers, outbox.max_bytes, written, found)
    if isinstance(store, Store) and store.kind != "duckdb" and store.url is None:
        zh = f'store.kind 为 {store.kind} 时缺少键 "store.url"，请补上，如 http://127.0.0.1:8086。'
        en = f'store.kind {store.kind} needs the key "store.url"; add it, for example http://127.0.0.1:8086.'
        found.add("missing-key", locate(written, "store", "kind"), zh, en)
    if isinstance(register, Register):
        for key in ("equipment", "processes", "calendar"):
            _readable(getattr(register, key), f"register.{key}", written, found)


def check_device(device: DeviceCommon, written: Table, found: Findings) -> None:
    """What holds for a device of any connector."""
    if not device.tags:
        zh, en = '设备没有变量，请写 "tags" 或 "profile"。', 'the device has no tags; write "tags" or a "profile".'
        found.add("no-tags", written.place, zh, en)
    _state(device, written, found)
    _exponents(device, written, found)


def check_plan(plan: DevicePlan, plugin: Plugin, written: Table, found: Findings) -> None:
    """The connector's own judgement, brought to the lines it speaks of."""
    for problem in plugin.check(plan):
        found.add("connector", _problem_at(problem, written), problem.zh, problem.en, f"{problem.tag}.{problem.key}")


def check_ids(devices: Iterable[Table], found: Findings) -> None:
    """No id twice: a device's topic, its series and its history hang on it."""
    first: dict[object, Place] = {}
    for table in devices:
        name = table.get("id")
        if not isinstance(name, str | int):
            continue
        at = table.values_at["id"]
        if name not in first:
            first[name] = at
        elif first[name] == at:
            zh = f'for 生成的设备 id 相同（{name!r}），请在 id 里写变量，如 "plc-{{i}}"。'
            en = f'for gives several devices the same id {name!r}; put a variable into it, such as "plc-{{i}}".'
            found.add("duplicate-id", at, zh, en, "id")
        else:
            zh = f"设备 id {name!r} 重复了（{first[name]} 已有），请改名。"
            en = f"the device id {name!r} is used twice (first at {first[name]}); rename one."
            found.add("duplicate-id", at, zh, en, "id")


def locate(written: Table, *path: Any) -> Place:
    """The place of the value at a path, or of the nearest mapping around it that was written."""
    current: Any = written
    at = written.place
    for part in path:
        if not isinstance(current, Table | Items) or (isinstance(current, Table) and part not in current):
            break
        at = place_of(current, part)
        current = current[part]
    return at


def _problem_at(problem: Problem, written: Table) -> Place:
    key = [int(part) if part.isdigit() else part for part in problem.key.split(".") if part]
    return locate(written, *([] if problem.tag is None else ["tags", problem.tag]), *key)


def _room_for_all(workers: int, most: int, written: Table, found: Findings) -> None:
    """Each process with an outbox of its own needs a share that is worth the name."""
    needed = SMALLEST_OUTBOX * (workers + 1 if workers > 1 else 1)
    if most < needed:
        zh = f"{workers} 个工作进程分用发件箱，outbox.max_bytes 至少应为 {needed}。"
        en = f"{workers} workers share the outbox; outbox.max_bytes must be at least {needed}."
        found.add("out-of-range", locate(written, "outbox", "max_bytes"), zh, en)


def _mqtt(mqtt: Mqtt, written: Table, found: Findings) -> None:
    for key in ("ca", "cert", "key"):
        path = getattr(mqtt, key)
        _readable(path, f"mqtt.{key}", written, found)
        if path is not None and mqtt.url.startswith("mqtt://"):
            zh = f'"mqtt.{key}" 只用于加密连接，请把 url 改为 mqtts://。'
            en = f'"mqtt.{key}" is for an encrypted connection only; change the url to mqtts://.'
            found.add("contradiction", locate(written, "mqtt", key), zh, en)
    if (mqtt.cert is None) != (mqtt.key is None):
        there, absent = ("cert", "key") if mqtt.key is None else ("key", "cert")
        zh = f'有 "mqtt.{there}" 而缺少 "mqtt.{absent}"，请补上。'
        en = f'"mqtt.{there}" is given and "mqtt.{absent}" is missing; add it.'
        found.add("missing-key", locate(written, "mqtt", there), zh, en)


def _readable(path: Path | None, key: str, written: Table, found: Findings) -> None:
    if path is None or (os.path.isfile(path) and os.access(path, os.R_OK)):
        return
    zh = f'"{key}" 的文件不存在或读不出来：{path}，请检查路径和权限。'
    en = f'the file of "{key}" does not exist or cannot be read: {path}; check its path and permissions.'
    found.add("no-file", locate(written, *key.split(".")), zh, en)


def _exponents(device: DeviceCommon, written: Table, found: Findings) -> None:
    """`scale_exponent_from` names an integer of the same period without a scale of its own."""
    for name, tag in device.tags.items():
        source = getattr(tag, "scale_exponent_from", None)
        if source is None:
            continue
        at = locate(written, "tags", name, "scale_exponent_from")
        other = device.tags.get(source)
        if other is None:
            zh, en = advice(source, device.tags)
            zh = f"scale_exponent_from 用到的变量 {source!r} 不存在；{zh}"
            en = f"scale_exponent_from names a tag {source!r} that does not exist; {en}"
            found.add("unknown-tag-name", at, zh, en)
            continue
        scaled = other.scale != 1.0 or other.offset != 0.0 or other.scale_exponent_from is not None
        if source == name or scaled or other.every != tag.every:
            zh = f"变量 {source!r} 作为 10 的幂须是整数，没有自己的 scale、offset，且与 {name!r} 周期相同。"
            en = (
                f"the tag {source!r} gives a power of ten: it must be an integer without scale and offset,"
                f" read in the same period as {name!r}."
            )
            found.add("contradiction", at, zh, en)


def _state(device: DeviceCommon, written: Table, found: Findings) -> None:
    for part, (derived, words) in STATE_WORDS.items():
        source = getattr(device.state, part, None)
        if source is None:
            continue
        if derived in device.tags:
            zh = f"变量名 {derived!r} 留给由 state 得出的状态，请改名。"
            en = f"the tag name {derived!r} is kept for the state derived by `state`; rename the tag."
            found.add("reserved-name", locate(written, "tags", derived), zh, en)
        if isinstance(source, StateMap):
            _state_tag(source.tag, ("state", part, "tag"), device, written, found)
            for value, word in source.map.items():
                _state_word(word, words, ("state", part, "map", value), written, found)
        else:
            for index, rule in enumerate(source):
                if rule.tag is not None:
                    _state_tag(rule.tag, ("state", part, index, "tag"), device, written, found)
                _state_word(rule.gives, words, ("state", part, index, "gives"), written, found)


def _state_tag(name: str, path: tuple[object, ...], device: DeviceCommon, written: Table, found: Findings) -> None:
    if name not in device.tags:
        zh, en = advice(name, device.tags)
        zh, en = f"state 用到的变量 {name!r} 不存在；{zh}", f"state uses a tag {name!r} that does not exist; {en}"
        found.add("unknown-tag-name", locate(written, *path), zh, en)


def _state_word(word: str, words: tuple[str, ...], path: tuple[object, ...], written: Table, found: Findings) -> None:
    if word not in words:
        zh, en = advice(word, words)
        found.add(
            "unknown-value", locate(written, *path), f"不认识的状态 {word!r}；{zh}", f"unknown state {word!r}; {en}"
        )
