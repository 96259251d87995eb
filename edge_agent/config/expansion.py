"""`template:` and `for:`: a few lines that stand for many devices, or for many tags.

`for: {i: 1..100}` repeats a device, or inside `tags` a tag, with `{i}` filled in wherever it stands
in a text; several variables give every combination. Substitution shares what holds no variable, so
a thousand equal devices hold one copy of their tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.config.filling import Filling, combinations, looks_like_loops
from edge_agent.config.findings import Findings, advice, nearest
from edge_agent.config.places import YamlMapping, YamlSequence, merged

MAX_DEVICES: Final = 10_000
MAX_TAGS: Final = 500_000
MAX_TAGS_OF_A_DEVICE: Final = 20_000


@dataclass(frozen=True, slots=True)
class RawDevice:
    """One device as written, template applied and variables filled in."""

    table: YamlMapping
    whole: bool
    """False when a part of it could not be found, so that what is missing is not to be held against
    it."""


def devices(site: YamlMapping, found: Findings) -> list[RawDevice]:
    """All devices of a site, in the order written."""
    templates = _Templates(site.get("templates") or YamlMapping(site.place), found)
    result: list[RawDevice] = []
    tags = 0
    written = site.get("devices") or YamlSequence(site.place)
    for item, at in zip(written, written.at, strict=True):
        if not isinstance(item, YamlMapping):
            zh, en = (
                "每台设备应为一组键值（id, connector, ...）。",
                "each device must be a mapping (id, connector, ...).",
            )
            found.add("wrong-type", at, zh, en)
            continue
        device = templates.apply(item)
        for one in _repeat(device, found):
            result.append(one)
            tags += _size(one.table.get("tags"))
        if len(result) > MAX_DEVICES or tags > MAX_TAGS:
            zh = f"设备超过 {MAX_DEVICES} 台或变量超过 {MAX_TAGS} 个，请分成几个采集器。"
            en = (
                f"more than {MAX_DEVICES} devices or {MAX_TAGS} tags; split them over several "
                "agents."
            )
            found.add("too-large", at, zh, en)
            break
    return result


def _size(tags: object) -> int:
    return len(tags) if isinstance(tags, YamlMapping) else 0


def combine(base: YamlMapping, over: YamlMapping) -> YamlMapping:
    """A device laid over its template (or profile): keys replace, `tags` tag by tag and key by key.

    Null for a tag that the base has leaves it out.
    """
    result = merged(over.place, base, over)
    below = base.get("tags")
    above = over.get("tags")
    if isinstance(below, YamlMapping) and isinstance(above, YamlMapping):
        tags = merged(above.place, below, above)
        for name in above:
            if isinstance(above[name], YamlMapping) and isinstance(below.get(name), YamlMapping):
                tags[name] = merged(above[name].place, below[name], above[name])
            elif above[name] is None and name in below:
                tags.drop(name)
        result["tags"] = tags
    return result


class _Templates:
    """The templates of a site; the tags of one are written out once for all its devices."""

    def __init__(self, templates: YamlMapping, found: Findings) -> None:
        self._templates = templates
        self._found = found
        self._written_out: dict[tuple[str, frozenset[str] | None], YamlMapping] = {}

    def apply(self, item: YamlMapping) -> RawDevice:
        """The device laid over the template it names, the tags of both written out."""
        name = item.get("template")
        later = _variables(item)
        own = with_tags_written_out(_without(item, "template"), self._found, later)
        if name is None:
            return RawDevice(own, whole=True)
        known = name if isinstance(name, str) and name in self._templates else None
        if known is None:
            zh, en = advice(name, self._templates)
            zh, en = f"没有模板 {name!r}；{zh}", f"no template {name!r}; {en}"
            self._found.add("unknown-template", item.values_at["template"], zh, en)
            # What the device says itself is judged as if the nearest were meant.
            near = nearest(name, self._templates)
            return RawDevice(
                own if near is None else combine(self._template(near, later), own), whole=False
            )
        return RawDevice(combine(self._template(known, later), own), whole=True)

    def _template(self, name: str, later: frozenset[str] | None) -> YamlMapping:
        key = name, later
        if key not in self._written_out:
            template = self._templates[name]
            for forbidden in ("for", "template"):
                if forbidden in template:
                    zh = f'模板里不能再写 "{forbidden}"，请写在设备上。'
                    en = f'a template cannot hold "{forbidden}"; write it at the device.'
                    self._found.add("unknown-key", template.keys_at[forbidden], zh, en)
            plain = _without(template, "for", "template")
            self._written_out[key] = with_tags_written_out(plain, self._found, later)
        return self._written_out[key]


def _variables(device: YamlMapping) -> frozenset[str] | None:
    """The variables of a device's `for`, which are filled in later; None without one."""
    loops = device.get("for")
    return frozenset(map(str, loops)) if isinstance(loops, YamlMapping) else None


def _without(table: YamlMapping, *keys: str) -> YamlMapping:
    result = table.copy()
    for key in keys:
        result.drop(key)
    return result


def _repeat(device: RawDevice, found: Findings) -> Iterator[RawDevice]:
    table = device.table
    if "for" not in table:
        yield device
        return
    body = _without(table, "for")
    for variables in combinations(table["for"], table.values_at["for"], MAX_DEVICES, found):
        yield RawDevice(Filling(variables, found).table(body), device.whole)


def with_tags_written_out(
    owner: YamlMapping, found: Findings, later: frozenset[str] | None = None
) -> YamlMapping:
    """A device, template, profile or default with every `for` inside its `tags` written out; the
    same object without.

    `later`: the variables of the device's own `for`, which are filled in afterwards.
    """
    tags = owner.get("tags")
    if not isinstance(tags, YamlMapping) or not (
        looks_like_loops(tags.get("for"))
        or any(isinstance(tag, YamlMapping) and "for" in tag for tag in tags.values())
    ):
        return owner
    result = owner.copy()
    written = YamlMapping(tags.place)
    for name, tag in tags.items():
        if name == "for" and looks_like_loops(tag):
            zh = 'for 要写在变量里，如 "t{i}": {for: {i: 1..8}, ...}。'
            en = 'write for inside a tag, as in "t{i}": {for: {i: 1..8}, ...}.'
            found.add("misplaced-for", tags.keys_at[name], zh, en)
        elif isinstance(tag, YamlMapping) and "for" in tag:
            _write_out(name, tag, tags, written, found, later)
        else:
            _enter(written, name, name, tag, tags, found)
    result["tags"] = written
    return result


def _write_out(
    pattern: object,
    tag: YamlMapping,
    tags: YamlMapping,
    into: YamlMapping,
    found: Findings,
    later: frozenset[str] | None,
) -> None:
    """The tags that one entry with a `for` stands for."""
    body = _without(tag, "for")
    at = tags.keys_at[pattern]
    if not isinstance(pattern, str):
        zh, en = (
            "for 生成的变量要有名称，请给键加引号。",
            "tags made by for need names; quote the key.",
        )
        found.add("bad-key", at, zh, en)
        return
    for variables in combinations(tag["for"], tag.values_at["for"], MAX_TAGS_OF_A_DEVICE, found):
        filling = Filling(variables, found, later)
        one = filling.table(body)
        if one is body:
            one = body.copy()
        one.pattern = pattern
        _enter(into, str(filling.text(pattern, at)), pattern, one, tags, found)


def _enter(
    into: YamlMapping,
    name: object,
    pattern: object,
    tag: object,
    tags: YamlMapping,
    found: Findings,
) -> None:
    at = tags.keys_at[pattern]
    if name not in into:
        into.put(name, tag, at, tags.values_at[pattern])
    elif into.keys_at[name] == at:
        zh = f'for 生成的变量名相同（{name!r}），请在名称里写变量，如 "t{{i}}"。'
        en = (
            f"for gives several tags the same name {name!r}; put a variable into it, such as "
            f'"t{{i}}".'
        )
        found.add("duplicate-key", at, zh, en, "name")
    else:
        zh = f"变量名 {name!r} 重复了（第 {into.keys_at[name].line} 行已有），请改名。"
        en = (
            f"the tag name {name!r} is used twice (first in line {into.keys_at[name].line}); "
            "rename one."
        )
        found.add("duplicate-key", at, zh, en, "name")
