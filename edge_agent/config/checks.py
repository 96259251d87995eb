"""What the models cannot see by themselves: files that must exist, names that must be known, keys
that contradict."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent import names
from edge_agent.config.findings import Findings, advice
from edge_agent.config.models import Mqtt, RegisterConfig, StoreConfig
from edge_agent.config.places import FilePosition, YamlMapping, YamlSequence, locate, pattern_of
from edge_agent.config.soundness import SoundFindings, ValidatedInstance
from edge_agent.config.state_checks import check_state
from edge_agent.config.width import full_width
from edge_agent.identity import SEPARATOR
from edge_agent.sdk import DevicePlan, Plugin, Problem


def check_site(
    sections: Mapping[str, ValidatedInstance], written: YamlMapping, found: Findings
) -> None:
    """Files that must be readable, and keys that need one another. A faulty key of a section is not
    judged again, and a section that is faulty as a whole is absent."""
    _alike_agents(written, found)
    values = {key: section.value for key, section in sections.items()}
    faulty = {f"{key}.{part[0]}" for key, section in sections.items() for part in section.faulty}
    if "agent" in values and "agent.group" not in faulty:
        _group(values["agent"].group, written, found)
    if "mqtt" in values:
        _mqtt(values["mqtt"], faulty, written, found)
    if "agent" in values and "agent.workers" not in faulty:
        _one_process(values["agent"].workers, written, found)
    store = values.get("store")
    register = values.get("register")
    if (
        isinstance(store, StoreConfig)
        and store.kind != "duckdb"
        and store.url is None
        and "store.url" not in faulty
    ):
        zh = f'store.kind 为 {store.kind} 时缺少键 "store.url"，请补上，如 http://127.0.0.1:8086。'
        en = (
            f'store.kind {store.kind} needs the key "store.url"; add it, for example '
            "http://127.0.0.1:8086."
        )
        found.add("missing-key", locate(written, "store", "kind"), zh, en)
    if isinstance(register, RegisterConfig):
        for key in ("equipment", "processes", "calendar", "meters", "events"):
            _readable(getattr(register, key), f"register.{key}", written, found)


def check_device(
    sound: ValidatedInstance, written: YamlMapping, found: Findings, *, whole: bool = True
) -> None:
    """What holds for a device of any connector. `sound` may lack what is faulty in `written`; when
    a part of it could not be found (`whole` is false), nothing is missed."""
    tags = written.get("tags", {})
    judged = SoundFindings(sound, written, found)
    if whole and isinstance(tags, dict) and not tags:
        zh, en = (
            '设备没有变量，请写 "tags" 或 "profile"。',
            'the device has no tags; write "tags" or a "profile".',
        )
        found.add("no-tags", written.place, zh, en)
    if isinstance(tags, YamlMapping):
        _alike_tags(tags, found)
    check_state(judged, whole=whole)
    _exponents(judged, whole=whole)
    _former_tags(judged)


def problems(
    plan: DevicePlan, plugin: Plugin, sound: ValidatedInstance, *, whole: bool
) -> Iterator[Problem]:
    """The connector's own judgement of a device, of what does not only follow from the keys that
    `sound` lacks. When a part of the device could not be found (`whole` is false), nothing is
    concluded from several keys."""
    only_certain = not whole or sound.misleads(plugin.endpoint_key)
    for problem in plugin.check(plan):
        if not sound.judges(*_problem_path(problem)):
            continue
        if problem.rests_on is not None and whole:
            if all(
                sound.judges(*_problem_path(replace(problem, key=key))) for key in problem.rests_on
            ):
                yield problem
        elif problem.certain or not (only_certain or sound.lacks_connector_keys(problem.tag)):
            yield problem


def report_problems(problems: Iterable[Problem], written: YamlMapping, found: Findings) -> None:
    """Bring a connector's problems to the lines they speak of."""
    for problem in problems:
        at, value = _problem_at(problem, written)
        if isinstance(value, str) and (finding := full_width(value, at)) is not None:
            found.add(*finding)
            continue
        tag = problem.tag if problem.tag is None else pattern_of(written, problem.tag)
        found.add("connector", at, problem.zh, problem.en, f"{tag}.{problem.key}")


def check_ids(devices: Iterable[YamlMapping], found: Findings) -> None:
    """No id twice: a device's topic, its series and its history hang on it."""
    first: dict[object, FilePosition] = {}
    alike: dict[str, object] = {}
    for table in devices:
        name = table.get("id")
        if not isinstance(name, str | int):
            continue
        at = table.values_at["id"]
        if name not in first:
            first[name] = at
            other = alike.setdefault(names.look(str(name)), name)
            if other != name:
                _look_alike(name, other, at, first[other], found)
        elif first[name] == at:
            zh = f'for 生成的设备 id 相同（{name!r}），请在 id 里写变量，如 "plc-{{i}}"。'
            en = (
                f"for gives several devices the same id {name!r}; put a variable into it, such "
                f'as "plc-{{i}}".'
            )
            found.add("duplicate-id", at, zh, en, "id")
        else:
            zh = f"设备 id {name!r} 重复了（{first[name]} 已有），请改名。"
            en = f"the device id {name!r} is used twice (first at {first[name]}); rename one."
            found.add("duplicate-id", at, zh, en, "id")


def _look_alike(
    name: object, other: object, at: FilePosition, first: FilePosition, found: Findings
) -> None:
    codes = " ".join(
        f"U+{ord(character):04X}" for character in str(name) if character not in str(other)
    )
    zh = (
        f"{name!r} 与 {other!r}（{first}）看上去相同，只是字符编码不同（{codes or '顺序'}），"
        "请改名。"
    )
    en = (
        f"{name!r} looks like {other!r} ({first}) and differs in its characters only "
        f"({codes or 'order'}); rename one."
    )
    found.add("look-alike", at, zh, en, "look-alike")


def _alike_tags(written: YamlMapping, found: Findings) -> None:
    """No two tags of a device that people cannot tell apart."""
    first: dict[str, str] = {}
    for name in written:
        if isinstance(name, str) and (other := first.setdefault(names.look(name), name)) != name:
            _look_alike(name, other, written.keys_at[name], written.keys_at[other], found)


def _alike_agents(written: YamlMapping, found: Findings) -> None:
    """No other agent that people cannot tell from this one, or from another."""
    first: dict[str, tuple[str, FilePosition]] = {}
    own = written.get("agent")
    others = written.get("agents")
    if isinstance(own, YamlMapping) and isinstance(own.get("id"), str):
        first[names.look(own["id"])] = own["id"], own.values_at["id"]
    if not isinstance(others, YamlSequence):
        return
    for name, at in zip(others, others.at, strict=True):
        if isinstance(name, str):
            other, other_at = first.setdefault(names.look(name), (name, at))
            if other != name:
                _look_alike(name, other, at, other_at, found)


def check_former_ids(devices: Sequence[YamlMapping], agent: object, found: Findings) -> None:
    """`was` names one device that is no more, and only one device goes on with its history."""
    present = {str(table.get("id")) for table in devices}
    taken: dict[tuple[str, str], object] = {}
    for table in devices:
        was = table.get("was")
        if not isinstance(was, str) or not was:
            continue
        at = table.values_at["was"]
        whose, separator, device = was.partition(SEPARATOR)
        whose, device = (whose, device) if separator else (str(agent), was)
        fault = names.level_fault(device) or (names.agent_fault(whose) if separator else None)
        if fault is not None:
            zh = f'"was" 应为设备 id 或 "采集代理:设备"，其名称{fault[0]}。'
            en = f'"was" takes a device id or "agent:device", and such a name {fault[1]}.'
            found.add("bad-name", at, zh, en, "was")
        elif whose == str(agent) and device in present:
            zh = (
                f'"was" 是设备以前的 id，而 {device!r} 还在本文件中：请删除 "was"，或删除那台设备。'
            )
            en = (
                f'"was" is an id of the past, and {device!r} is in this file still; remove '
                '"was", or that device.'
            )
            found.add("contradiction", at, zh, en, "was")
        elif (whose, device) in taken:
            zh = f"{was!r} 的历史已由设备 {taken[whose, device]!r} 继续，只能归一台：请删除其一。"
            en = (
                f"the history of {was!r} goes on in {taken[whose, device]!r} already, and can in "
                "one only; remove one."
            )
            found.add("contradiction", at, zh, en, "was")
        else:
            taken[whose, device] = table.get("id")


def _former_tags(found: SoundFindings) -> None:
    """The same of the tags of a device."""
    taken: dict[str, str] = {}
    present = found.written["tags"] if isinstance(found.written.get("tags"), YamlMapping) else {}
    for name, tag in found.sound.value.tags.items():
        was = getattr(tag, "was", "")
        if not was:
            continue
        at = ("tags", name, "was")
        if (fault := names.fault(was)) is not None:
            zh, en = (
                f'"was" 是变量以前的名称，{fault[0]}。',
                f'"was" is a name of the past, which {fault[1]}.',
            )
            found.add("bad-name", at, zh, en, "was")
        elif was in present:
            zh = f'"was" 是变量以前的名称，而 {was!r} 还在该设备上：请删除 "was"，或删除那个变量。'
            en = (
                f'"was" is a name of the past, and the device has {was!r} still; remove "was", '
                "or that tag."
            )
            found.add("contradiction", at, zh, en, "was")
        elif was in taken:
            zh = f"{was!r} 的历史已由变量 {taken[was]!r} 继续，只能归一个：请删除其一。"
            en = (
                f"the history of {was!r} goes on in {taken[was]!r} already, and can in one only; "
                "remove one."
            )
            found.add("contradiction", at, zh, en, "was")
        else:
            taken[was] = name


def _problem_path(problem: Problem) -> list[int | str]:
    path: list[int | str] = [] if problem.tag is None else ["tags", problem.tag]
    return path + [int(part) if part.isdigit() else part for part in problem.key.split(".") if part]


def _problem_at(problem: Problem, written: YamlMapping) -> tuple[FilePosition, object]:
    """The place a problem speaks of, and the value written there; None where only a mapping around
    it was written."""
    path = _problem_path(problem)
    value: Any = written
    for part in path:
        value = value.get(part) if isinstance(value, YamlMapping) else None
    return locate(written, *path), value


def _one_process(workers: int | None, written: YamlMapping, found: Findings) -> None:
    """Former versions could be several processes."""
    if workers is not None and workers > 1:
        zh = (
            "采集代理只有一个进程，不再支持多个工作进程：请删除 agent.workers。一个进程不够时，"
            "把设备分到两个配置文件，"
            "各用自己的 agent.id 和 outbox.path，各运行一个 run（docs/operations.md）。"
        )
        en = (
            "An agent is one process; several workers are not supported any more: delete "
            "agent.workers. Where one"
            " process is not enough, divide the devices among two files, each with its own "
            "agent.id and outbox.path,"
            " and run both (docs/operations.md)."
        )
        found.add("obsolete-key", locate(written, "agent", "workers"), zh, en)


def _group(name: str | None, written: YamlMapping, found: Findings) -> None:
    """A group that this machine does not have, while those it has are at hand."""
    if name is None:
        return
    try:
        grp.getgrnam(name)
    except (KeyError, ValueError):
        zh = (
            f'本机没有用户组 {name!r}，请先创建（groupadd --system {name}），或更正 "agent.group"。'
        )
        en = (
            f"this machine has no group {name!r}; create it (groupadd --system {name}), or "
            'correct "agent.group".'
        )
        found.add("unknown-group", locate(written, "agent", "group"), zh, en)


def _mqtt(mqtt: Mqtt, faulty: Set[str], written: YamlMapping, found: Findings) -> None:
    for key in ("ca", "cert", "key"):
        path = getattr(mqtt, key)
        _readable(path, f"mqtt.{key}", written, found)
        if path is not None and "mqtt.url" not in faulty and mqtt.url.startswith("mqtt://"):
            zh = f'"mqtt.{key}" 只用于加密连接，请把 url 改为 mqtts://。'
            en = f'"mqtt.{key}" is for an encrypted connection only; change the url to mqtts://.'
            found.add("contradiction", locate(written, "mqtt", key), zh, en)
    if (mqtt.cert is None) != (mqtt.key is None) and not {"mqtt.cert", "mqtt.key"} & faulty:
        there, absent = ("cert", "key") if mqtt.key is None else ("key", "cert")
        zh = f'有 "mqtt.{there}" 而缺少 "mqtt.{absent}"，请补上。'
        en = f'"mqtt.{there}" is given and "mqtt.{absent}" is missing; add it.'
        found.add("missing-key", locate(written, "mqtt", there), zh, en)


def _readable(path: Path | None, key: str, written: YamlMapping, found: Findings) -> None:
    if path is None or (os.path.isfile(path) and os.access(path, os.R_OK)):
        return
    zh = f'"{key}" 的文件不存在或读不出来：{path}，请检查路径和权限。'
    en = (
        f'the file of "{key}" does not exist or cannot be read: {path}; check its path and '
        "permissions."
    )
    found.add("no-file", locate(written, *key.split(".")), zh, en)


def _exponents(found: SoundFindings, *, whole: bool) -> None:
    """`scale_exponent_from` names an integer of the same period without a scale of its own."""
    device = found.sound.value
    # Tags that are faulty are tags all the same.
    written = found.written.get("tags")
    present = written if isinstance(written, YamlMapping) else {}
    for name, tag in device.tags.items():
        source = getattr(tag, "scale_exponent_from", None)
        if source is None:
            continue
        at = ("tags", name, "scale_exponent_from")
        if source not in present:
            if not whole:
                continue
            zh, en = advice(source, present)
            zh = f"scale_exponent_from 用到的变量 {source!r} 不存在；{zh}"
            en = f"scale_exponent_from names a tag {source!r} that does not exist; {en}"
            found.add("unknown-tag-name", at, zh, en)
            continue
        other = device.tags.get(source)
        scaled = other is not None and (
            other.scale != 1.0 or other.offset != 0.0 or other.scale_exponent_from is not None
        )
        if source == name or scaled or _other_period(found, name, source):
            zh = (
                f"变量 {source!r} 作为 10 的幂须是整数，没有自己的 scale、offset，且与 {name!r} "
                "周期相同。"
            )
            en = (
                f"the tag {source!r} gives a power of ten: it must be an integer without scale "
                "and offset,"
                f" read in the same period as {name!r}."
            )
            found.add("contradiction", at, zh, en)


def _other_period(found: SoundFindings, *tags: str) -> bool:
    """Whether two tags are read in different periods, as far as both are known."""
    if not all(found.sound.judges("tags", tag, "every") for tag in tags):
        return False
    return len({found.sound.value.tags[tag].every for tag in tags}) > 1
