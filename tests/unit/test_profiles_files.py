"""Every device profile, as data: complete, honest about its source, free of duplicates and
overlaps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.config.models import StateConfig, StateMap, StateRule, TagCommon

FOLDER = Path(__file__).parents[2] / "configs" / "profiles"
FILES = sorted(FOLDER.glob("*.yaml"))
REQUIRED = {
    "eastron-sdm630",
    "eastron-sdm120",
    "eastron-sdm230",
    "eastron-sdm72",
    "acrel-adw300",
    "acrel-dtsd1352",
    "chint-dtsu666",
    "schneider-iem3000",
    "carlo-gavazzi-em24",
    "bg-ds100",
    "sunspec-meter",
    "delta-vfd",
    "lnc-mw2200a",
    "siemens-sinumerik",
    "generic-umati",
    "inovance-h5u",
    "inovance-am",
    "delta-dvp",
    "xinje-xc",
    "waveshare-io-8ch",
    "moxa-iologik-e1212",
}
KEYS = {
    "name",
    "title",
    "connector",
    "manufacturer",
    "models",
    "source",
    "notes",
    "defaults",
    "areas",
    "state",
    "tags",
}
MANDATORY = {"name", "title", "connector", "manufacturer", "models", "source", "notes", "tags"}
TAG_KEYS = {"address", "node", "path", "type", "length", "word_order", *TagCommon.model_fields}
UNITS = {
    "",
    "V",
    "A",
    "W",
    "kW",
    "VA",
    "kVA",
    "var",
    "kvar",
    "Wh",
    "kWh",
    "VAh",
    "varh",
    "kvarh",
    "Hz",
    "deg",
    "%",
    "rpm",
    "mm/min",
    "mm",
    "s",
    "min",
    "h",
    "Cel",
}
WORDS = {"uint16": 1, "int16": 1, "bool": 1, "uint32": 2, "int32": 2, "float32": 2, "int64": 4}
VOCABULARY = {
    "item": {"NotAvailable", "OutOfService", "NotExecuting", "Executing"},
    "mode": {"None", "Maintenance", "Setup", "Processing"},
    "execution": {
        "ACTIVE",
        "FEED_HOLD",
        "INTERRUPTED",
        "OPTIONAL_STOP",
        "READY",
        "PROGRAM_COMPLETED",
        "PROGRAM_STOPPED",
        "STOPPED",
    },
}


class Strict(yaml.SafeLoader):
    """YAML that refuses a key twice; plain YAML keeps the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        assert len(keys) == len(set(keys)), (
            f"a key twice in line {node.start_mark.line + 1}: {keys}"
        )
        return super().construct_mapping(node, deep)


def load(file: Path) -> dict[str, Any]:
    profile = yaml.load(file.read_text(encoding="utf-8"), Strict)
    assert isinstance(profile, dict)
    return profile


PROFILES = {file.stem: load(file) for file in FILES}
every_profile = pytest.mark.parametrize("name", sorted(PROFILES))


def test_the_promised_device_families_are_there() -> None:
    assert set(PROFILES) >= REQUIRED


@every_profile
def test_a_profile_has_the_known_keys_and_its_own_name(name: str) -> None:
    profile = PROFILES[name]
    assert set(profile) <= KEYS
    assert set(profile) >= MANDATORY
    assert profile["name"] == name
    assert profile["title"]["zh"]
    assert profile["title"]["en"]
    assert profile["connector"] in {"modbus", "opcua"}
    assert profile["tags"] or profile.get("areas"), "neither tags nor areas: of no use"


@every_profile
def test_a_profile_names_its_source_and_speaks_both_languages(name: str) -> None:
    profile = PROFILES[name]
    assert profile["source"]
    assert all(isinstance(source, str) for source in profile["source"])
    assert all(set(note) == {"zh", "en"} for note in profile["notes"])


@every_profile
def test_tags_have_known_keys_sane_units_and_a_bilingual_description(name: str) -> None:
    for tag, keys in PROFILES[name]["tags"].items():
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", tag)
        assert set(keys) <= TAG_KEYS, tag
        assert sum(key in keys for key in ("address", "node", "path")) == 1, tag
        assert keys.get("unit", "") in UNITS, tag
        assert " / " in keys["description"], tag
        assert keys.get("scale", 1.0) > 0, tag
        TagCommon.model_validate(
            {key: value for key, value in keys.items() if key in TagCommon.model_fields}
        )


def registers(name: str) -> Iterator[tuple[str, str, int, int]]:
    """(tag, object, first, count) of each Modbus tag that is not a bit of a register."""
    for tag, keys in PROFILES[name]["tags"].items():
        match = re.fullmatch(r"(holding|input|discrete)/(\d+)(\.\d+)?", keys["address"])
        assert match, f"{name}: {tag}: {keys['address']}"
        count = (keys["length"] + 1) // 2 if keys["type"] == "string" else WORDS[keys["type"]]
        if match[3] is None:
            yield tag, match[1], int(match[2]), count


@pytest.mark.parametrize(
    "name", sorted(n for n, p in PROFILES.items() if p["connector"] == "modbus")
)
def test_registers_do_not_overlap_and_fit_the_address_space(name: str) -> None:
    taken: dict[tuple[str, int], str] = {}
    for tag, kind, first, count in registers(name):
        assert first + count <= 0x10000
        for place in ((kind, first + i) for i in range(count)):
            assert place not in taken, f"{tag} overlaps {taken[place]}"
            taken[place] = tag


@pytest.mark.parametrize(
    "name", sorted(n for n, p in PROFILES.items() if p["connector"] == "modbus")
)
def test_tags_are_sorted_by_address(name: str) -> None:
    places = [first for _, _, first, _ in registers(name)]
    assert places == sorted(places)


@pytest.mark.parametrize("name", sorted(n for n, p in PROFILES.items() if "state" in p))
def test_state_rules_use_the_profiles_tags_and_the_vocabulary(name: str) -> None:
    profile = PROFILES[name]
    state = StateConfig.model_validate(profile["state"])
    for part, words in VOCABULARY.items():
        source = getattr(state, part)
        if isinstance(source, StateMap):
            assert source.tag in profile["tags"]
            assert set(source.map.values()) <= words
        for rule in source if isinstance(source, list) else []:
            assert isinstance(rule, StateRule)
            assert rule.tag is None or rule.tag in profile["tags"]
            assert rule.gives in words


@pytest.mark.parametrize("name", ["delta-vfd", "delta-dvp", "siemens-sinumerik"])
def test_what_is_from_memory_says_so(name: str) -> None:
    notes = PROFILES[name]["notes"]
    assert any("unverified" in note["en"] and "未经核实" in note["zh"] for note in notes)


def test_the_low_word_first_meter_says_so() -> None:
    """EM24 is the word-order case: its 32-bit values would be plausible nonsense the other way
    round."""
    assert PROFILES["carlo-gavazzi-em24"]["defaults"]["word_order"] == "CDAB"


@pytest.mark.parametrize(
    ("profile", "tag", "address", "scale"),
    [
        ("eastron-sdm630", "voltage_l1", "input/0", 1.0),
        ("eastron-sdm630", "import", "input/72", 1.0),
        ("schneider-iem3000", "import", "holding/3203", 0.001),
        ("acrel-dtsd1352", "import", "holding/10", 0.01),
        ("acrel-adw300", "power", "holding/36", 1.0),
        ("chint-dtsu666", "power", "holding/8210", 0.1),
        ("delta-vfd", "output_frequency", "holding/8451", 0.01),
        ("lnc-mw2200a", "feed_override", "holding/8067", 0.1),
        ("sunspec-meter", "W", "holding/40098", 1.0),
    ],
)
def test_register_facts_that_must_never_slip(
    profile: str, tag: str, address: str, scale: float
) -> None:
    keys = PROFILES[profile]["tags"][tag]
    assert keys["address"] == address
    assert keys.get("scale", 1.0) == scale
