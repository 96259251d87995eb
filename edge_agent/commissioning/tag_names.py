"""Names for tags that a device has under names of its own: short, unique, and allowed everywhere a
tag goes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

_NOT_IN_NAMES: Final = re.compile(r"[^\w.\-]+")
_LONGEST: Final = 120


def tag_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """A name for each path (names from the root): its last segment, with as many before it as make
    it unique."""
    cleaned = [[clean(name) for name in path] for path in paths]
    width = [1] * len(cleaned)
    longest = max(map(len, cleaned), default=1)
    for _ in range(longest):
        names = _joined(cleaned, width)
        often = Counter(name.casefold() for name in names)
        doubled = [
            at
            for at, name in enumerate(names)
            if often[name.casefold()] > 1 and width[at] < len(cleaned[at])
        ]
        if not doubled:
            break
        for at in doubled:
            width[at] += 1
    return _numbered(_joined(cleaned, width))


def clean(name: str) -> str:
    """The name with everything that is no letter, digit, `.`, `-` or `_` as one `_`."""
    return _NOT_IN_NAMES.sub("_", name).strip("_.-") or "tag"


def _joined(paths: Sequence[Sequence[str]], width: Sequence[int]) -> list[str]:
    return [
        "_".join(path[-count:])[-_LONGEST:].strip("_.-")
        for path, count in zip(paths, width, strict=True)
    ]


def _numbered(names: Sequence[str]) -> list[str]:
    """Names that are still double get a number."""
    taken: set[str] = set()
    found = []
    for name in names:
        unique = name
        number = 2
        while unique.casefold() in taken:
            unique = f"{name}_{number}"
            number = number + 1
        taken.add(unique.casefold())
        found.append(unique)
    return found
