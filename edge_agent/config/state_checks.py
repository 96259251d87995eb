"""What the models cannot see in `state:`: tags that are not there, words that are none, rules that
cannot fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edge_agent.config.findings import advice
from edge_agent.config.models import STATE_WORDS, StateComparison, StateGroup, StateMap, StateRule
from edge_agent.config.places import YamlMapping, locate
from edge_agent.config.soundness import SoundFindings

_Path = tuple[object, ...]


def check_state(found: SoundFindings, *, whole: bool) -> None:
    """Judge the `state` of a device. When a part of the device could not be found (`whole` is
    false), its tags are not known, and none is missed."""
    device = found.sound.value
    written = found.written
    # Tags that are faulty are tags all the same; those of a profile that was not found are not
    # known.
    tags = written.get("tags")
    known = (tags if isinstance(tags, YamlMapping) else {}) if whole else None
    for part, (derived, words) in STATE_WORDS.items():
        source = getattr(device.state, part, None)
        if source is None:
            continue
        if derived in (tags or ()):
            zh = f"变量名 {derived!r} 留给由 state 得出的状态，请改名。"
            en = (
                f"the tag name {derived!r} is kept for the state derived by `state`; rename the "
                "tag."
            )
            # also of a faulty tag
            found.found.add("reserved-name", locate(written, "tags", derived), zh, en)
        if isinstance(source, StateMap):
            _tag(source.tag, ("state", part, "tag"), known, found)
            for value, word in source.map.items():
                _word(word, words, ("state", part, "map", value), found)
        else:
            _rules(source, words, ("state", part), known, found)


def _rules(
    rules: list[StateRule],
    words: tuple[str, ...],
    path: _Path,
    known: Mapping[str, Any] | None,
    found: SoundFindings,
) -> None:
    for index, rule in enumerate(rules):
        at = (*path, index)
        _word(rule.gives, words, (*at, "gives"), found)
        for place, asked in _every(rule, at):
            if asked.tag is not None:
                _tag(asked.tag, (*place, "tag"), known, found)
            _sense(asked, place, found, always=asked is rule)


def _every(asked: StateComparison, at: _Path) -> Iterator[tuple[_Path, StateComparison]]:
    """A rule, group or comparison and all it consists of, each with where it is written."""
    yield at, asked
    if isinstance(asked, StateGroup):
        for key in ("all", "any"):
            for index, part in enumerate(getattr(asked, key) or ()):
                yield from _every(part, (*at, key, index))


def _sense(asked: StateComparison, at: _Path, found: SoundFindings, *, always: bool) -> None:
    """Whether it can hold at all, and asks one thing. `always`: without any condition it is a rule
    that always fits."""
    compared = [
        key for key in ("equals", "above", "below", "between") if getattr(asked, key) is not None
    ]
    groups = [key for key in ("all", "any") if getattr(asked, key, None) is not None]
    if len(groups) + (asked.tag is not None) > 1 or (groups and compared):
        zh = "一条条件只能是 tag（及其比较）、all、any 三者之一；请放进 all 或 any 里。"
        en = (
            "a condition is one of: a tag with its comparison, `all`, `any`; put the others "
            "inside `all` or `any`."
        )
        found.add("contradiction", at, zh, en)
    elif asked.tag is not None and not compared:
        zh = (
            f"变量 {asked.tag!r} 没有比较，这条永远不会成立；请写 equals、above、below 或 between。"
        )
        en = (
            f"nothing is asked of {asked.tag!r}, so this never holds; write equals, above, below "
            "or between."
        )
        found.add("missing-key", at, zh, en)
    elif asked.tag is None and compared:
        zh = f'写了 {compared[0]}，缺少键 "tag"，请写出要比较的变量。'
        en = f'{compared[0]} needs the key "tag": write which tag is compared.'
        found.add("missing-key", at, zh, en)
    elif asked.tag is None and not groups and (not always or asked.for_ is not None):
        zh = "这条没有条件；请写 tag、all 或 any。"
        en = "there is no condition here; write tag, all or any."
        found.add("missing-key", at, zh, en)
    for key in groups:
        if not getattr(asked, key):
            zh, en = f"{key} 是空的，请写出条件。", f"`{key}` is empty; write its conditions."
            found.add("missing-key", (*at, key), zh, en)
    if asked.above is not None and asked.below is not None and asked.above >= asked.below:
        zh = f"没有数能大于 {asked.above:g} 又小于 {asked.below:g}；请更正，或分成 any 的两条。"
        en = (
            f"no number is above {asked.above:g} and below {asked.below:g}; correct it, or make "
            "two of it under `any`."
        )
        found.add("contradiction", (*at, "above"), zh, en)


def _tag(name: str, path: _Path, known: Mapping[str, Any] | None, found: SoundFindings) -> None:
    if known is not None and name not in known:
        zh, en = advice(name, known)
        zh, en = (
            f"state 用到的变量 {name!r} 不存在；{zh}",
            f"state uses a tag {name!r} that does not exist; {en}",
        )
        found.add("unknown-tag-name", path, zh, en)


def _word(word: str, words: tuple[str, ...], path: _Path, found: SoundFindings) -> None:
    if word not in words:
        zh, en = advice(word, words)
        zh, en = f"不认识的状态 {word!r}；{zh}", f"unknown state {word!r}; {en}"
        found.add("unknown-value", path, zh, en)
