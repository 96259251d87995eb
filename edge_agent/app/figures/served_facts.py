"""The questions that figures ask of a store, put to the running service: JSON lines on its socket,
columns in base64.

Only here do facts become JSON, because they cross from one process to another; `operations` is the
service's end, `ServedFacts` the asking command's.
"""

from __future__ import annotations

import contextlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_agent.config.models import Site
from edge_agent.control.client import ask, running, socket_path
from edge_agent.metrics.counters import CounterEvent
from edge_agent.metrics.epochs import TagDefinition
from edge_agent.metrics.live import StoredSignals
from edge_agent.metrics.plausibility import Decision, StepLimit
from edge_agent.metrics.readings import Number, Readings
from edge_agent.production.counting import CountedReadings, CounterAbout, CounterExchange
from edge_agent.production.facts import MinuteHealth, ReadingQuality
from edge_agent.production.states import TagChanges
from edge_agent.production.store_source import CounterQuestion, FactSource, StoreFacts
from edge_agent.stores import open_store
from edge_agent.stores.base import Name
from edge_agent.stores.evidence import Span
from edge_agent.stores.protocols import FactStore
from edge_agent.stores.registers import RegisterVersion

Answer = Callable[..., Any]
Longs = npt.NDArray[np.int64]

#: Letters of moments in one question; the service takes a line of a million.
_ROOM: Final = 600_000
#: Letters of one span.
_SPAN: Final = 44
#: What is known of a counter is about as long as so many spans.
_ABOUT: Final = 20


@contextlib.contextmanager
def fact_source(site: Site) -> Iterator[FactSource]:
    """How to ask the store: through the running service, or opened here while no service runs."""
    path = socket_path(site.store.path)
    if running(path):
        yield ServedFacts(path)
        return
    site.require_store_secrets()
    store = open_store(site.store, site.agent.id, site.agents)
    try:
        store.ask_for_life()
        yield StoreFacts(store)
    finally:
        store.close()


class ServedFacts:
    """`FactSource` of a running service. Raises ConnectionError when it does not run any more."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _ask(self, op: str, **arguments: Any) -> Any:
        return ask(self._path, op, **arguments)

    def known_devices(self, agents: Collection[str]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._ask("known_devices", agents=list(agents))
        return found

    def newest_rows(self, from_ns: int, to_ns: int) -> dict[str, int]:
        return {
            device: row["last_t"]
            for device, row in self._ask("health", from_ns=from_ns, to_ns=to_ns).items()
        }

    def first_good(self, to_ns: int) -> dict[str, int]:
        facts = self._ask("live_facts", from_ns=to_ns - 1, to_ns=to_ns)
        return {
            device: row["first_ns"] for device, row in facts.items() if row["first_ns"] is not None
        }

    def series(self) -> dict[str, dict[str, dict[str, Any]]]:
        found: dict[str, dict[str, dict[str, Any]]] = self._ask("report_series")
        return found

    def minutes(self, from_ns: int, to_ns: int) -> dict[str, Longs]:
        answer = self._ask("report_minutes", from_ns=from_ns, to_ns=to_ns)
        return {
            device: _longs(text).reshape(-1, len(MinuteHealth.COLUMNS))
            for device, text in answer.items()
        }

    def known(self, from_ns: int, to_ns: int) -> dict[str, list[Span]]:
        return {
            device: [(a, b) for a, b in spans]
            for device, spans in self._ask("report_known", from_ns=from_ns, to_ns=to_ns).items()
        }

    def changes(self, names: Sequence[Name], from_ns: int, to_ns: int) -> dict[Name, TagChanges]:
        answer = self._ask("report_changes", names=names, from_ns=from_ns, to_ns=to_ns)
        return {
            (device, tag): _changes_from_json(entry)
            for device, tags in answer.items()
            for tag, entry in tags.items()
        }

    def counters(
        self, wanted: Sequence[CounterQuestion], from_ns: int, to_ns: int
    ) -> dict[Name, CountedReadings]:
        found: dict[Name, CountedReadings] = {}
        for some in _groups([_question_to_json(question) for question in wanted]):
            answer = self._ask("report_counts", wanted=some, from_ns=from_ns, to_ns=to_ns)
            for device, tags in answer.items():
                found |= {(device, tag): _counted_from_json(entry) for tag, entry in tags.items()}
        return found

    def energies(
        self, wanted: Sequence[CounterQuestion], from_ns: int, to_ns: int
    ) -> dict[Name, Readings]:
        found: dict[Name, Readings] = {}
        for question in wanted:
            answer = self._ask(
                "report_energy", **_question_to_json(question), from_ns=from_ns, to_ns=to_ns
            )
            if answer:
                found[question.name] = _readings_from_json(answer)
        return found

    def lateness(
        self, names: Sequence[Name], from_ns: int, to_ns: int
    ) -> dict[str, dict[int, int]]:
        answer = self._ask("report_lateness", names=names, from_ns=from_ns, to_ns=to_ns)
        return {device: dict(counts) for device, counts in answer.items()}

    def quality(
        self, devices: Sequence[str], from_ns: int, to_ns: int
    ) -> dict[str, ReadingQuality]:
        answer = self._ask("report_quality", devices=devices, from_ns=from_ns, to_ns=to_ns)
        return {
            key: ReadingQuality(**{**entry, "unchanged": tuple(entry["unchanged"])})
            for key, entry in answer.items()
        }

    def stored_values(self, since: Mapping[str, int], to_ns: int) -> dict[str, StoredSignals]:
        answer = self._ask("report_stored_values", since=dict(since), to_ns=to_ns)
        return {key: StoredSignals(*entry) for key, entry in answer.items()}

    def transitions(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("transitions", from_ns=from_ns, to_ns=to_ns)
        return found

    def gaps(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("gaps", from_ns=from_ns, to_ns=to_ns)
        return found

    def newest_stored(self, from_ns: int, to_ns: int) -> int | None:
        newest: int | None = self._ask("report_newest_stored", from_ns=from_ns, to_ns=to_ns)
        return newest

    def stored(self, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("report_stored", from_ns=from_ns, to_ns=to_ns)
        return found

    def keep_register(self, version: RegisterVersion, document: str) -> None:
        self._ask("keep_register", **asdict(version), document=document)

    def register_versions(self) -> list[RegisterVersion]:
        return [RegisterVersion(**row) for row in self._ask("register_versions")]

    def register_document(self, version: str) -> str | None:
        found: str | None = self._ask("register_document", version=version)
        return found


def operations(store: FactStore) -> dict[str, Answer]:
    """What `ServedFacts` asks beyond `store_questions.operations`, answered by the process that
    owns the store."""
    source = StoreFacts(store)

    def minutes(from_ns: int, to_ns: int) -> dict[str, str]:
        return {device: _text(rows) for device, rows in source.minutes(from_ns, to_ns).items()}

    def changes(
        names: list[list[str]], from_ns: int, to_ns: int
    ) -> dict[str, dict[str, list[Any]]]:
        answer: dict[str, dict[str, list[Any]]] = {}
        for (device, tag), found in source.changes(
            [(device, tag) for device, tag in names], from_ns, to_ns
        ).items():
            why = {
                str(place): found.why[place]
                for place in np.flatnonzero(np.isnan(found.number)).tolist()
            }
            answer.setdefault(device, {})[tag] = [_text(found.t), _text(found.number), why]
        return answer

    def counts(wanted: list[dict[str, Any]], from_ns: int, to_ns: int) -> dict[str, dict[str, Any]]:
        questions = [_question_from_json(**each) for each in wanted]
        answer: dict[str, dict[str, Any]] = {}
        for (device, tag), counted in source.counters(questions, from_ns, to_ns).items():
            answer.setdefault(device, {})[tag] = _counted_to_json(counted)
        return answer

    def energy(from_ns: int, to_ns: int, **question: Any) -> list[str]:
        asked = _question_from_json(**question)
        readings = source.energies([asked], from_ns, to_ns).get(asked.name)
        return [] if readings is None else _readings_to_json(readings)

    def lateness(
        names: list[list[str]], from_ns: int, to_ns: int
    ) -> dict[str, list[tuple[int, int]]]:
        found = source.lateness([(device, tag) for device, tag in names], from_ns, to_ns)
        return {device: sorted(counts.items()) for device, counts in found.items()}

    def quality(devices: list[str], from_ns: int, to_ns: int) -> dict[str, dict[str, Any]]:
        return {key: asdict(each) for key, each in source.quality(devices, from_ns, to_ns).items()}

    def values(since: dict[str, int], to_ns: int) -> dict[str, list[int | None]]:
        found = source.stored_values(since, to_ns)
        return {key: [each.last_sample, each.last_change] for key, each in found.items()}

    return {
        "report_stored_values": values,
        "report_series": source.series,
        "report_minutes": minutes,
        "report_known": source.known,
        "report_changes": changes,
        "report_counts": counts,
        "report_energy": energy,
        "report_lateness": lateness,
        "report_quality": quality,
        "report_stored": source.stored,
        "report_newest_stored": source.newest_stored,
        "register_versions": lambda: [asdict(version) for version in store.register_versions()],
        "register_document": store.register_document,
    }


# --- how questions and answers are written --------------------------------------------------------


def _text(column: npt.NDArray[Any]) -> str:
    """Numbers of eight bytes, little-endian, in base64: a list of a million numbers would cost a
    second."""
    return b64encode(column.astype(column.dtype.newbyteorder("<")).tobytes()).decode()


def _longs(text: str) -> Longs:
    """Raises ValueError for what is no column."""
    return np.frombuffer(b64decode(text, validate=True), "<i8").astype(np.int64)


def _doubles(text: str) -> npt.NDArray[np.float64]:
    return np.frombuffer(b64decode(text, validate=True), "<f8").astype(np.float64)


def _readings_to_json(readings: Readings) -> list[str]:
    return [_text(readings.t), _text(readings.value)]


def _readings_from_json(columns: Sequence[str]) -> Readings:
    return Readings(_longs(columns[0]), _doubles(columns[1]))


def _changes_from_json(entry: Sequence[Any]) -> TagChanges:
    t = _longs(entry[0])
    why = entry[2]
    return TagChanges(t, _doubles(entry[1]), [why.get(str(place), "") for place in range(len(t))])


def _question_to_json(question: CounterQuestion) -> dict[str, Any]:
    device, tag = question.name
    about = _about_to_json(question.about)
    return {
        "device": device,
        "tag": tag,
        "at": _text(question.at),
        "known": question.known,
        "about": about,
    }


def _question_from_json(
    device: str, tag: str, at: str, known: list[list[int]], about: Mapping[str, Any] | None = None
) -> CounterQuestion:
    return CounterQuestion(
        (device, tag), _longs(at), [(a, b) for a, b in known], _about_from_json(about or {})
    )


def _about_to_json(about: CounterAbout) -> dict[str, Any]:
    definition = {**asdict(about.definition), "scale": str(about.definition.scale)}
    del definition["factor"]  # follows from the unit
    return {
        "parts": about.parts,
        "definition": {**definition, "offset": str(about.definition.offset)},
        "physical": [asdict(limit) for limit in about.physical],
        "exchanges": [
            [each.t, _number_text(each.last), _number_text(each.first)] for each in about.exchanges
        ],
        "decisions": [astuple(each) for each in about.decisions],
    }


def _about_from_json(about: Mapping[str, Any]) -> CounterAbout:
    said = about.get("definition", {})
    exact = {key: Fraction(said[key]) for key in ("scale", "offset") if key in said}
    return CounterAbout(
        bool(about.get("parts")),
        TagDefinition(**{**said, **exact}),
        tuple(StepLimit(**limit) for limit in about.get("physical", ())),
        tuple(
            CounterExchange(t, _number_of(last), _number_of(first))
            for t, last, first in about.get("exchanges", ())
        ),
        tuple(Decision(*each) for each in about.get("decisions", ())),
    )


def _counted_to_json(counted: CountedReadings) -> dict[str, Any]:
    return {
        "readings": _readings_to_json(counted.readings),
        "modulus": _number_text(counted.modulus),
        "epochs": [[t, _number_text(modulus)] for t, modulus in counted.epochs],
        "events": [
            {**asdict(event), **{key: str(Fraction(getattr(event, key))) for key in _EXACT}}
            for event in counted.events
        ],
        "unknown_since": counted.unknown_since,
    }


def _counted_from_json(answer: Mapping[str, Any]) -> CountedReadings:
    return CountedReadings(
        _readings_from_json(answer["readings"]),
        _number_of(answer["modulus"]),
        tuple((t, _number_of(modulus)) for t, modulus in answer["epochs"]),
        tuple(
            CounterEvent(**{**event, **{key: Fraction(event[key]) for key in _EXACT}})
            for event in answer["events"]
        ),
        answer["unknown_since"],
    )


#: Numbers of an event, which go as exact fractions.
_EXACT: Final = ("before", "after", "amount")


def _number_text(number: Number | None) -> str | None:
    return None if number is None else str(Fraction(number))


def _number_of(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


def _groups(wanted: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """As many at once as a question has room for."""
    some: list[dict[str, Any]] = []
    room = _ROOM
    for each in wanted:
        size = len(each["at"]) + _SPAN * (len(each["known"]) + _ABOUT)
        if some and room < size:
            yield some
            some = []
            room = _ROOM
        some.append(each)
        room -= size
    if some:
        yield some
