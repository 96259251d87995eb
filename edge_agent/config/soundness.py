"""What can still be judged of a mapping in which something is wrong: the rest of it, so that no fault hides another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from edge_agent.config.models import DeviceCommon
from edge_agent.config.shape import keys

_PLACEHOLDER: Final = "placeholder"
_NUMBERS: Final = (int, float)


@dataclass(frozen=True, slots=True)
class Sound:
    """An instance made of what is not faulty."""

    value: Any
    faulty: frozenset[str]
    """The keys that were left out, or replaced where the model needs them."""

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
    for _ in range(2):  # a stand-in may be refused in its turn, and then there is nothing to judge
        try:
            return Sound(model.model_validate(current), frozenset(faulty))
        except ValidationError as error:
            places = [one["loc"] for one in error.errors(include_url=False, include_input=False)]
        inside = {place[1] for place in places if len(place) > 1 and place[0] == "tags"}
        if inside:
            current["tags"] = {name: tag for name, tag in current["tags"].items() if name not in inside}
        for key in {str(place[0]) for place in places if place and not (len(place) > 1 and place[0] == "tags")}:
            faulty.add(key)
            _replace(model, current, key)
    return None


def _replace(model: type[BaseModel], current: dict[str, Any], key: str) -> None:
    """Leave a key out; one that must be there gets its example."""
    for written in [one for one in current if str(one) == key]:
        del current[written]
    field = keys(model).get(key)
    if field is not None and field.is_required():
        current[key] = field.examples[0] if field.examples else _PLACEHOLDER
