"""One YAML file into data with places. Bounded in size, depth and alias expansion; whatever is
wrong is a finding."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import Final, NamedTuple

import yaml

from edge_agent.config.findings import Findings, advice
from edge_agent.config.places import FilePosition, SecretReference, YamlMapping, YamlSequence
from edge_agent.config.scalars import plain
from edge_agent.config.syntax import Stop, causes, explain
from edge_agent.config.width import finding, full_width, key_like, positions
from edge_agent.reasons import words_of

MAX_BYTES: Final = 2_000_000
MAX_DEPTH: Final = 40
MAX_NODES: Final = 500_000
"""Values of one file with every alias written out, so that a few lines of aliases cannot become
gigabytes."""

# libyaml is about 20 times as fast; every PyYAML wheel has it, a source build may not.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT: Final = "tag:yaml.org,2002:str"
_TOO_DEEP: Final = (
    f"嵌套超过 {MAX_DEPTH} 层，请检查括号。",
    f"nested deeper than {MAX_DEPTH}; check the brackets.",
)
_TAGS: Final = ("!env", "!file")
_WRONG_QUOTES: Final = re.compile("[“”„＂「‘’＇][^“”„＂「」‘’＇]*[“”＂」‘’＇]")


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, code: str, place: FilePosition, zh: str, en: str) -> None:
        super().__init__(code)
        self.finding = (code, place, zh, en)


def read(path: Path, found: Findings) -> YamlMapping | None:
    """The mapping a YAML file holds, or None with the reason in `found`."""
    text = ""
    try:
        text = _text(path)
        return _document(path, text, found)
    except _Refused as error:
        found.add(*error.finding)
    except yaml.YAMLError as error:
        told, mended = causes(path, text, error, _parsed)
        for one in told:
            found.add(*one)
        if told:
            return None if mended is None else _judged(path, mended, found)
        place, zh, en = explain(path, text, error)
        # newer libyaml looks ahead, and has a bound of its own
        if "maximum nesting depth" in str(error):
            found.add("too-deep", place, *_TOO_DEEP)
        else:
            found.add("yaml-syntax", place, zh, en)
    return None


def _judged(path: Path, text: str, found: Findings) -> YamlMapping | None:
    """What a text holds whose slips are told already."""
    try:
        return _document(path, text, found)
    except _Refused as error:
        found.add(*error.finding)
        return None


def _parsed(text: str) -> Stop | None:
    """Where a text stops being YAML; None when it is YAML to its end."""
    try:
        for _ in yaml.parse(text, Loader=_Loader):
            pass
    except yaml.YAMLError as error:
        marks = (getattr(error, name, None) for name in ("problem_mark", "context_mark"))
        at, began = ((0, 0) if mark is None else (mark.line, mark.column) for mark in marks)
        return Stop(at, began)
    return None


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise _Refused(
            "not-utf8",
            FilePosition(path, line, column),
            "文件不是 UTF-8 编码，请在编辑器中另存为 UTF-8。",
            "the file is not UTF-8; save it as UTF-8 in your editor.",
        ) from error


def _bytes(path: Path) -> bytes:
    place = FilePosition(path)
    # os.path and not pathlib: it answers False for a name the file system cannot even look up.
    if os.path.isdir(path):
        raise _Refused(
            "is-a-directory",
            place,
            "这是文件夹，请给出 YAML 文件。",
            "this is a folder; name a YAML file.",
        )
    # a fifo or a device would block or never end
    if os.path.exists(path) and not os.path.isfile(path):
        zh, en = "这不是普通文件，请给出 YAML 文件。", "not a regular file; name a YAML file."
        raise _Refused("not-a-file", place, zh, en)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        zh, en = "没有这个文件，请检查路径。", "there is no such file; check the path."
        raise _Refused("no-file", place, zh, en) from None
    except (OSError, ValueError) as error:
        why_zh, why_en = words_of(error)
        zh = f"文件读不出来（{why_zh}），请检查路径和权限。"
        en = f"the file cannot be read ({why_en}); check its path and permissions."
        raise _Refused("unreadable-file", place, zh, en) from None
    if len(data) > MAX_BYTES:
        limit = MAX_BYTES // 1_000_000
        raise _Refused(
            "too-large",
            place,
            f"文件超过 {limit} MB，请用 for 和 include 拆小。",
            f"the file is larger than {limit} MB; use for and include to make it smaller.",
        )
    return data


def _document(path: Path, text: str, found: Findings) -> YamlMapping:
    builder = _TreeBuilder(path, text, yaml.parse(text, Loader=_Loader), found)
    value = builder.document()
    if isinstance(value, YamlMapping):
        return value
    if value is None:
        zh, en = (
            "文件是空的；至少要有 agent 和 mqtt。",
            "the file is empty; it needs at least agent and mqtt.",
        )
        raise _Refused("empty-file", FilePosition(path), zh, en)
    if isinstance(value, str) and (told := full_width(value, FilePosition(path))) is not None:
        line = next(n for n, one in enumerate(text.split("\n"), 1) if positions(one))
        column = positions(text.split("\n")[line - 1])[0] + 1
        raise _Refused(told[0], FilePosition(path, line, column), told[2], told[3])
    zh = "文件的最外层应为“键: 值”，请对照 configs/examples 中的样例。"
    en = "the file must hold `key: value` at its top level; compare with configs/examples."
    raise _Refused("not-a-mapping", FilePosition(path), zh, en)


class _Built(NamedTuple):
    value: object
    size: int
    """Values in it, aliases written out."""
    height: int


class _TreeBuilder:
    """Data from parser events; the parser's own composer would recurse as deep as the file says."""

    def __init__(
        self, path: Path, text: str, events: Iterator[yaml.Event], found: Findings
    ) -> None:
        self._path = path
        self._text = text
        self._events = events
        self._found = found
        self._anchors: dict[str, _Built | None] = {}
        self._size = 0

    def document(self) -> object:
        """The value of the only document; None for an empty stream."""
        value: object = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    zh, en = (
                        "一个文件只能有一份文档，请删去多余的 `---`。",
                        "one document per file; remove the extra `---`.",
                    )
                    raise _Refused("several-documents", self._at(event), zh, en)
                value = self._node(next(self._events), 0).value
        return value

    def _at(self, event: yaml.Event) -> FilePosition:
        mark = event.start_mark
        return (
            FilePosition(self._path)
            if mark is None
            else FilePosition(self._path, mark.line + 1, mark.column + 1)
        )

    def _node(self, event: yaml.Event, depth: int) -> _Built:
        if isinstance(event, yaml.AliasEvent):
            built = self._alias(event, depth)
        else:
            anchor = getattr(event, "anchor", None)
            if anchor is not None:
                self._anchors[anchor] = None  # open: an alias to it from inside would be endless
            built = self._collection_or_scalar(event, depth)
            if anchor is not None:
                self._anchors[anchor] = built
        return built

    def _alias(self, event: yaml.AliasEvent, depth: int) -> _Built:
        name = event.anchor
        if name not in self._anchors:
            zh, en = advice(name, self._anchors)
            raise _Refused(
                "unknown-alias",
                self._at(event),
                f"没有名为 {name!r} 的锚点；{zh}",
                f"no anchor {name!r}; {en}",
            )
        built = self._anchors[name]
        if built is None:
            zh, en = (
                f"别名 *{name} 引用了自身，请改写。",
                f"the alias *{name} contains itself; write it out.",
            )
            raise _Refused("endless-alias", self._at(event), zh, en)
        self._bound(event, built.size, depth + built.height)
        return built

    def _bound(self, event: yaml.Event, size: int, depth: int) -> None:
        self._size += size
        if self._size > MAX_NODES:
            zh = f"展开别名后超过 {MAX_NODES} 个值，请减少别名。"
            en = f"more than {MAX_NODES} values once aliases are written out; use fewer of them."
            raise _Refused("too-large", self._at(event), zh, en)
        if depth > MAX_DEPTH:
            raise _Refused("too-deep", self._at(event), *_TOO_DEEP)

    def _collection_or_scalar(self, event: yaml.Event, depth: int) -> _Built:
        self._bound(event, 1, depth)
        if isinstance(event, yaml.ScalarEvent):
            return _Built(self._scalar(event), 1, 0)
        if getattr(event, "tag", None) not in (None, "!"):
            self._unknown_tag(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(event, depth)
        return self._sequence(event, depth)

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        text = intern(event.value)  # the same few words stand in every tag
        if event.tag == "!env" or event.tag == "!file":
            if not text.strip():
                zh = f"{event.tag} 后面要写名称。"
                en = f"write a name after {event.tag}."
                self._found.add("empty-tag", self._at(event), zh, en)
            return SecretReference("!env" if event.tag == "!env" else "!file", text.strip())
        if event.tag in ("!", _TEXT):
            return text
        if event.tag is not None:
            self._unknown_tag(event)
        if not event.implicit[0]:
            return text
        if _WRONG_QUOTES.fullmatch(text):
            self._wrong_quotes(event, text)
        elif "：" in text and event.start_mark is not None and event.end_mark is not None:
            self._swallowed_keys(event.start_mark.line + 1, event.end_mark.line)
        return plain(text)

    def _swallowed_keys(self, first: int, last: int) -> None:
        """Lines that look like `key：value` and became part of the text above them; lines count
        from 0."""
        for line, column in key_like(self._text.split("\n"), first, last):
            self._found.add(*finding("：", FilePosition(self._path, line + 1, column + 1)))

    def _wrong_quotes(self, event: yaml.ScalarEvent, text: str) -> None:
        """Somebody meant quotes, and they would be part of the text."""
        zh = (
            f'这里的 {text[0]} {text[-1]} 不是 YAML 的引号：请改成半角引号 "；若要保留，'
            "请在外面再加半角引号。"
        )
        en = (
            f'{text[0]} and {text[-1]} are no quotation marks of YAML: write plain ones ", or '
            "put plain ones around"
            " to keep these."
        )
        self._found.add("full-width", self._at(event), zh, en)

    def _unknown_tag(self, event: yaml.Event) -> None:
        tag = str(getattr(event, "tag", ""))
        zh, en = advice(tag, _TAGS)
        self._found.add(
            "unknown-tag",
            self._at(event),
            f"不认识的标签 {tag!r}；{zh}",
            f"unknown tag {tag!r}; {en}",
        )

    def _sequence(self, start: yaml.Event, depth: int) -> _Built:
        items = YamlSequence(self._at(start))
        size = 1
        height = 0
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            item = self._node(event, depth + 1)
            items.add(item.value, self._at(event))
            size = size + item.size
            height = max(height, item.height + 1)
        return _Built(items, size, height)

    def _mapping(self, start: yaml.Event, depth: int) -> _Built:
        table = YamlMapping(self._at(start))
        size = 1
        height = 0
        inherited: list[tuple[yaml.Event, object]] = []
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, depth + 1).value
            value_event = next(self._events)
            item = self._node(value_event, depth + 1)
            size = size + item.size + 1
            height = max(height, item.height + 1)
            if key == "<<" and isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
                inherited.append((value_event, item.value))
            else:
                self._entry(table, key, event, item.value, self._at(value_event))
        for event, value in inherited:
            self._inherit(table, event, value)
        return _Built(table, size, height)

    def _entry(
        self,
        table: YamlMapping,
        key: object,
        event: yaml.Event,
        value: object,
        value_at: FilePosition,
    ) -> None:
        at = self._at(event)
        if not isinstance(key, str | int | float):  # bool is an int
            zh = "键必须是名称或数字，请加引号或检查缩进。"
            en = "a key must be a name or a number; quote it or check the indentation."
            self._found.add("bad-key", at, zh, en)
        elif key in table:
            first = table.keys_at[key].line
            zh = f"键 {key!r} 重复了（第 {first} 行已有），请删去一个。"
            en = f"the key {key!r} is written twice (first in line {first}); remove one."
            self._found.add("duplicate-key", at, zh, en)
        else:
            table.put(key, value, at, value_at)

    def _inherit(self, table: YamlMapping, event: yaml.Event, value: object) -> None:
        """`<<: *anchor`: entries the mapping does not have itself."""
        sources = value if isinstance(value, YamlSequence) else [value]
        for source in sources:
            if not isinstance(source, YamlMapping):
                zh = "`<<` 后面应引用一组键值。"
                en = "`<<` must refer to a mapping."
                self._found.add("bad-merge", self._at(event), zh, en)
                continue
            for key in [key for key in source if key not in table]:
                table.take(source, key, source[key])
