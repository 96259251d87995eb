"""requirements/*.txt hold what pyproject.toml allows, each file with hashes, and agree with one
another.

`./run lock` writes them anew.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
#: Each lock with the extras of pyproject.toml that it holds.
EXTRAS = {"runtime": (), "test": ("test",), "fuzz": ("test", "fuzz"), "dev": ("test", "dev")}
#: What the project is installed on.
MACHINES = [
    {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine,
     "sys_platform": "linux", "os_name": "posix", "platform_system": "Linux",
     "platform_python_implementation": "CPython", "implementation_name": "cpython", "extra": ""}
    for python in ("3.11", "3.12", "3.13") for machine in ("x86_64", "aarch64")
]  # fmt: skip


@dataclass(frozen=True)
class LockedPackage:
    """One entry of a lock."""

    name: str
    version: Version
    marker: Marker | None
    hashes: int


def entries(text: str) -> Iterator[LockedPackage]:
    """What a lock holds; ValueError for an entry that pins no version."""
    for entry in re.split(r"\n(?=[A-Za-z0-9])", "\n" + text):
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        head = re.split(r"\s*\\?\n|\s+--hash", entry.strip(), maxsplit=1)[0]
        found = Requirement(head)
        (pin,) = found.specifier
        if pin.operator != "==":
            raise ValueError(head)
        hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", entry))
        yield LockedPackage(
            canonicalize_name(found.name), Version(pin.version), found.marker, hashes
        )


def lock_text(name: str) -> str:
    return (LOCKS / f"{name}.txt").read_text(encoding="utf-8")


def installed(name: str, machine: dict[str, str]) -> dict[str, Version]:
    """The versions that a lock gives one kind of machine."""
    found: dict[str, Version] = {}
    for each in entries(lock_text(name)):
        if each.marker is None or each.marker.evaluate(dict(machine)):
            assert found.setdefault(each.name, each.version) == each.version, each.name
    return found


def wanted(name: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if name == "build":
        lines = (LOCKS / "build.in").read_text(encoding="utf-8").splitlines()
        return [Requirement(line) for line in lines if line and not line.startswith("#")]
    texts = list(project["project"]["dependencies"])
    for extra in EXTRAS[name]:
        texts += project["project"]["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def faults(name: str, machine: dict[str, str]) -> list[str]:
    """Requirements that the lock does not meet on this kind of machine."""
    versions = installed(name, machine)
    found = []
    for requirement in wanted(name):
        if requirement.marker is not None and not requirement.marker.evaluate(dict(machine)):
            continue
        version = versions.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            found.append(f"{requirement}: {version}")
    return found


@pytest.mark.parametrize("name", ["build", *EXTRAS])
def test_a_lock_holds_what_the_project_allows(name: str) -> None:
    for machine in MACHINES:
        assert faults(name, machine) == [], (
            name,
            machine["python_version"],
            machine["platform_machine"],
        )


@pytest.mark.parametrize("name", ["build", *EXTRAS])
def test_each_package_has_hashes_and_no_address(name: str) -> None:
    text = lock_text(name)
    assert [each.name for each in entries(text) if not each.hashes] == []
    assert "://" not in text
    assert re.findall(r"^\s*-(?!-hash=)", text, re.MULTILINE) == [], "no option but hashes"


@pytest.mark.parametrize("larger", ["test", "fuzz", "dev"])
def test_what_tests_install_is_what_the_program_runs_with(larger: str) -> None:
    for machine in MACHINES:
        versions = installed(larger, machine)
        runtime = installed("runtime", machine)
        assert {name: versions.get(name) for name in runtime} == runtime


def test_what_builds_the_project_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for machine in MACHINES:
        versions = installed("build", machine)
        for text in project["build-system"]["requires"]:
            requirement = Requirement(text)
            assert versions[canonicalize_name(requirement.name)] in requirement.specifier


def test_a_lock_that_is_behind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above rest on: a version outside a range, and a package that is not there."""
    hashed = "--hash=sha256:" + "0" * 64
    locked = (
        f"numpy==1.26.0 \\\n    {hashed}\n    # via x\nduckdb==2.0.1 ; sys_platform == 'linux' "
        f"{hashed}\n"
    )
    monkeypatch.setitem(globals(), "lock_text", lambda name: locked)
    monkeypatch.setitem(
        globals(),
        "wanted",
        lambda name: [Requirement("numpy>=2"), Requirement("duckdb>=2"), Requirement("rich")],
    )
    assert faults("runtime", MACHINES[0]) == ["numpy>=2: 1.26.0", "rich: None"]
    assert [each.hashes for each in entries(locked)] == [1, 1]
