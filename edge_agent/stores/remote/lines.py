"""Line protocol, pure: columns to bytes from prefixes escaped once per series, and what a server
would refuse.

`samples,agent=A,device=D,kind=K,tag=T num=8000.5,stored=1763900000000000000i 1763900000123456789`

Every number is a float field and the kind is a tag, so no series can ever meet a field type
conflict: a tag that changes from integer to text becomes another series. A status other than Good
and a source time are fields beside. Texts and arrays are a string field `txt` (`TextStyle.FIELD`,
InfluxDB) or, where strings would become 0 (VictoriaMetrics), a label `text` beside the number 1
(`TextStyle.LABEL`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

import numpy as np
import orjson

from edge_agent.model import status_code
from edge_agent.stores.base import Refusal
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import BOOL, FLOAT, KIND_NAMES, NO_TIME, NONE, TEXT, Rows

#: Nothing escapes these in a tag value: a line break ends the line, and a backslash is read in two
#: ways by two servers.
_BAD_NAME: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_TAG_ESCAPES: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
_LABEL_ESCAPES: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ ", "\\": "\\\\"})
_STRING_ESCAPES: Final = str.maketrans({'"': r"\"", "\\": "\\\\"})
#: Kinds per series in the table of prefixes.
_KINDS: Final = len(KIND_NAMES)
#: The measurement in which a server keeps the id of the store that it is, as the tag `id`.
STORE_ID: Final = "edge_store"
#: The state of a device as a number, for stores that have no strings.
STATES: Final = ("starting", "online", "degraded", "offline")
HEALTH_FIELDS: Final = (
    "period_s",
    "scheduled_s",
    "covered_s",
    "due",
    "done",
    "good",
    "bad",
    "values",
    "latency_ms",
    "latency_max_ms",
    "overruns",
)
_UNKNOWN_REASON: Final = 0x80000000


class TextStyle(Enum):
    """Where a text goes, and how long it may be in bytes."""

    FIELD = 64_000
    LABEL = 16_000


class Encoder:
    """Lines for one store: keeps the prefixes, and which series have names that cannot be
    written."""

    def __init__(self, catalogue: Catalogue, style: TextStyle) -> None:
        self._catalogue = catalogue
        self._style = style
        self._prefixes: list[str] = []
        self._bad: set[int] = set()

    def _grow(self) -> None:
        for entry in self._catalogue.series[len(self._prefixes) // _KINDS :]:
            if _BAD_NAME.search(entry.tag) or _BAD_NAME.search(entry.device):
                self._bad.add(entry.sid)
            who = self._who(entry.device)
            tag = escape_tag(entry.tag)
            self._prefixes += [f"samples,{who},kind={kind},tag={tag}" for kind in KIND_NAMES]

    def _who(self, key: str) -> str:
        """The tags of a device, in the order servers like best."""
        agent, device = self._catalogue.keys.split(key)
        return (
            f"agent={escape_tag(agent)},device={escape_tag(device)}"
            if agent
            else f"device={escape_tag(device)}"
        )

    def refusals(self, rows: Rows, earliest: int, latest: int) -> list[Refusal]:
        """Rows the server would refuse or drop without a word, each with its reason; times in ns,
        inclusive."""
        self._grow()
        found: dict[int, str] = {}
        if self._bad:
            bad = np.isin(rows.sid, np.fromiter(self._bad, np.int32, len(self._bad)))
            found |= dict.fromkeys(np.flatnonzero(bad).tolist(), "bad-name")
        outside = (rows.t < earliest) | (rows.t > latest)
        found |= dict.fromkeys(np.flatnonzero(outside).tolist(), "timestamp-out-of-bounds")
        numbers = (rows.kind >= BOOL) & (rows.kind <= FLOAT)
        found |= dict.fromkeys(
            np.flatnonzero(numbers & ~np.isfinite(rows.num)).tolist(), "not-finite"
        )
        for row, text in rows.texts.items():
            if len(text) * 4 > self._style.value and len(text.encode()) > self._style.value:
                found[row] = "text-too-long"
        return [Refusal(row, reason) for row, reason in sorted(found.items())]

    def samples(self, rows: Rows, stored: int) -> list[str]:
        """One line per row."""
        self._grow()
        prefixes = self._prefixes
        stamp = f",stored={stored}i "
        places = (rows.sid.astype(np.int64) * _KINDS + rows.kind).tolist()
        columns = zip(places, rows.num.tolist(), rows.t.tolist(), strict=True)
        lines = [f"{prefixes[place]} num={number!r}{stamp}{t}" for place, number, t in columns]
        plain = (
            (rows.kind >= BOOL)
            & (rows.kind <= FLOAT)
            & (rows.status == 0)
            & (rows.source == NO_TIME)
        )
        special = set(np.flatnonzero(~plain).tolist()).union(rows.texts)
        for row in special:
            lines[row] = self._special(rows, row, prefixes[places[row]], stamp)
        return lines

    def _special(self, rows: Rows, row: int, prefix: str, stamp: str) -> str:
        kind = int(rows.kind[row])
        text = rows.texts.get(row)
        fields: list[str] = []
        if kind >= TEXT and text is not None and self._style is TextStyle.LABEL:
            prefix = _label(prefix, kind, text)
            text = None
            fields.append("num=1")
        elif BOOL <= kind <= FLOAT:
            fields.append(f"num={float(rows.num[row])!r}")
        if text is not None and self._style is TextStyle.FIELD:
            fields.append(f'txt="{text.translate(_STRING_ESCAPES)}"')
        if kind == NONE or rows.status[row]:
            fields.append(f"status={int(rows.status[row])}i")
        if rows.source[row] != NO_TIME:
            fields.append(f"source={int(rows.source[row])}i")
        return f"{prefix} {','.join(fields)}{stamp}{int(rows.t[row])}"

    def health(self, documents: Iterable[Mapping[str, Any]]) -> list[str]:
        """One line per health row: numbers throughout, names beside where the store has strings."""
        lines = []
        for row in documents:
            state = row.get("state", "")
            reason = row.get("reason", "")
            fields = [
                f"{name}={float(row[name])!r}"
                for name in HEALTH_FIELDS
                if row.get(name) is not None
            ]
            fields.append(f"state={STATES.index(state) if state in STATES else -1}i")
            fields.append(f"reason={_reason_code(reason)}i")
            if row.get("last_good_t") is not None:
                fields.append(f"last_good_t={row['last_good_t']}i")
            if self._style is TextStyle.FIELD:
                fields.append(f'state_name="{state.translate(_STRING_ESCAPES)}"')
                fields.append(f'reason_name="{reason.translate(_STRING_ESCAPES)}"')
            lines.append(f"health,{self._who(row['device'])} {','.join(fields)} {row['t']}")
        return lines


def _label(prefix: str, kind: int, text: str) -> str:
    """The series of one text. What a label cannot hold (nothing, control characters) is written as
    JSON."""
    if kind == TEXT and (not text or not text.isprintable()):
        prefix = prefix.replace(",kind=text,", ",kind=json,", 1)
        text = orjson.dumps(text).decode()
    return f"{prefix},text={text.translate(_LABEL_ESCAPES)}"


def escape_tag(text: str) -> str:
    """A tag value as it stands in a line."""
    return text.translate(_TAG_ESCAPES)


def _reason_code(reason: str) -> int:
    try:
        return status_code(reason) if reason else 0
    except ValueError:
        return _UNKNOWN_REASON
