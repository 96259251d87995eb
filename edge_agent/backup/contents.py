"""What belongs to a plant besides its store and outbox, and where each file stands once the plant
is put up again: in one folder, as it stood beside the plant file, or below `outside/`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import BaseModel

from edge_agent.backup.references import (
    PathReference,
    PlantText,
    environment_names,
    plant_texts,
    with_names,
)
from edge_agent.config.models import Site
from edge_agent.config.profiles import FOLDER as PROFILES
from edge_agent.errors import FindingsError

OUTSIDE: Final = "outside"
"""The folder of what did not stand beside the plant file."""
_MOST_FILES: Final = 50_000
_MOST_BYTES: Final = 4_000_000_000
_KEYS: Final = "pki"
"""What connectors keep in the state folder: certificates and keys of their own."""


@dataclass(frozen=True, slots=True)
class PlantLayout:
    """A plant's files, and their places below the folder that it is restored into."""

    main: Path
    site: Site
    texts: tuple[PlantText, ...]
    paths: tuple[Path, ...]
    """Files and folders that the configuration names, but for store and outbox."""
    keys: Path | None
    """The folder of certificates and keys that no key of the configuration names."""
    places: dict[Path, PurePosixPath]

    @classmethod
    def of(cls, main: Path, site: Site, state_folder: Path) -> PlantLayout:
        """`state_folder`: that of the agent. Raises OSError."""
        main = Path(os.path.abspath(main))
        named = {Path(os.path.abspath(path)) for path in _paths_of(site)}
        texts = tuple(plant_texts(main, named))
        keys = state_folder / _KEYS
        with_keys = keys.is_dir() and any(hasattr(device, "security") for device in site.devices)
        read = {text.path for text in texts}
        secrets = {
            target
            for text in texts
            for reference in text.references
            if reference.kind == "secret"
            for target in reference.targets
        }
        own = {Path(os.path.abspath(path)) for path in (site.store.path, site.outbox.path)}
        every = read | named | secrets | ({keys} if with_keys else set())
        return cls(
            main,
            site,
            texts,
            tuple(sorted((named | secrets) - own - read)),
            keys if with_keys else None,
            _places(main, every),
        )

    def place(self, path: Path) -> PurePosixPath:
        """Where a file of ours stands, relative to the folder of the restored plant."""
        path = Path(os.path.abspath(path))
        for parent in (path, *path.parents):
            if parent in self.places:
                return self.places[parent] / path.relative_to(parent).as_posix()
        return PurePosixPath(path.relative_to(self.main.parent).as_posix())

    @property
    def secrets(self) -> list[str]:
        """The places of files that hold secrets: keys, and what `!file` names."""
        found = {
            str(self.place(target))
            for text in self.texts
            for reference in text.references
            if reference.kind == "secret"
            for target in reference.targets
            if target.exists()
        }
        found |= {str(self.place(path)) for path in self.paths if path.suffix in (".key", ".pem")}
        return sorted(found | ({str(self.place(self.keys))} if self.keys else set()))

    @property
    def environment(self) -> list[str]:
        """Variables that secrets come from, which no backup can contain."""
        return environment_names(self.texts)

    def files(self) -> Iterator[tuple[Path, PurePosixPath]]:
        """Each file to copy as it is, with its place. Raises FindingsError where a folder that is
        named holds much more than a plant, OSError."""
        done: set[Path] = {text.path for text in self.texts}
        size = 0
        for path in (*self.paths, *([self.keys] if self.keys is not None else [])):
            for file in regular_files(path):
                if file in done:
                    continue
                done.add(file)
                size += file.stat().st_size
                if len(done) > _MOST_FILES or size > _MOST_BYTES:
                    raise _too_much(path)
                yield file, self.place(file)

    def rewritten(self, text: PlantText) -> bytes:
        """A file of the configuration with the names that are right at its place."""
        folder = self.place(text.path).parent

        def fresh(reference: PathReference) -> list[str] | None:
            here = [_relative(self.place(target), folder) for target in reference.targets]
            if reference.is_pattern:
                before = [os.path.relpath(each, text.path.parent) for each in reference.targets]
                return None if here == before and not os.path.isabs(reference.written) else here
            if reference.kind == "profile" and not reference.written.endswith((".yaml", ".yml")):
                return None if here == [f"{PROFILES}/{reference.written}.yaml"] else here
            same = os.path.normpath(folder / reference.written) == str(
                self.place(reference.targets[0])
            )
            return None if same else here

        return with_names(text, fresh)


def regular_files(path: Path) -> Iterator[Path]:
    """A file, or the files in a folder; neither sockets nor devices. Raises OSError."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():
                yield file


def _paths_of(model: BaseModel) -> Iterator[Path]:
    """Every path in a model and in those below it; tags have none."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if name == "tags":
            continue
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, Path):
                yield each
            elif isinstance(each, BaseModel):
                yield from _paths_of(each)


def _places(main: Path, paths: Collection[Path]) -> dict[Path, PurePosixPath]:
    """Beside the plant file what stood there, the rest below `outside/` with a number."""
    places: dict[Path, PurePosixPath] = {}
    number = 0
    for path in sorted(paths):
        if any(parent in places for parent in path.parents):
            continue
        if path.is_relative_to(main.parent) and path != main.parent:
            places[path] = PurePosixPath(path.relative_to(main.parent).as_posix())
        elif not main.is_relative_to(path) or path == main.parent:
            number += 1
            places[path] = PurePosixPath(OUTSIDE, f"{number:03}-{_short(path.name)}")
    return places


def _short(name: str) -> str:
    """A name that has room in the head of a member; its ending stays."""
    stem, suffix = os.path.splitext(name)
    while len((stem + suffix).encode()) > 48 and stem:
        stem = stem[:-1]
    return stem + suffix


def _relative(target: PurePosixPath, folder: PurePosixPath) -> str:
    return os.path.relpath(target, folder)


def _too_much(path: Path) -> FindingsError:
    return FindingsError.one(
        "backup-folder-too-large",
        "配置中写的这个目录里文件过多，不像是本厂的：请改写更具体的目录。",
        "This folder, which the configuration names, holds far more than belongs to a plant: name "
        "a more particular one.",
        str(path),
    )
