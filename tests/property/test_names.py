"""A name is accepted by `check` exactly when it comes through topic, payload, decoder and stores
unchanged."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from edge_agent import names
from edge_agent.config import dump, load
from edge_agent.config.models import Agent, DeviceCommon, Mqtt
from edge_agent.errors import ConfigError
from edge_agent.identity import DeviceKeys
from edge_agent.ingest import messages
from edge_agent.model import Batch, Tag, TagTable
from edge_agent.payload import data_tail, head
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.columns import Rows
from edge_agent.stores.remote.lines import Encoder, TextStyle
from edge_agent.topics import Topics
from tests.support.exploration import examples

NASTY = [
    "", " ", "　", "\t", " a", "a ", "a\n", "a\r", "\x00", "\x7f", "\x85", "a\u200bb", "\ufeffa",
    "a\u00adb", "a\u2060b", "\u202eabc", "a\u2066b\u2069", "a\u200f", "\ud800", "a\udfffb",
    "\ue000", "\U000e0041", "\u0378", "a\ufe0f", "\u3164", "\u034fa", "a\u00a0b", "a\u2028b",
    "\\", "a\\", "a\\,b", "a\\=b", "a=b", "a,b", "a=", "=", ",", "'", '"', "a'b", 'a"b', "a b",
    "+", "#", "a+b", "a/b", "/", "$", "$a", "$SYS", ".", ".a", "..", "a.", "a.b", "*", ">", "a*",
    "a:b", ":", "a:", "{i}", "{{", "-", "~", "null", "true", "1", "1.0", "0x10", "<<", "*x", "&x",
    "!env", "@", "`", "%", "%23", "设备一", "主轴转速(rpm)", "é", "e\u0301", "😀", "۱", "a" * 255,
    "a" * 256, "a" * 257, "设" * 85, "设" * 86, "_agent", "agents", "metrics", "data", "birth",
    "time", "for", "\uc124", "\u1109\u1165\u11af", "\uf900", "\uff411", "①", "（东）",
]  # fmt: skip
CHARACTERS = st.one_of(
    st.characters(),
    st.sampled_from("\\\"' ,=+#/$.:{}*>\u200b\u202e\u00ad\ufeff\u3000\x00\x1f\x7fa设"),
)
TEXTS = st.one_of(st.text(CHARACTERS, max_size=8), st.text(CHARACTERS, min_size=60, max_size=300))


def accepted(folder: Path, document: dict[str, object]) -> bool:
    """Whether `check` takes a file with this content."""
    path = folder / "site.yaml"
    try:
        path.write_text(dump(document), encoding="utf-8")
    except UnicodeEncodeError:  # no file can hold half a character
        return False
    try:
        load(path)
    except ConfigError:
        return False
    return True


def site(agent: str = "a", device: str = "d", tag: str = "t", **levels: str) -> dict[str, object]:
    prefix = levels.pop("topic_prefix", "edge")
    line = levels.pop("line", "line")
    one = {
        "id": device,
        "line": line,
        "connector": "modbus",
        "url": "tcp://h",
        "tags": {tag: {"address": "holding/1"}},
    }
    return {
        "agent": {"id": agent, **levels},
        "mqtt": {"url": "mqtt://h", "topic_prefix": prefix},
        "devices": [one],
    }


def shown(name: str) -> bool:
    """Whether people see a name as it is: nothing invisible, nothing that is not text, no blank at
    an end, and in the one form that others of this look must have too."""
    if not name.isprintable() or unicodedata.normalize("NFC", name) != name:
        return False
    return name == name.strip() and not any(character in names._UNSEEN for character in name)


def through(device: str, tag: str) -> bool:
    """Whether these names arrive in the lines of a store as they were, by what topic, payload and
    decoder do."""
    try:
        topic = f"{Topics('edge', 'e', 's').device('a', 'l', device)}/data"
        table = TagTable(device, 1.0, (Tag(tag, "float", None),))
        payload = (
            head(device, "a/0/1") + b"1" + data_tail(Batch(table, 1_700_000_000_000_000_000, [1.5]))
        )
        topic.encode()
        catalogue = Catalogue(keys=DeviceKeys("a"))
        message = messages.read(topic, payload, catalogue)
    except (UnicodeEncodeError, TypeError, orjson.JSONEncodeError):
        return False
    if message.refused or message.chunk is None:
        return False
    encoder = Encoder(catalogue, TextStyle.FIELD)
    rows = Rows.of([message.chunk])
    if encoder.refusals(rows, 0, 2**62):
        return False
    (line,) = encoder.samples(rows, 5)
    key = catalogue.keys.key("a", device)
    return unescaped(line) == (device, tag) and catalogue.find(key, tag) == 0


def unescaped(line: str) -> tuple[str, str] | None:
    """Device and tag as a server reads them from a line: a backslash before a comma, a blank, `=`
    is taken away."""
    series = re.match(
        r"samples,agent=a,device=((?:\\.|[^\\, =])+),kind=float,tag=((?:\\.|[^\\, =])+) num=1\.5,",
        line,
    )
    return None if series is None else (_plain(series[1]), _plain(series[2]))


def _plain(text: str) -> str:
    return re.sub(r"\\([, =])", r"\1", text)


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="names-"))


@settings(max_examples=examples(50))
@given(TEXTS)
def test_a_tag_is_accepted_exactly_when_it_comes_through(folder: Path, name: str) -> None:
    assert accepted(folder, site(tag=name)) == (through("d", name) and shown(name))


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_a_nasty_tag_is_accepted_exactly_when_it_comes_through(folder: Path, name: str) -> None:
    assert accepted(folder, site(tag=name)) == (through("d", name) and shown(name))


def level(name: str) -> bool:
    """Whether a name is one level of a topic that every broker takes and every filter meets, and
    that people in other places write alike."""
    if any("\uff00" < character < "\uff5f" and character.isalnum() for character in name):
        return False
    return not set(name) & set("/+# ") and name[:1] not in (".", "$") and name not in ("*", ">")


@settings(max_examples=examples(50))
@given(TEXTS)
@example("a:b")
def test_a_device_is_accepted_exactly_when_it_comes_through(folder: Path, name: str) -> None:
    assert accepted(folder, site(device=name)) == (
        level(name) and shown(name) and through(name, "t")
    )


def taken(model: type[BaseModel], **keys: object) -> bool:
    """Whether a section of the file takes these keys."""
    try:
        model.model_validate(keys)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", NASTY, ids=ascii)
def test_every_level_is_judged_alike(name: str) -> None:
    fine = level(name) and shown(name) and through(name, "t")
    for key in ("enterprise", "site", "area"):
        assert taken(Agent, **{"id": "a", key: name}) == fine, key
    assert taken(Mqtt, url="mqtt://h", topic_prefix=name) == fine
    assert taken(Agent, id=name) == (fine and ":" not in name)
    assert taken(DeviceCommon, id=name, connector="modbus", area=name) == fine
    assert taken(DeviceCommon, id="a", connector="modbus", line=name) == (
        fine and name != names.AGENT_LINE
    )


@given(TEXTS)
def test_a_refused_name_has_a_reason_in_both_languages(name: str) -> None:
    if (found := names.agent_fault(name)) is not None:
        zh, en = found
        assert any(unicodedata.name(character, "").startswith("CJK") for character in zh)
        assert en.isascii()


ALIKE = {
    "full-width": ("plc1", "ｐlc1"),
    "unit sign": ("kg", "㎏"),
    "ligature": ("flow", "\ufb02ow"),
    "composed": ("t\u00fcr", "tu\u0308r"),
    "marks in another order": ("a\u0323\u0302", "a\u0302\u0323"),
    "zero width": ("ab", "a\u200bb"),
    "Hangul": ("\uc124", "\u1109\u1165\u11af"),
    "ideograph": ("\u8c48", "\uf900"),
}


def told(folder: Path, document: dict[str, object]) -> dict[tuple[str, str], str]:
    """The findings about a file with this content: (code, line) -> sentence."""
    path = folder / "alike.yaml"
    path.write_text(dump(document), encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    by_line = {}
    for finding in refused.value.findings:
        line = int(finding.where.rsplit(":", 2)[1])
        by_line[finding.code, lines[line - 1].strip()] = finding.zh
    return by_line


@pytest.mark.parametrize("names_alike", ALIKE.values(), ids=ALIKE)
def test_two_names_that_look_alike_are_refused_where_the_second_stands(
    folder: Path, names_alike: tuple[str, str]
) -> None:
    first, second = names_alike
    one = {"connector": "modbus", "url": "tcp://h"}
    tags = {first: {"address": "holding/1"}, second: {"address": "holding/2"}}
    two_tags = {**site(), "devices": [{"id": "d", **one, "tags": tags}]}
    devices = [{"id": name, **one, "tags": {"t": {"address": "holding/1"}}} for name in names_alike]
    two_devices = {**site(), "devices": devices}
    two_agents = {**site(agent=first), "agents": ["other", second]}
    for document in (two_tags, two_devices, two_agents):
        codes = {
            code
            for code, line in told(folder, document)
            if second in line or ascii(second)[1:-1] in line
        }
        assert codes & {"look-alike", "bad-name"}, document


@pytest.mark.parametrize("key", ["site", "enterprise", "area", "id"])
def test_a_level_has_one_form_in_every_file(folder: Path, key: str) -> None:
    """Files of two agents are never read together: what can be written in two ways is refused in
    one of them."""
    for name in ("tu\u0308r", "Ａ１", "\uf900"):
        document = site()
        document["agent"] = {"id": "a", key: name}
        assert {code for code, _ in told(folder, document)} == {"bad-name"}


def test_a_sign_that_has_no_other_form_stays_a_name(folder: Path) -> None:
    for name in ("①号线", "一线（东）", "CO₂", "温度℃"):
        assert accepted(folder, site(tag=name)), name
        assert accepted(folder, site(device=name)), name


def test_the_decoder_takes_no_new_name_that_check_refuses() -> None:
    catalogue = Catalogue()
    for tag in ("a\u200bb", "a\\", " a", "a" * 257):
        payload = orjson.dumps(
            {
                "v": 1,
                "device": "d",
                "stream": "a/0/1",
                "seq": 1,
                "t": 1,
                "values": {"ok": 1, tag: 1},
            }
        )
        assert messages.read("edge/e/s/a/l/d/data", payload, catalogue).refused.startswith(
            "a name must not"
        ) or (len(tag) == 257)
    assert catalogue.series == [], "nothing of a refused message is entered"


def test_what_a_store_has_already_stays_readable() -> None:
    """A series from before names were judged goes on."""
    from edge_agent.stores.catalogue import Series

    catalogue = Catalogue([Series(0, "d", "a\\")])
    assert catalogue.ids("d", ("a\\",)).tolist() == np.array([0]).tolist()
