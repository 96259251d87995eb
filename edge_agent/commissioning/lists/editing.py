"""New tags into the text of a configuration, line by line: comments, order and layout stay as
somebody wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from edge_agent.commissioning.stub_note import without_stub_note
from edge_agent.config.dump import inline
from edge_agent.errors import FindingsError

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OTHER_BREAKS = ("\x85", "\u2028", "\u2029")
_Pair = tuple[yaml.Node, yaml.Node]


@dataclass(slots=True)
class Edited:
    """The text after an edit, and which of its lines hold which tag (lines count from 1)."""

    text: str
    lines: dict[int, str] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


class NotEditableError(ValueError):
    """Why a text is not edited, Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


def device_node(text: str, device: str) -> yaml.MappingNode | None:
    """The mapping of a device of this text; None when it has none of that id (one with a `for` has
    a pattern)."""
    top = yaml.compose(text, Loader=_Loader)
    for key, value in _pairs(top):
        if getattr(key, "value", None) == "devices" and isinstance(value, yaml.SequenceNode):
            for item in value.value:
                if _text_of(item, "id") == device and isinstance(item, yaml.MappingNode):
                    return item
    return None


def append_devices(text: str, blocks: Sequence[Sequence[str]]) -> str:
    """The text with further devices behind those that it has. A block: the lines of one, from
    column 0 on, its comments before it.

    Raises NotEditableError for devices in brackets, or an alias.
    """
    return _Editor(text).append_devices(blocks)


def insert_keys(text: str, device: str, keys: Mapping[str, Any]) -> str:
    """The text with further keys behind the first one of a device. Raises NotEditableError as
    `insert`."""
    node = _editable(text, device)
    return _Editor(text).insert_keys(node, keys) if keys else text


def insert_into(text: str, device: str, key: str, keys: Mapping[str, Any]) -> str:
    """The text with further entries in the mapping `key` of a device. Raises NotEditableError as
    `insert`, and for a mapping that is not written in braces on one line."""
    found = _find(_editable(text, device), key)
    value = found[1] if found is not None else None
    if (
        found is None
        or not isinstance(value, yaml.MappingNode)
        or not value.flow_style
        or _is_alias(found)
    ):
        shown = inline(dict(keys))
        raise NotEditableError(
            f"设备 {device!r} 的 {key} 还缺 {shown}，它不是写在一行花括号里的，请手工补上。",
            f"{key} of {device!r} lacks {shown}, and is not written in braces on one line: add "
            "it by hand.",
        )
    at = value.end_mark.index - 1
    fresh = inline(dict(keys))[1:-1]
    return text[:at].rstrip() + (", " if value.value else "") + fresh + text[at:]


def with_placeholders(text: str, tags: Mapping[str, Mapping[str, Any]]) -> str:
    """The text with a tag at each device that has none, so that what else it says can be judged.

    `tags`: connector -> the entries of `tags`.
    """
    top = yaml.compose(text, Loader=_Loader)
    for key, value in _pairs(top):
        if getattr(key, "value", None) == "devices" and isinstance(value, yaml.SequenceNode):
            for item in value.value:
                named = _text_of(item, "id")
                connector = _text_of(item, "connector")
                if (
                    named is not None
                    and connector is not None
                    and connector in tags
                    and _has_no_tags(item)
                ):
                    text = insert(text, named, tags[connector]).text
    return text


def _has_no_tags(device: yaml.Node) -> bool:
    if (
        not isinstance(device, yaml.MappingNode)
        or _find(device, "template")
        or _find(device, "profile")
    ):
        return False
    found = _find(device, "tags")
    return found is None or not found[1].value


def insert(text: str, device: str, tags: Mapping[str, Mapping[str, Any]]) -> Edited:
    """The text with these tags at the device; those that it writes already are replaced.

    Raises NotEditableError where that would change more than this device, or is not to be read as
    lines.
    """
    node = _editable(text, device)
    found = _find(node, "tags")
    if found is not None and _is_alias(found):
        raise NotEditableError(
            f"设备 {device!r} 的 tags 引用了别处的内容（*锚点），改它会影响其他设备；"
            "请先写成自己的 tags。",
            f"the tags of {device!r} are an alias (*anchor), and a change would reach other "
            "devices; give it tags of "
            "its own first.",
        )
    return _Editor(text).insert(node, found, tags)


def _editable(text: str, device: str) -> yaml.MappingNode:
    """The device of a text that may be edited by lines."""
    node = device_node(text, device)
    if node is None:
        raise NotEditableError(
            f"文件里没有 id 为 {device!r} 的设备（由 for 或模板生成的设备要先写成单独一条）。",
            f"the file has no device with the id {device!r} (write one that a `for` makes as an "
            "entry first).",
        )
    return node


class _Editor:
    def __init__(self, text: str) -> None:
        if any(sign in text for sign in _OTHER_BREAKS):
            raise NotEditableError(
                "文件里有不常见的换行符（U+0085、U+2028 等），无法逐行修改；请先去掉。",
                "the file has unusual line breaks (U+0085, U+2028 or the like), and is edited by "
                "lines; remove them "
                "first.",
            )
        self._text = text
        self._entries: dict[str, str] = {}
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._lines = text.split(self._newline)

    def append_devices(self, blocks: Sequence[Sequence[str]]) -> str:
        top = yaml.compose(self._text, Loader=_Loader)
        found = (
            None
            if top is None
            else _find(top, "devices")
            if isinstance(top, yaml.MappingNode)
            else None
        )
        if found is None:
            while self._lines and not self._lines[-1].strip():
                self._lines.pop()
            return self._with_blocks(len(self._lines), 2, blocks, ["devices:"])
        key, value = found
        if (
            isinstance(value, yaml.SequenceNode)
            and value.value
            and not value.flow_style
            and not _is_alias(found)
        ):
            return self._with_blocks(_end_line(key, value) + 1, value.start_mark.column, blocks, [])
        empty = (
            value.value == []
            if isinstance(value, yaml.SequenceNode)
            else value.value in ("", "~", "null")
        )
        if not empty or _is_alias(found) or value.end_mark.line != key.start_mark.line:
            raise NotEditableError(
                "devices 写在方括号里或引用了别处（*锚点），无法逐行添加；请改成每台设备以“- "
                "id:”开头的写法。",
                "`devices` is in brackets or an alias, and cannot get lines; write each device "
                "as `- id: ...`.",
            )
        line = key.start_mark.line
        head = self._lines[line]
        if value.end_mark.column > value.start_mark.column:
            self._lines[line] = head[: value.start_mark.column].rstrip() + _comment(
                head, value.end_mark.column
            )
        return self._with_blocks(line + 1, 2, blocks, [])

    def _with_blocks(
        self, at: int, indent: int, blocks: Sequence[Sequence[str]], before: Sequence[str]
    ) -> str:
        fresh = [*before, *(" " * indent + line for block in blocks for line in block)]
        self._lines[at:at] = fresh
        if at + len(fresh) == len(self._lines):
            self._lines.append("")
        return self._newline.join(self._lines)

    def insert_keys(self, device: yaml.MappingNode, keys: Mapping[str, Any]) -> str:
        if device.flow_style:
            return self._at_the_end_of(device, keys, list(keys)).text
        first = device.value[0]
        at = _end_line(*first) + 1
        blank = " " * first[0].start_mark.column
        self._lines[at:at] = [f"{blank}{key}: {inline(value)}" for key, value in keys.items()]
        if "profile" in keys:
            without_stub_note(self._lines, device.start_mark.line)
        return self._newline.join(self._lines)

    def insert(
        self, device: yaml.MappingNode, found: _Pair | None, tags: Mapping[str, Mapping[str, Any]]
    ) -> Edited:
        self._entries = {name: _entry(name, keys) for name, keys in tags.items()}
        if found is None:
            return self._no_stub(device, self._new_section(device, tags), tags)
        key, value = found
        if isinstance(value, yaml.MappingNode) and value.value:
            return self._in_flow(value, tags) if value.flow_style else self._in_block(value, tags)
        if not isinstance(value, yaml.MappingNode) and getattr(value, "value", "") not in (
            "",
            "~",
            "null",
        ):
            raise NotEditableError("tags 应为一组键值。", "`tags` must be a mapping.")
        return self._no_stub(device, self._fill_empty(key, value, tags), tags)

    def _no_stub(
        self, device: yaml.MappingNode, edited: Edited, tags: Mapping[str, Mapping[str, Any]]
    ) -> Edited:
        """Without the comment that says how the device gets tags, now that it has them."""
        if without_stub_note(self._lines, device.start_mark.line):
            return self._numbered(edited, tags)
        return edited

    def _new_section(
        self, device: yaml.MappingNode, tags: Mapping[str, Mapping[str, Any]]
    ) -> Edited:
        if device.flow_style:
            return self._at_the_end_of(device, {"tags": dict(tags)}, list(tags))
        indent = device.value[0][0].start_mark.column
        return self._after(_last_line(device), indent, tags, section=True)

    def _in_block(self, mapping: yaml.MappingNode, tags: Mapping[str, Mapping[str, Any]]) -> Edited:
        places = {str(key.value): (key, value) for key, value in mapping.value}
        old = [name for name in tags if name in places]
        new = {name: keys for name, keys in tags.items() if name not in places}
        indent = mapping.value[0][0].start_mark.column
        last = _last_line(mapping)
        edited = self._after(last, indent, new, section=False) if new else Edited("")
        edited.replaced = old
        shift: dict[int, int] = {}
        for name in sorted(old, key=lambda name: places[name][0].start_mark.line, reverse=True):
            key, value = places[name]
            first = key.start_mark.line
            end = _end_line(key, value)
            if "anchor" in _anchors(self._lines[first : end + 1]):
                raise NotEditableError(
                    f"变量 {name!r} 带有锚点或别名，请手工修改。",
                    f"the tag {name!r} has an anchor or alias; change it by hand.",
                )
            comment = _comment(
                self._lines[end], value.end_mark.column if end == value.end_mark.line else None
            )
            self._lines[first : end + 1] = [" " * indent + self._entries[name] + comment]
            shift[first] = end - first
        return self._numbered(edited, tags)

    def _numbered(self, edited: Edited, tags: Mapping[str, Mapping[str, Any]]) -> Edited:
        """Where the tags are in the text as it is now."""
        wanted = {self._entries[name]: name for name in tags}
        edited.lines = {
            number: name
            for number, line in enumerate(self._lines, 1)
            for entry, name in _starting(line.lstrip(), wanted)
            if entry
        }
        edited.text = self._newline.join(self._lines)
        return edited

    def _after(
        self, line: int, indent: int, tags: Mapping[str, Mapping[str, Any]], *, section: bool
    ) -> Edited:
        """New lines behind a line; with `section` below a `tags:` of their own."""
        blank = " " * indent
        inner = blank + "  " if section else blank
        fresh = ([f"{blank}tags:"] if section else []) + [
            inner + self._entries[name] for name in tags
        ]
        self._lines[line + 1 : line + 1] = fresh
        if line + 1 + len(fresh) == len(self._lines):
            self._lines.append("")  # the last line had no end
        return self._numbered(Edited("", added=list(tags)), tags)

    def _fill_empty(
        self, key: yaml.Node, value: yaml.Node, tags: Mapping[str, Mapping[str, Any]]
    ) -> Edited:
        """`tags:`, `tags: {}` or `tags: null`."""
        line = key.start_mark.line
        indent = key.start_mark.column
        head = self._lines[line]
        if value.end_mark.line == line and value.end_mark.column > value.start_mark.column:
            self._lines[line] = head[: value.start_mark.column].rstrip() + _comment(
                head, value.end_mark.column
            )
        return self._after(line, indent + 2, tags, section=False)

    def _in_flow(self, mapping: yaml.MappingNode, tags: Mapping[str, Mapping[str, Any]]) -> Edited:
        places = {str(key.value) for key, _ in mapping.value}
        doubled = [name for name in tags if name in places]
        if doubled:
            raise NotEditableError(
                f"tags 写在大括号里，其中已有 {doubled[0]!r}；请手工修改，或改成每行一个变量。",
                f"the tags are in braces and have {doubled[0]!r} already; change it by hand, or "
                "give each a line.",
            )
        return self._at_the_end_of(mapping, dict(tags), list(tags))

    def _at_the_end_of(
        self, mapping: yaml.MappingNode, more: Mapping[str, Any], names: list[str]
    ) -> Edited:
        """Entries before the closing brace."""
        line = mapping.end_mark.line
        column = mapping.end_mark.column - 1
        before = self._lines[line][:column].rstrip()
        after = self._lines[line][column:]
        if not before.strip():  # the brace has a line of its own
            line -= 1
            self._lines[line] = self._lines[line].rstrip().removesuffix(",") + ","
            self._lines.insert(line + 1, " " * (column + 2) + inline(dict(more))[1:-1])
            place = line + 2
        else:
            separator = "" if before.endswith("{") else " " if before.endswith(",") else ", "
            self._lines[line] = before + separator + inline(dict(more))[1:-1] + after
            place = line + 1
        return Edited(
            self._newline.join(self._lines),
            {place: names[0]} if len(names) == 1 else {},
            added=names,
        )


def _entry(name: str, keys: Mapping[str, Any]) -> str:
    return f"{inline(name)}: {inline(dict(keys))}"


def _starting(line: str, wanted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if line in wanted:
        yield line, wanted[line]
        return
    code = line.split(" #", 1)[0].rstrip()
    if code in wanted:
        yield code, wanted[code]


def _comment(line: str, column: int | None) -> str:
    """The comment behind a value on its line, with a blank before it."""
    rest = "" if column is None else line[column:].strip()
    return f"  {rest}" if rest.startswith("#") else ""


def _anchors(lines: list[str]) -> set[str]:
    try:
        events = list(yaml.parse("\n".join(lines), Loader=_Loader))
    except yaml.YAMLError:
        return {"anchor"}
    return {"anchor" for event in events if getattr(event, "anchor", None)}


def _pairs(node: yaml.Node | None) -> list[_Pair]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _find(node: yaml.MappingNode, name: str) -> _Pair | None:
    return next(
        ((key, value) for key, value in node.value if getattr(key, "value", None) == name), None
    )


def _text_of(node: yaml.Node, name: str) -> str | None:
    found = _find(node, name) if isinstance(node, yaml.MappingNode) else None
    return None if found is None else str(found[1].value)


def _is_alias(pair: _Pair) -> bool:
    """Whether the value was written elsewhere: an alias is the node of its anchor."""
    return bool(pair[1].start_mark.index < pair[0].start_mark.index)


def _last_line(mapping: yaml.MappingNode) -> int:
    """The line (from 0) on which the last entry of a block mapping ends, whatever comments
    follow."""
    return _end_line(*mapping.value[-1])


def _end_line(key: yaml.Node, value: yaml.Node) -> int:
    if _is_alias((key, value)):
        return int(key.end_mark.line)
    if isinstance(value, yaml.CollectionNode) and value.value and not value.flow_style:
        last = value.value[-1]
        return (
            _end_line(*last)
            if isinstance(last, tuple)
            else _end_line(key if value is last else value, last)
        )
    if isinstance(value, yaml.ScalarNode) and value.style in ("|", ">"):
        return (
            int(value.end_mark.line) - 1 if value.end_mark.column == 0 else int(value.end_mark.line)
        )
    return int(value.end_mark.line)


def refuse(error: NotEditableError, place: str) -> FindingsError:
    """The error as a finding."""
    return FindingsError.one("not-editable", error.zh, error.en, place)
