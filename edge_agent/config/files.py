"""The main file and what it includes, as one mapping."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.config.findings import Findings, advice
from edge_agent.config.places import FilePosition, YamlMapping, YamlSequence, merged, place_of
from edge_agent.config.source import read

MAX_FILES: Final = 500
SHARED: Final = ("devices", "templates", "defaults", "include")
"""The keys an included file may hold."""


def read_site(path: Path, found: Findings) -> YamlMapping:
    """The main file's mapping with the devices, templates and defaults of all included files merged
    in.

    Raises ConfigError when the main file cannot be read at all; every other fault is in `found` and
    left out.
    """
    main = read(path, found)
    if main is None:
        found.fail()
    parts = [main, *_included(main, path, found)]
    result = main.copy()
    result.drop("include")
    for key, join in (("devices", _devices), ("templates", _templates), ("defaults", _defaults)):
        written = [part for part in parts if part.get(key) is not None]
        if written:
            result.take(written[0], key, join(written, found))
        else:
            result.drop(key)
    return result


def _included(main: YamlMapping, path: Path, found: Findings) -> list[YamlMapping]:
    """Every file reached by `include`, each once, depth first. A file on the way to itself is a
    finding."""
    return list(_visit(main, path, (path.resolve(),), set(), found))


def _visit(
    table: YamlMapping, file: Path, trail: tuple[Path, ...], done: set[Path], found: Findings
) -> Iterator[YamlMapping]:
    for target, at in _targets(table, file, found):
        real = target.resolve()
        if real in trail:
            zh = f"{target.name} 绕一圈又包含了自己，请删去这一行。"
            en = f"{target.name} includes itself in a circle; remove this line."
            found.add("include-cycle", at, zh, en)
        elif real not in done:
            done.add(real)
            included = _read(target, at, len(done), found)
            if included is not None:
                _refuse_site_keys(included, found)
                yield included
                yield from _visit(included, target, (*trail, real), done, found)


def _read(path: Path, at: FilePosition, count: int, found: Findings) -> YamlMapping | None:
    if count <= MAX_FILES:
        return read(path, found)
    zh, en = (
        f"包含的文件超过 {MAX_FILES} 个，请合并。",
        f"more than {MAX_FILES} included files; merge some.",
    )
    found.add("too-large", at, zh, en)
    return None


def _targets(
    table: YamlMapping, file: Path, found: Findings
) -> Iterator[tuple[Path, FilePosition]]:
    """The files an `include` names, relative to its own file; a pattern gives its matches in order
    of name."""
    value = table.get("include")
    if value is None:
        return
    at = table.values_at["include"]
    for index, name in enumerate(value if isinstance(value, YamlSequence) else [value]):
        here = place_of(value, index) if isinstance(value, YamlSequence) else at
        if not isinstance(name, str) or not name or "\0" in name:
            zh, en = (
                '"include" 应为文件名或文件名列表。',
                '"include" must be a file name or a list of them.',
            )
            found.add("wrong-type", here, zh, en)
        elif "**" in name:  # one slip (`/**`) would search the whole disk
            zh, en = (
                "include 不支持 **，请逐级写出文件夹。",
                "include does not take **; write the folders out.",
            )
            found.add("bad-value", here, zh, en)
        elif any(sign in name for sign in "*?["):
            meant = matches(file.parent, name)
            if not meant:
                zh, en = (
                    f"没有文件符合 {name!r}，请检查路径。",
                    f"no file matches {name!r}; check the path.",
                )
                found.add("no-file", here, zh, en)
            yield from ((match, here) for match in meant)
        elif not os.path.exists(file.parent / name):
            # Said at the line that includes it: the missing file has no lines of its own.
            zh, en = (
                f"没有文件 {name!r}，请检查路径。",
                f"there is no file {name!r}; check the path.",
            )
            found.add("no-file", here, zh, en)
        else:
            yield file.parent / name, here


def matches(folder: Path, pattern: str) -> list[Path]:
    """The files that a pattern of `include` means, by name; `folder`: that of the including
    file."""
    base = folder
    parts = Path(pattern).parts
    if Path(pattern).is_absolute():
        base = Path(parts[0])
        parts = parts[1:]
    try:
        return sorted(match for match in base.glob("/".join(parts)) if match.is_file())
    except (ValueError, OSError):  # a pattern that glob refuses matches nothing
        return []


def _refuse_site_keys(table: YamlMapping, found: Findings) -> None:
    for key in [key for key in table if key not in SHARED]:
        zh, en = advice(key, SHARED)
        found.add(
            "unknown-key",
            table.keys_at[key],
            f"被包含的文件里不能有键 {key!r}；{zh}",
            f"an included file cannot hold the key {key!r}; {en}",
        )


def _devices(parts: list[YamlMapping], found: Findings) -> YamlSequence:
    """All lists in a row."""
    result = YamlSequence(parts[0].values_at["devices"])
    for part in parts:
        value = part["devices"]
        if not isinstance(value, YamlSequence):
            zh, en = (
                '"devices" 应为列表，每台设备以 "- " 开头。',
                '"devices" must be a list; begin each device with "- ".',
            )
            found.add("wrong-type", part.values_at["devices"], zh, en)
            continue
        for item, at in zip(value, value.at, strict=True):
            result.add(item, at)
    return result


def _mappings(
    parts: list[YamlMapping], key: str, found: Findings
) -> Iterator[tuple[YamlMapping, str, YamlMapping]]:
    """Every `(owner, name, table)` below a key that holds named mappings."""
    for part in parts:
        value = part[key]
        if not isinstance(value, YamlMapping):
            zh = f'"{key}" 应为“名称: 一组键值”。'
            en = f'"{key}" must be `name: mapping`.'
            found.add("wrong-type", part.values_at[key], zh, en)
            continue
        for name, table in value.items():
            if isinstance(table, YamlMapping):
                yield value, name, table
            else:
                zh, en = (
                    f'"{key}.{name}" 应为一组键值。',
                    f'"{key}.{name}" must be a mapping of keys and values.',
                )
                found.add("wrong-type", value.values_at[name], zh, en)


def _templates(parts: list[YamlMapping], found: Findings) -> YamlMapping:
    result = YamlMapping(parts[0].values_at["templates"])
    for owner, name, table in _mappings(parts, "templates", found):
        if name in result:
            first = result.keys_at[name]
            zh = f"模板 {name!r} 重复了（{first} 已有），请改名或删去一个。"
            en = f"the template {name!r} is written twice (first at {first}); rename or remove one."
            found.add("duplicate-template", owner.keys_at[name], zh, en)
        else:
            result.take(owner, name, table)
    return result


def _defaults(parts: list[YamlMapping], found: Findings) -> YamlMapping:
    """Key by key; what the including file says wins."""
    result = YamlMapping(parts[0].values_at["defaults"])
    for owner, name, table in _mappings(parts, "defaults", found):
        earlier = result.get(name)
        result.take(
            owner, name, merged(table.place, table, earlier) if earlier is not None else table
        )
    return result
