"""What can still be judged of a mapping in which something is wrong: the rest of it, so that no
fault hides another."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

from edge_agent import names
from edge_agent.config.explain import LocatedError, likely, located
from edge_agent.config.findings import Findings
from edge_agent.config.models import DeviceCommon, TagCommon
from edge_agent.config.places import YamlMapping, locate
from edge_agent.config.shape import alternatives, keys, models, types_at
from edge_agent.config.tagset import TagSet

_PLACEHOLDER: Final = "placeholder"
_NUMBERS: Final = (int, float)
#: What stands in for a key that must be there and has no example, by the type of its value.
_STAND_INS: Final[dict[Any, Any]] = {dict: {}, list: [], int: 1, float: 1.0, bool: False}
#: A key that is left out may be missed, and what then stands in for it may be refused in its turn.
_ATTEMPTS: Final = 5
_PATIENT_ATTEMPTS: Final = 2

_Path = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ValidatedInstance:
    """An instance made of what is not faulty."""

    value: Any
    faulty: frozenset[_Path]
    """Paths of what was left out, or replaced where the model needs it."""

    def judges(self, *path: Any) -> bool:
        """Whether what stands at a path can be judged: nothing was left out there, inside it or
        around it."""
        return not any(one[: len(path)] == path[: len(one)] for one in self.faulty)

    def lacks_connector_keys(self, tag: str | None) -> bool:
        """Whether a key of the connector's was left out of a tag."""
        keys_of_tag = (one[2] for one in self.faulty if len(one) > 2 and one[:2] == ("tags", tag))
        return any(key not in TagCommon.model_fields for key in keys_of_tag)

    def misleads(self, endpoint: str) -> bool:
        """Whether a judgement of several keys together may only follow from what was left out of a
        device.

        Common keys, the endpoint and numbers stand for themselves.
        """
        fields = keys(type(self.value))
        return any(
            key not in DeviceCommon.model_fields
            and key != endpoint
            and (key not in fields or fields[key].annotation not in _NUMBERS)
            for key in {str(one[0]) for one in self.faulty}
        )


@dataclass(frozen=True, slots=True)
class SoundFindings:
    """Findings about a sound part: what only follows from what it lacks is not told."""

    sound: ValidatedInstance
    written: YamlMapping
    """All that was written, faults included."""
    found: Findings

    def add(self, code: str, path: _Path, zh: str, en: str, subject: str = "") -> None:
        """A finding about what stands at `path`."""
        if self.sound.judges(*path):
            self.found.add(code, locate(self.written, *path), zh, en, subject)


def sound_part(model: type[BaseModel], data: Mapping[str, Any]) -> ValidatedInstance | None:
    """The model of `data` without what is faulty in it, however deep; None when that is not enough
    for one.

    A tag whose name is none is judged like any other, and has that name in the result.
    """
    try:
        return ValidatedInstance(model.model_validate(data), frozenset())
    except ValidationError:
        return _Repair(model, data).result()


class _Repair:
    """A copy of the data that loses what the model refuses."""

    def __init__(self, model: type[BaseModel], data: Mapping[str, Any]) -> None:
        self._model = model
        self._data: dict[str, Any] = _copied(data)
        self._written_names = _with_sound_names(self._data)
        self._faulty: set[_Path] = set()

    def result(self) -> ValidatedInstance | None:
        for attempt in range(_ATTEMPTS):
            try:
                value = self._model.model_validate(self._data)
            except ValidationError as error:
                found = [
                    located(one, self._data)
                    for one in error.errors(include_url=False, include_input=False)
                ]
                for each in likely(found):
                    self._mend(each, patient=attempt < _PATIENT_ATTEMPTS)
                continue
            faulty = frozenset(map(self._as_written, self._faulty))
            return ValidatedInstance(_with_written_names(value, self._written_names), faulty)
        return None

    def _mend(self, error: LocatedError, *, patient: bool) -> None:
        """Leave out the key at fault, or fill in the one that is missed; without patience, all that
        is around it."""
        path = error.path
        container = _value_at(self._data, path)
        if error.type == "missing" and isinstance(container, dict) and (patient or not path):
            self._faulty.add(path + error.rest)
            container[error.rest[-1]] = self._stand_in(path, str(error.rest[-1]))
            return
        if not patient:
            path = path[: 2 if path[:1] == ("tags",) else 1]
        while path and not isinstance(_value_at(self._data, path[:-1]), dict):
            path = path[:-1]  # without an item, those behind it would have other places
        if path:
            self._faulty.add(path)
            # gone for another fault of it already
            _value_at(self._data, path[:-1]).pop(path[-1], None)

    def _stand_in(self, path: _Path, key: str) -> Any:
        owners = [one for annotation in types_at(self._model, path) for one in models(annotation)]
        field = next((keys(one)[key] for one in owners if key in keys(one)), None)
        if field is None:
            return _PLACEHOLDER
        if field.examples:
            return field.examples[0]
        for one in alternatives(field.annotation):
            origin: Any = get_origin(one)
            if origin is typing.Literal:
                return get_args(one)[0]
            if isinstance(one, type) and issubclass(one, BaseModel):
                return {}
            if (kind := origin or one) in _STAND_INS:
                return _copied(_STAND_INS[kind])
        return _PLACEHOLDER

    def _as_written(self, path: _Path) -> _Path:
        if len(path) < 2 or path[0] != "tags":
            return path
        return ("tags", self._written_names.get(path[1], path[1]), *path[2:])


def _copied(value: Any) -> Any:
    """Mappings and lists of its own, all the way down; tags that are valid stay the one object they
    are."""
    if isinstance(value, dict) and not isinstance(value, TagSet):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _value_at(data: Any, path: _Path) -> Any:
    """What stands at a path; None when something on the way is gone."""
    for part in path:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def _with_sound_names(data: dict[str, Any]) -> dict[str, Any]:
    """Give tags whose name is none another one. Returns sound name -> what is written."""
    tags = data.get("tags")
    if not isinstance(tags, dict) or isinstance(tags, TagSet):
        return {}
    written_names: dict[str, Any] = {}
    renamed: dict[str, Any] = {}
    for name, tag in tags.items():
        sound_name = name
        if not isinstance(name, str) or names.fault(name) is not None:
            sound_name = f"{_PLACEHOLDER} {len(written_names)}"
            while sound_name in tags:
                sound_name += "'"
            written_names[sound_name] = name
        renamed[sound_name] = tag
    data["tags"] = renamed
    return written_names


def _with_written_names(value: Any, written_names: Mapping[str, Any]) -> Any:
    """The instance with its tags named as they are written."""
    if not written_names:
        return value
    tags = {written_names.get(name, name): tag for name, tag in value.tags.items()}
    return value.model_copy(update={"tags": TagSet(tags)})
