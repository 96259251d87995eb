"""The stores that are installed beside the built-in ones, each imported only when `store.kind`
names it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, Protocol, cast, get_args

from pydantic import BaseModel, ConfigDict, create_model

from edge_agent.config.findings import Findings
from edge_agent.config.models import File, StoreConfig, StoreSection
from edge_agent.config.places import YamlMapping, locate
from edge_agent.errors import ConfigError
from edge_agent.sdk import Problem

GROUP: Final = "edge_agent.stores"
BUILT_IN: Final[tuple[str, ...]] = get_args(StoreConfig.model_fields["kind"].annotation)


class StoreKind(Protocol):
    """What the configuration asks of a `stores.sdk.StorePlugin`."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> type[BaseModel]: ...

    @property
    def check(self) -> Callable[[Any], Iterable[Problem]]: ...


class InstalledStores(Mapping[str, StoreKind]):
    """The plug-ins of the entry point group, by kind; a look-up imports that one. No package can
    take the name of a built-in store."""

    def __init__(self) -> None:
        self._entries: dict[str, EntryPoint] = {
            entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN
        }

    def __getitem__(self, name: str) -> StoreKind:
        entry = self._entries[name]
        try:
            plugin = entry.load()
            right = plugin.name == name and issubclass(plugin.options, BaseModel)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError.one(
                "broken-store",
                f"存储插件 {name!r} 无法载入（{error}），请重新安装或升级。",
                f"the store {name!r} cannot be loaded ({error}); install it again, or upgrade.",
            ) from error
        if not right:
            raise ConfigError.one(
                "broken-store",
                f"存储插件 {name!r} 不是同名的 StorePlugin，请联系其作者。",
                f"the store {name!r} is no StorePlugin of that name; ask its author.",
            )
        return cast("StoreKind", plugin)

    def __contains__(self, name: object) -> bool:
        """Also of one that cannot be loaded: it is installed."""
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def loadable(self) -> list[StoreKind]:
        """Those that can be imported, by kind."""
        found = []
        for name in sorted(self._entries):
            with contextlib.suppress(ConfigError):
                found.append(self[name])
        return found


@lru_cache
def store_model(plugin: StoreKind) -> type[StoreSection]:
    """The keys of the section `store:` with this store: those of every store and its own."""
    bases: Any = (StoreSection, plugin.options)
    kind: Any = Literal[plugin.name]
    name = f"{plugin.name.capitalize()}StoreSection"
    made = create_model(name, __base__=bases, __module__=__name__, kind=(kind, plugin.name))
    return cast("type[StoreSection]", made)


def file_model(written: YamlMapping, found: Findings) -> type[File]:
    """The keys of a configuration file whose section `store:` names this kind."""
    store = written.get("store")
    kind = store.get("kind") if isinstance(store, YamlMapping) else None
    if not isinstance(kind, str) or kind in BUILT_IN:
        return File
    installed = InstalledStores()
    if kind not in installed:
        return _file_with_kinds((*BUILT_IN, *sorted(installed))) if installed else File
    try:
        return _file_with(store_model(installed[kind]))
    except ConfigError as error:
        for finding in error.findings:
            found.add(finding.code, locate(written, "store", "kind"), finding.zh, finding.en)
        return _file_with(_unknown_keys(kind))


def check_store(section: StoreSection, written: YamlMapping, found: Findings) -> None:
    """What a store that is not built in finds wrong with its own keys together."""
    if section.kind in BUILT_IN:
        return
    with contextlib.suppress(ConfigError):  # it cannot be loaded, which `file_model` has reported
        for problem in InstalledStores()[section.kind].check(section):
            found.add("bad-store", locate(written, "store", problem.key), problem.zh, problem.en)


@lru_cache
def _file_with(store: type[StoreSection]) -> type[File]:
    return create_model("File", __base__=File, __module__=__name__, store=(store, ...))


@lru_cache
def _file_with_kinds(kinds: tuple[str, ...]) -> type[File]:
    kind: Any = Literal[kinds]
    store = create_model(
        "StoreConfig", __base__=StoreConfig, __module__=__name__, kind=(kind, "duckdb")
    )
    return _file_with(store)


@lru_cache
def _unknown_keys(kind: str) -> type[StoreSection]:
    """A store that cannot be loaded has keys that nobody knows."""
    literal: Any = Literal[kind]
    made = create_model(
        "StoreSection", __base__=StoreSection, __module__=__name__, kind=(literal, kind)
    )
    made.model_config = StoreSection.model_config | ConfigDict(extra="ignore")
    made.model_rebuild(force=True)
    return made
