"""pydantic's error list as plain sentences with places. Its own text, and the values of secrets,
are never shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from edge_agent.config import shape
from edge_agent.config.findings import Findings, advice, nearest
from edge_agent.config.places import FilePosition, YamlMapping, YamlSequence, pattern_of, place_of
from edge_agent.config.secrets import shown
from edge_agent.config.suggestions import meant
from edge_agent.config.width import full_width

Sentence = tuple[str, str]
_Path = tuple[Any, ...]

#: pydantic's error type -> what was expected.
_EXPECTED: dict[str, Sentence] = {
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
        ("整数", "a whole number"),
    ),
    **dict.fromkeys(("float_type", "float_parsing"), ("数字", "a number")),
    "finite_number": ("有限的数字", "a finite number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), ("true 或 false", "true or false")),
    **dict.fromkeys(("string_type", "string_sub_type", "path_type"), ("文字", "text")),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        ("一组键值（键: 值）", "a mapping (key: value)"),
    ),
    **dict.fromkeys(
        ("list_type", "tuple_type", "set_type", "frozen_set_type"), ("列表 [a, b]", "a list [a, b]")
    ),
    **dict.fromkeys(("none_required",), ("空", "nothing")),
    "deadband": (
        "从 0 起的数字或百分数，如 0.5、1%",
        "a number from 0, or a percentage such as 1%",
    ),
    "duration": ("时长，如 100ms、1s、5m", "a duration such as 100ms, 1s or 5m"),
}
#: Errors of values that may hold any character.
_FREE = {"said", "string_too_long", "string_too_short"}
_NUMBER_TYPES = {"float_type", "float_parsing"}
_CONTAINER_TYPES = {
    "dict_type",
    "model_type",
    "model_attributes_type",
    "list_type",
    "tuple_type",
    "dataclass_type",
}

#: Error type -> context key and sign.
_BOUNDS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", "≥"),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "≤"),
    "multiple_of": ("multiple_of", "×"),
}

#: The beginning of a pattern in the models -> what it means.
_PATTERNS: tuple[tuple[str, Sentence], ...] = (
    (
        r"^mqtts?://",
        (
            "mqtt://主机:端口 或 mqtts://主机:端口（账号另写 username、password）",
            "mqtt://host:port or mqtts://host:port (user and password have keys of their own)",
        ),
    ),
    (
        r"^https?://",
        ("http://主机:端口 或 https://主机:端口", "http://host:port or https://host:port"),
    ),
    (r"^opc\.tcp://", ("opc.tcp://主机:端口", "opc.tcp://host:port")),
)


@dataclass(frozen=True, slots=True)
class LocatedError:
    """One error of pydantic's, brought onto the written data."""

    path: _Path
    """The keys and indexes that exist in the data."""
    rest: _Path
    """What follows in pydantic's location and is not in the data: a missing key."""
    union: tuple[_Path, str] | None
    """The place and the label of the outermost alternative this error belongs to."""
    type: str
    ctx: Mapping[str, Any]
    key: bool = False
    """Whether it is the key at `path` that is wrong, and not its value."""


def validated(
    model: type[BaseModel],
    data: YamlMapping,
    written: YamlMapping,
    found: Findings,
    *,
    whole: bool = True,
) -> Any:
    """An instance of the model, or None with everything wrong in `found`.

    `data` is what is validated, `written` the same before secrets were filled in, for places and
    quotations. When the data is known to be incomplete (`whole` is false), missing keys are not
    told.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        errors = [
            located(one, written) for one in error.errors(include_url=False, include_input=False)
        ]
    _Explainer(model, written, found, whole).report(errors)
    return None


def located(error: Any, written: object) -> LocatedError:
    """An error of pydantic's on the data it speaks of."""
    path: list[Any] = []
    union: tuple[_Path, str] | None = None
    current: object = written
    location = error["loc"]
    for index, part in enumerate(location):
        if (isinstance(current, dict) and part in current) or (
            isinstance(current, list) and isinstance(part, int) and part < len(current)
        ):
            current = current[part]
            path.append(part)
        elif error["type"] == "missing" and index == len(location) - 1:
            return LocatedError(tuple(path), (part,), union, "missing", {})
        elif isinstance(part, str) and part != "[key]" and union is None:
            union = (tuple(path), part)
    return LocatedError(
        tuple(path), (), union, error["type"], error.get("ctx") or {}, location[-1:] == ("[key]",)
    )


class _Explainer:
    def __init__(
        self, model: type[BaseModel], written: YamlMapping, found: Findings, whole: bool
    ) -> None:
        self._model = model
        self._written = written
        self._found = found
        self._whole = whole

    def report(self, errors: Sequence[LocatedError]) -> None:
        errors = likely(errors)
        typed = {(*e.path[:-1], self._guess(e.path)) for e in errors if e.type == "extra_forbidden"}
        groups: dict[tuple[_Path, bool], list[LocatedError]] = {}
        for error in errors:
            groups.setdefault((error.path + error.rest, error.key), []).append(error)
        for (path, key), group in groups.items():
            if key:
                self._wrong_key(path, group)
            elif group[0].type == "extra_forbidden":
                self._unknown(path)
            elif group[0].type == "missing":
                # A misspelt key is told once, as unknown, and not a second time as missing.
                if self._whole and path not in typed:
                    self._missing(group[0])
            else:
                self._wrong(path, group)

    def _at(self, path: _Path, *, key: bool = False) -> FilePosition:
        container: Any = self._written
        for part in path[:-1]:
            container = container[part]
        if not path:
            return self._written.place
        if key and isinstance(container, YamlMapping):
            return container.keys_at[path[-1]]
        return (
            place_of(container, path[-1])
            if isinstance(container, YamlMapping | YamlSequence)
            else self._written.place
        )

    def _value(self, path: _Path) -> Any:
        value: Any = self._written
        for part in path:
            value = value[part]
        return value

    def _known(self, path: _Path) -> tuple[str, ...]:
        return shape.known_keys(self._model, path)

    def _guess(self, path: _Path) -> str | None:
        return nearest(path[-1], self._known(path[:-1]))

    def _subject(self, path: _Path) -> str:
        """The path as written: one entry with a `for` makes many tags."""
        if len(path) > 1 and path[0] == "tags":
            return _dotted(("tags", pattern_of(self._written, str(path[1])), *path[2:]))
        return _dotted(path)

    def _full_width(self, path: _Path) -> bool:
        """Whether a full-width character in the value, or in its key, is the cause; then that is
        told."""
        value = self._value(path)
        if isinstance(value, str) and (finding := full_width(value, self._at(path))) is not None:
            self._found.add(*finding)
            return True
        return self._full_width_key(path)

    def _full_width_key(self, path: _Path) -> bool:
        key = path[-1] if path else None
        if (
            isinstance(key, str)
            and (finding := full_width(key, self._at(path, key=True), key=True)) is not None
        ):
            self._found.add(*finding)
            return True
        return False

    def _unknown(self, path: _Path) -> None:
        key = path[-1]
        if self._full_width_key(path):
            return
        zh, en = advice(key, self._known(path[:-1]))
        inside = _dotted(path[:-1])
        zh = f"不认识的键 {key!r}{f'（在 {inside} 中）' if inside else ''}；{zh}"
        en = f"unknown key {key!r}{f' in {inside}' if inside else ''}; {en}"
        self._found.add("unknown-key", self._at(path, key=True), zh, en, self._subject(path))

    def _missing(self, error: LocatedError) -> None:
        at = self._at(error.path)
        part = error.rest[-1]
        name = _dotted((*error.path, part))
        if isinstance(part, int):
            name = _dotted(error.path)
            if any(
                isinstance(item, str) and full_width(item, at) for item in self._value(error.path)
            ):
                return  # told of the item: two values in one
            zh, en = (
                f'"{name}" 的值不够，请补上第 {part + 1} 个。',
                f'"{name}" has too few values; add number {part + 1}.',
            )
            self._found.add("wrong-length", at, zh, en, name)
            return
        zh, en = f'缺少键 "{name}"，请补上。', f'the key "{name}" is missing; add it.'
        self._found.add("missing-key", at, zh, en, self._subject((*error.path, part)))

    def _wrong_key(self, path: _Path, group: Sequence[LocatedError]) -> None:
        name = _dotted(path[:-1])
        code, zh, en = _joined([_sentence(error) for error in group])
        hint_zh, hint_en = _hint(path[-1], group)
        self._found.add(
            code,
            self._at(path, key=True),
            f'"{name}" 的键{zh}，现在是 {path[-1]!r}。{hint_zh}',
            f'a key of "{name}" {en}; it is {path[-1]!r}.{hint_en}',
            f"key {self._subject(path)}",
        )

    def _wrong(self, path: _Path, group: Sequence[LocatedError]) -> None:
        if group[0].type not in _FREE and self._full_width(path):
            return
        name = _dotted(path) or "-"
        value = self._value(path)
        quoted = shown(path[-1] if path else "", value)
        duration = shape.takes_duration(self._model, path)
        if duration and any(error.type in _NUMBER_TYPES for error in group):
            group = [replace(group[0], type="duration")]
        unit = "" if not duration else " ms" if str(path[-1]).endswith("_ms") else " s"
        code, zh, en = _joined([_sentence(error, unit) for error in group])
        seen_zh, seen_en = (
            (f"，现在是 {quoted}", f"; it is {quoted}") if quoted is not None else ("", "")
        )
        hint_zh, hint_en = _hint(value, group)
        self._found.add(
            code,
            self._at(path),
            f'"{name}" {zh}{seen_zh}。{hint_zh}',
            f'"{name}" {en}{seen_en}.{hint_en}',
            self._subject(path),
        )


def likely(errors: Sequence[LocatedError]) -> list[LocatedError]:
    """Without the alternatives of a union that were plainly not meant.

    Where one alternative got inside the value and found a fault there, the others that refused its
    very kind are noise.
    """
    inside = {e.union[0] for e in errors if e.union and len(e.path + e.rest) > len(e.union[0])}
    return [
        error
        for error in errors
        if not (
            error.union
            and error.union[0] in inside
            and error.path == error.union[0]
            and error.type in _CONTAINER_TYPES | _EXPECTED.keys()
        )
    ]


def _dotted(path: _Path) -> str:
    """`tags.x.type`; what would change the look of its line is written out, as `\\u202e`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) and text else f".{part}" if text else str(part)
    return (
        text
        if text.isprintable()
        else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    )


def _sentence(error: LocatedError, unit: str = "") -> tuple[str, str, str]:
    """`(code, zh, en)` of one error; what follows `"key"` in the sentence."""
    if error.type in _EXPECTED:
        zh, en = _EXPECTED[error.type]
        return "wrong-type", _should(zh), f"must be {en}"
    maker = _MAKERS.get(error.type)
    if maker is not None:
        return maker(error.ctx)
    if error.type in _BOUNDS:
        key, sign = _BOUNDS[error.type]
        bound = f"{sign} {error.ctx.get(key)}{unit}"
        return "out-of-range", f"应 {bound}", f"must be {bound}"
    if error.type == "said":  # models.refusal
        return str(error.ctx["code"]), str(error.ctx["zh"]), str(error.ctx["en"])
    return "bad-value", "的值不能用", "has a value that cannot be used"


def _should(zh: str) -> str:
    """A space between Chinese and what is not."""
    return f"应为 {zh}" if zh[0].isascii() else f"应为{zh}"


#: Python's word -> YAML's.
_AS_WRITTEN = {"False": "false", "True": "true"}


def _choice(ctx: Mapping[str, Any]) -> tuple[str, str, str]:
    expected = str(ctx.get("expected", ""))
    words = [word.strip("'") for word in re.split(r", | or ", expected)]
    words = [_AS_WRITTEN.get(word, word) for word in words]
    return "unknown-value", f"应为 {'、'.join(words)} 之一", f"must be one of {', '.join(words)}"


def _pattern(ctx: Mapping[str, Any]) -> tuple[str, str, str]:
    pattern = str(ctx.get("pattern", ""))
    for beginning, (zh, en) in _PATTERNS:
        if pattern.startswith(beginning):
            return "bad-value", _should(zh), f"must be {en}"
    return "bad-value", f"的写法应符合 {pattern}", f"must match {pattern}"


def _length(ctx: Mapping[str, Any]) -> tuple[str, str, str]:
    low = ctx.get("min_length")
    high = ctx.get("max_length")
    if low is None:
        return "wrong-length", f"最多 {high} 个", f"takes at most {high}"
    return "wrong-length", f"至少 {low} 个", f"needs at least {low}"


def _own(ctx: Mapping[str, Any]) -> tuple[str, str, str]:
    """A validator's own ValueError: `zh | en`, or one text for both."""
    text = str(ctx.get("error", ""))
    zh, bar, en = text.partition(" | ")
    return (
        "bad-value",
        zh if bar else f"的值不能用：{text}",
        en if bar else f"has a value that cannot be used: {text}",
    )


_MAKERS: dict[str, Callable[[Mapping[str, Any]], tuple[str, str, str]]] = {
    "literal_error": _choice,
    "enum": _choice,
    "string_pattern_mismatch": _pattern,
    "value_error": _own,
    "assertion_error": _own,
    **dict.fromkeys(("too_short", "too_long", "string_too_short", "string_too_long"), _length),
}


def _joined(said: Sequence[tuple[str, str, str]]) -> tuple[str, str, str]:
    """Several alternatives in one sentence: must be a, or b."""
    unique = list(dict.fromkeys(said))
    code = unique[0][0]
    zh = unique[0][1] + "".join(f"，或{zh.removeprefix('应为')}" for _, zh, _ in unique[1:])
    en = unique[0][2] + "".join(f", or {en.removeprefix('must be ')}" for _, _, en in unique[1:])
    return code, zh, en


def _hint(value: object, group: Sequence[LocatedError]) -> Sentence:
    """One more next step where a common slip is behind it."""
    if isinstance(value, YamlMapping) and len(value) == 1 and next(iter(value.values())) is None:
        name = next(iter(value))
        return (
            f' 如果是变量，请加引号："{{{name}}}"。',
            f' If it is a variable, put it in quotes: "{{{name}}}".',
        )
    for error in group:
        if error.type in ("literal_error", "enum"):
            words = re.findall(r"'([^']*)'", str(error.ctx.get("expected", "")))
            return meant(value, words)
    if any(error.type == "string_type" for error in group) and isinstance(value, int | float):
        return " 数字作文字时请加引号。", " Quote a number that is meant as text."
    return "", ""
