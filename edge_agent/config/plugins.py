"""The connectors that are installed, each imported only when a device names it (asyncua alone costs 40 MB)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, cast

from pydantic import WrapValidator, create_model

from edge_agent.config.models import DeviceCommon, TagCommon
from edge_agent.config.tagset import kept
from edge_agent.errors import ConfigError
from edge_agent.sdk import Plugin

GROUP = "edge_agent.connectors"

Plugins = Mapping[str, Plugin]


class Installed(Plugins):
    """The plugins of the entry point group, by connector name; a look-up imports that one."""

    def __init__(self) -> None:
        self._entries: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}

    def __getitem__(self, name: str) -> Plugin:
        try:
            plugin = self._entries[name].load()
        except (ImportError, AttributeError) as error:
            raise ConfigError.one(
                "broken-connector",
                f"连接器 {name!r} 无法载入（{error}），请重新安装。",
                f"the connector {name!r} cannot be loaded ({error}); install it again.",
            ) from error
        if not isinstance(plugin, Plugin):
            raise ConfigError.one(
                "broken-connector",
                f"连接器 {name!r} 不是 edge_agent.sdk.Plugin，请联系其作者。",
                f"the connector {name!r} is not an edge_agent.sdk.Plugin; ask its author.",
            )
        return plugin

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def plugins_or_installed(plugins: Plugins | None) -> Plugins:
    """The given plugins, else those installed."""
    return Installed() if plugins is None else plugins


@lru_cache
def tag_model(plugin: Plugin) -> type[TagCommon]:
    """A tag's keys with this connector: the common ones and the connector's own."""
    name = f"{plugin.name.capitalize()}Tag"
    bases: Any = (TagCommon, plugin.tag_options)
    return cast("type[TagCommon]", create_model(name, __base__=bases, __module__=__name__))


@lru_cache
def device_model(plugin: Plugin) -> type[DeviceCommon]:
    """A device's keys with this connector. Cached, so that devices of two loads compare equal when nothing changed."""
    name = f"{plugin.name.capitalize()}Device"
    bases: Any = (DeviceCommon, plugin.device_options)
    tags: Any = (Annotated[dict[str, tag_model(plugin)], WrapValidator(kept)], {})  # type: ignore[misc]  # a type made at run time
    return cast("type[DeviceCommon]", create_model(name, __base__=bases, __module__=__name__, tags=tags))
