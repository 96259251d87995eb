"""What can still be judged of a mapping in which something is wrong: the rest of it, so that no fault hides another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from edge_agent.config.models import DeviceCommon, TagCommon
from edge_agent.config.shape import keys

_PLACEHOLDER: Final = "placeholder"
_NUMBERS: Final = (int, float)


@dataclass(frozen=True, slots=True)
class Sound:
    """An instance made of what is not faulty."""

    value: Any
    faulty: frozenset[str]
    """The keys that were left out, or replaced where the model needs them."""
    partial: frozenset[str] = frozenset()
    """The tags of which one of the connector's keys was left out."""

    def misleads(self, endpoint: str) -> bool:
        """Whether a judgement of several keys together may only follow from what was left out of a device.

        Common keys, the endpoint and numbers stand for themselves.
        """
        fields = keys(type(self.value))
        return any(
            key not in DeviceCommon.model_fields
            and key != endpoint
            and (key not in fields or fields[key].annotation not in _NUMBERS)
            for key in self.faulty
        )


def sound_part(model: type[BaseModel], data: Mapping[str, Any]) -> Sound | None:
    """The model of `data` without its faulty keys and tags; None when that is not enough for one."""
    current = dict(data)
    faulty: set[str] = set()
    partial: set[str] = set()
    for attempt in range(3):  # what stands in for a key may be refused in its turn
        try:
            return Sound(model.model_validate(current), frozenset(faulty), frozenset(partial))
        except ValidationError as error:
            places = [one["loc"] for one in error.errors(include_url=False, include_input=False)]
        inside = [place[1:] for place in places if len(place) > 1 and place[0] == "tags"]
        if inside:
            current["tags"] = _sound_tags(current["tags"], inside, partial, whole_tags=attempt > 0)
        for key in {str(place[0]) for place in places if place and not (len(place) > 1 and place[0] == "tags")}:
            faulty.add(key)
            _replace(model, current, key)
    return None


def _sound_tags(
    tags: Mapping[str, Any], places: list[tuple[Any, ...]], partial: set[str], *, whole_tags: bool
) -> dict[str, Any]:
    """The tags without their faulty keys, or without the faulty tags.

    Those that lose a key of the connector's are noted in `partial`.
    """
    result = dict(tags)
    for name, *rest in places:
        tag = result.get(name)
        if whole_tags or not rest or rest[0] == "[key]" or not isinstance(tag, dict):
            result.pop(name, None)
            continue
        key = rest[0]
        if key not in TagCommon.model_fields:
            partial.add(name)
        result[name] = {one: value for one, value in tag.items() if one != key}
    return result


def _replace(model: type[BaseModel], current: dict[str, Any], key: str) -> None:
    """Leave a key out; one that must be there gets its example."""
    for written in [one for one in current if str(one) == key]:
        del current[written]
    field = keys(model).get(key)
    if field is not None and field.is_required():
        current[key] = field.examples[0] if field.examples else _PLACEHOLDER
