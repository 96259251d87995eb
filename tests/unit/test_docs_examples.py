"""What the pages show works as it is shown: YAML goes through `check`, keys are those of the
schema, commands parse.

Nothing is left out silently: a block, a dotted word or a line of a shell that fits no rule fails.
"""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.cli.main import COMMANDS, main, parser
from edge_agent.config import load
from edge_agent.config.models import File
from edge_agent.config.plugins import InstalledPlugins
from edge_agent.config.schema import json_schema
from edge_agent.sdk import Plugin
from tests.support.store_packages import install
from tests.unit.test_docs_connector_guide import guide_code

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """One fenced piece of a page, and what stands before it."""

    page: Path
    number: int
    kind: str
    text: str
    before: str

    def __str__(self) -> str:
        return f"{self.page.stem}-{self.number}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^ *```(\S*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [Block(page, i, part[1], part[2], text[: part.start()]) for i, part in enumerate(found)]


BLOCKS = [block for page in PAGES for block in blocks(page)]
YAML = [block for block in BLOCKS if block.kind in ("yaml", "yml")]
SHELL = [block for block in BLOCKS if block.kind in ("sh", "bash", "console")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_fence_of_a_page_is_one_of_the_blocks(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = blocks(page)
    assert len(re.findall(r"^\s*(```|~~~)", text, re.MULTILINE)) == 2 * len(found)
    assert {block.kind for block in found} <= {"", "yaml", "sh", "python", "toml"}, (
        "a kind that no test knows"
    )
    for block in found:
        bare = block.kind == "" and re.search(r"^\w+:( |$)", block.text, re.MULTILINE)
        assert not bare, f"YAML without its name: {block}"


# --- YAML -----------------------------------------------------------------------------------------

WHOLE: dict[str, Any] = {
    "agent": {"id": "ipc-01"},
    "mqtt": {"url": "mqtt://127.0.0.1:1883"},
    "devices": [],
}


def completed(fragment: dict[str, Any]) -> dict[str, Any]:
    """A fragment with the least that a configuration needs beside it."""
    document = {**WHOLE, **fragment}
    for section in ("agent", "mqtt"):
        document[section] = {**WHOLE[section], **document[section]}
    return document


def included(document: dict[str, Any], folder: Path) -> None:
    """The files a fragment includes, each with a device."""
    patterns = document.get("include", [])
    for i, pattern in enumerate([patterns] if isinstance(patterns, str) else patterns):
        file = folder / pattern.replace("*", "one")
        file.parent.mkdir(parents=True, exist_ok=True)
        device = {
            "id": f"included-{i}",
            "connector": "modbus",
            "url": "tcp://10.0.9.1:502",
            "tags": {"a": {"address": "holding/1"}},
        }
        file.write_text(yaml.safe_dump({"devices": [device]}), encoding="utf-8")


def as_profile(document: dict[str, Any], text: str, folder: Path) -> dict[str, Any]:
    """A configuration whose one device uses the profile that a block shows."""
    (folder / f"{document['name']}.yaml").write_text(text, encoding="utf-8")
    return completed(
        {
            "devices": [
                {"id": "d", "url": "tcp://10.0.0.1:502", "profile": f"./{document['name']}.yaml"}
            ]
        }
    )


def guide_plugins() -> dict[str, Plugin]:
    """The installed connectors, and the one that the connector guide prints."""
    names: dict[str, Any] = {"__name__": "scpi"}
    exec(compile(guide_code(), "connector-guide.md", "exec"), names)
    return {**dict(InstalledPlugins()), "scpi": names["PLUGIN"]}


@pytest.mark.parametrize("block", YAML, ids=str)
def test_a_configuration_on_a_page_is_accepted(
    block: Block,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if block.page.stem == "store-guide":
        install(tmp_path, monkeypatch, sqlite="docs.examples.sqlite_store:PLUGIN")
    document = yaml.safe_load(block.text)
    assert isinstance(document, dict), block
    text = block.text
    if {"name", "title"} <= document.keys():
        text = yaml.safe_dump(as_profile(document, block.text, tmp_path), allow_unicode=True)
    elif not {"agent", "mqtt", "devices"} <= document.keys():
        assert document.keys() <= {field.alias or name for name, field in File.model_fields.items()}
        text = yaml.safe_dump(completed(document), allow_unicode=True)
    included(document, tmp_path)
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    if block.page.stem == "connector-guide":  # `check` knows the installed connectors only
        assert load(file, guide_plugins()).devices
        return
    assert main(["check", str(file)]) == 0, capsys.readouterr().err


INLINE = re.compile(r"`((?:agent|mqtt|outbox|store|register|defaults): ?\{[^`\n]*\})`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_piece_of_yaml_inside_a_sentence_is_accepted(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.stem == "store-guide":
        install(tmp_path, monkeypatch, sqlite="docs.examples.sqlite_store:PLUGIN")
    for piece in INLINE.findall(page.read_text(encoding="utf-8")):
        file = tmp_path / "site.yaml"
        file.write_text(yaml.safe_dump(completed(yaml.safe_load(piece))), encoding="utf-8")
        assert load(file) is not None, piece


def test_the_first_pages_show_a_whole_configuration() -> None:
    whole = [
        block for block in YAML if {"agent", "mqtt", "devices"} <= yaml.safe_load(block.text).keys()
    ]
    assert {block.page.name for block in whole} >= {"README.md", "getting-started.md"}


# --- keys -----------------------------------------------------------------------------------------


@cache
def published() -> dict[str, Any]:
    found: dict[str, Any] = json_schema(InstalledPlugins())
    return found


def resolved(node: dict[str, Any]) -> list[dict[str, Any]]:
    """A node of the schema and all that it may be instead."""
    if "$ref" in node:
        return resolved(published()["definitions"][node["$ref"].rpartition("/")[2]])
    choices = [each for name in ("anyOf", "oneOf", "allOf") for each in node.get(name, ())]
    return [node, *(found for each in choices for found in resolved(each))]


def is_key(path: str) -> bool:
    """Whether the schema has this key, `mqtt.confirm` for instance."""
    nodes = [published()]
    for part in path.split("."):
        nodes = [
            found
            for node in nodes
            if part in node.get("properties", {})
            for found in resolved(node["properties"][part])
        ]
    return bool(nodes)


SECTIONS = tuple(published()["properties"])
#: Dotted words in backticks that are no keys: what they end with, or what they are.
FILES = (
    ".py",
    ".md",
    ".json",
    ".html",
    ".toml",
    ".yaml",
    ".csv",
    ".xlsx",
    ".duckdb",
    ".sqlite",
    ".conf",
    ".sock",
    ".svg",
    ".zip",
)
OTHERS = {"byte.bit", "opc.tcp", "table.tags"}


#: Keys of other programs' configurations that a message names.
OF_OTHER_PROGRAMS = {"mqtt.listen"}  # of nats-server


def dotted(text: str) -> set[str]:
    """Words with points in them, of what stands in backticks."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", prose)
    word = re.compile(r"(?<![\w./:@-])[a-z_]+(?:\.[a-z_]+)+(?![\w/(@.-])")
    return {found for span in spans for found in word.findall(span)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_dotted_key_on_a_page_is_one_of_the_schema(page: Path) -> None:
    for name in dotted(page.read_text(encoding="utf-8")):
        if name.endswith(FILES) or name in OTHERS:
            continue
        module = (ROOT / name.replace(".", "/")).with_suffix(".py")
        assert is_key(name) or module.exists(), f"{name}: no key of the configuration"


SOURCES = sorted(
    path for folder in ("edge_agent", "connectors") for path in (ROOT / folder).rglob("*.py")
)


@cache
def sentences(path: Path) -> list[str]:
    """The strings of a module that are for people: more than one word. None of a module without a
    key or command."""
    text = path.read_text(encoding="utf-8")
    if not re.search(rf"(?:{'|'.join(SECTIONS)})\.[a-z]|edge-agent [a-z]", text):
        return []
    tree = ast.parse(text)
    strings = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return [text for text in strings if " " in text.strip() or re.search(r"[\u4e00-\u9fff]", text)]


def test_a_key_that_the_program_names_is_one_of_the_schema() -> None:
    key = re.compile(rf"(?<![\w./-])((?:{'|'.join(SECTIONS)})(?:\.[a-z_]+)+)(?![\w/(-])")
    named = {
        (path.name, name)
        for path in SOURCES
        for text in sentences(path)
        for name in key.findall(text)
        if not name.endswith(FILES) and name not in OF_OTHER_PROGRAMS
    }
    assert len(named) > 5
    assert [(file, name) for file, name in sorted(named) if not is_key(name)] == []


# --- commands -------------------------------------------------------------------------------------

#: Programs that are not ours; of a copying one the sources must be in the repository.
FOREIGN = {"python3", "cp", "install", "systemctl", ".", "apt", "cd", "sudo", "export"}


@dataclass(frozen=True)
class Line:
    """One command of a shell block."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.words)


def shell_lines(block: Block) -> list[Line]:
    """Its commands, without comments; a line that ends with a backslash goes on in the next."""
    text = block.text.replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    parts = [
        part
        for words in lines
        for part in " ".join(map(shlex.quote, words)).split("'&&'")
        if part.strip()
    ]
    return [Line(block, tuple(shlex.split(part))) for part in parts]


LINES = [line for block in SHELL for line in shell_lines(block)]


def ours(line: Line) -> list[str] | None:
    """The words behind `edge-agent`, run by itself or by `./run`; None for other commands."""
    words = list(line.words)
    if words[:1] == ["./run"] and words[1:2] in (["edge-agent"], ["demo"]):
        words = words[1:] if words[1] == "edge-agent" else ["edge-agent", *words[1:]]
    return words[1:] if words[:1] == ["edge-agent"] else None


def made_before(line: Line) -> set[str]:
    """Files of which the page has told, up to this line, how they come about."""
    page, found = line.block, set(re.findall(r"[\w./-]+\.yaml", line.block.before))
    for other in LINES:
        if other.block.page != page.page or other.block.number > page.number:
            continue
        words = ours(other) or []
        if words[:1] == ["init"]:
            found.add(words[1] if words[1:] else "plant.yaml")
        if other == line:
            continue
        if words[:1] == ["simulate"]:
            found.add(words[1].replace(".yaml", ".simulated.yaml"))
        if words[:1] == ["demo"]:
            found.add("data/demo/<time>/demo.yaml")
    text = page.page.read_text(encoding="utf-8")
    return found | {
        name for name in re.findall(r"/etc/[\w./-]+\.yaml", text) if "systemctl enable" in text
    }


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_command_on_a_page_is_one_and_its_files_are_there(line: Line) -> None:
    words = ours(line)
    if words is None:
        program = line.words[0].rpartition("/")[2] if line.words[0] != "." else "."
        if program == "run":
            return  # its own test: the commands of `./run`
        assert program in FOREIGN or line.words[0].startswith("/opt/edge-agent/bin/"), (
            f"a program no rule knows: {line}"
        )
        sources = [word for word in line.words if word.startswith(("deploy/", "docs/", "configs/"))]
        assert [word for word in sources if not (ROOT / word).exists()] == []
        return
    args = parser(words[:1]).parse_args(words)
    assert args.func
    for word in words:
        if word.endswith(".yaml"):
            assert word in made_before(line) or (ROOT / word).exists(), (
                f"{word}: the page does not say where it is from"
            )


@pytest.mark.parametrize(
    "line", [line for line in LINES if (ours(line) or [""])[0] == "check"], ids=str
)
def test_a_check_on_a_page_succeeds_with_the_file_of_that_page(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as it stands, in a folder that holds the configuration which the page shows."""
    words = ours(line) or []
    shown = [block for block in YAML if block.page == line.block.page]
    whole = [
        block.text
        for block in shown
        if {"agent", "mqtt", "devices"} <= yaml.safe_load(block.text).keys()
    ]
    made = [ours(other) or [] for other in LINES if other.block == line.block]
    first = [other for other in made if other[:2] == ["init", words[1]]]
    monkeypatch.chdir(tmp_path)
    if whole:
        (tmp_path / words[1]).write_text(whole[0], encoding="utf-8")
    elif first:
        assert main(first[0]) == 0
    else:
        assert words[1].startswith("/"), "the file of an installed service"
        return
    assert main(words) == 0


COMMAND = re.compile(r"edge-agent ([a-z]+)\b")


def test_a_command_that_a_sentence_names_is_one() -> None:
    pages = [
        span
        for page in PAGES
        for span in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    ]
    named = {
        name
        for text in pages
        for name in COMMAND.findall(text)
        if text.startswith(("edge-agent", "./run"))
    }
    for path in SOURCES:
        for text in sentences(path):
            quoted = re.findall(r"`(edge-agent [^`]+)`", text) + re.findall(
                r"[：:（(] ?(edge-agent [a-z]+)", text
            )
            named |= {name for piece in quoted for name in COMMAND.findall(piece)}
    assert {"serve", "run", "check"} <= named
    assert named - {*COMMANDS} == set()
