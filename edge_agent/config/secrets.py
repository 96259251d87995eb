"""`!env NAME` and `!file path`: values that stand outside the configuration, read when it is
loaded."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from edge_agent.config.findings import Findings
from edge_agent.config.places import (
    FilePosition,
    SecretReference,
    YamlMapping,
    YamlSequence,
    place_of,
)
from edge_agent.config.shape import absolute

MAX_BYTES: Final = 65_536
_SECRET_KEY: Final = re.compile(r"pass|token|secret|credential|pin$|psk", re.IGNORECASE)
_ACCOUNT: Final = re.compile(r"//\S*@")
#: Keys by which one logs in somewhere: whoever does not connect can do without them.
_LOGIN_KEY: Final = re.compile(
    r"pass|token|secret|credential|pin$|psk|^username$|^client_id$|^key$", re.IGNORECASE
)
_LOGIN: Final = "user"
"""The mapping whose keys are all for logging in."""


def resolved(
    data: Any, found: Findings, spared: Findings | None = None, inside: object = ""
) -> Any:
    """The same data with every reference replaced by its value; what is not there is a finding.

    `spared` takes the findings about what only serves to log in, for a command that may not need
    to; `inside` is the key that the data stands under.
    """
    if isinstance(data, YamlMapping):
        result = data.copy()
        for key, value in data.items():
            login = inside == _LOGIN or _LOGIN_KEY.search(str(key)) is not None
            absent = spared if spared is not None and login else found
            result[key] = _value(value, data.values_at[key], found, spared, absent, key)
        return result
    items = YamlSequence(data.place)
    for index, value in enumerate(data):
        at = place_of(data, index)
        items.add(_value(value, at, found, spared, found, inside), at)
    return items


def without_account(text: str) -> str:
    """A text without the account, mostly with its password, that stands before the host of an
    address; a password may have slashes."""
    return _ACCOUNT.sub("//***@", text)


def shown(key: object, value: object) -> str | None:
    """A value as an error may quote it: short, and never one that could be a secret (then None)."""
    if isinstance(value, SecretReference | YamlMapping | list | dict) or _SECRET_KEY.search(
        str(key)
    ):
        return None
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = without_account(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def portable(data: Any) -> Any:
    """The same data with the paths of `!file` references made absolute, so that it may move to
    another folder."""
    if isinstance(data, YamlMapping):
        result = data.copy()
        for key, value in data.items():
            result[key] = _portable_value(value, data.values_at[key])
        return result
    items = YamlSequence(data.place)
    for value, at in zip(data, data.at, strict=True):
        items.add(_portable_value(value, at), at)
    return items


def _portable_value(value: object, at: FilePosition) -> object:
    if isinstance(value, SecretReference):
        return (
            SecretReference("!file", absolute(value.argument, at))
            if value.tag == "!file"
            else value
        )
    return portable(value) if isinstance(value, YamlMapping | YamlSequence) else value


def _value(
    value: object,
    at: FilePosition,
    found: Findings,
    spared: Findings | None,
    absent: Findings,
    key: object,
) -> object:
    """`absent`: which findings take a reference that leads nowhere."""
    if isinstance(value, SecretReference):
        text = _environment(value, at, absent) if value.tag == "!env" else _file(value, at, absent)
        # A placeholder keeps the models quiet: the reason is told already.
        return "unresolved" if text is None else text
    return (
        resolved(value, found, spared, key)
        if isinstance(value, YamlMapping | YamlSequence)
        else value
    )


def _environment(reference: SecretReference, at: FilePosition, found: Findings) -> str | None:
    name = reference.argument
    if "\0" not in name and "=" not in name and (text := os.environ.get(name)):
        return text
    zh = f"环境变量 {name!r} 没有设置或为空，请先设置再启动。"
    en = f"the environment variable {name!r} is not set or empty; set it before starting."
    found.add("missing-secret", at, zh, en)
    return None


def _file(reference: SecretReference, at: FilePosition, found: Findings) -> str | None:
    path = Path(absolute(reference.argument, at))
    try:
        if path.is_file():
            with path.open("rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8").rstrip("\r\n")
            if text:
                return text
    except (
        OSError,
        ValueError,
    ):
        # unreadable, not UTF-8, or no path at all: the sentence below says it all
        pass
    zh = f"密钥文件 {reference.argument!r} 不存在、为空或读不出来，请检查路径和权限。"
    en = (
        f"the secret file {reference.argument!r} is missing, empty or unreadable; check its path "
        "and permissions."
    )
    found.add("missing-secret", at, zh, en)
    return None
