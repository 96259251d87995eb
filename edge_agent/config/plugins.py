"""The connectors that are installed, each imported only when a device names it (asyncua alone costs
40 MB)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, WrapValidator, create_model

from edge_agent.config.models import DeviceCommon, TagCommon
from edge_agent.config.tagset import validate_tagset
from edge_agent.config.values import Name
from edge_agent.errors import ConfigError
from edge_agent.sdk import Plugin

GROUP = "edge_agent.connectors"

Plugins = Mapping[str, Plugin]


class InstalledPlugins(Plugins):
    """The plugins of the entry point group, by connector name; a look-up imports that one."""

    def __init__(self) -> None:
        self._entries: dict[str, EntryPoint] = {
            entry.name: entry for entry in entry_points(group=GROUP)
        }

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
    return InstalledPlugins() if plugins is None else plugins


@lru_cache
def tag_model(plugin: Plugin) -> type[TagCommon]:
    """A tag's keys with this connector: the common ones and the connector's own."""
    name = f"{plugin.name.capitalize()}Tag"
    bases: Any = (TagCommon, plugin.tag_options)
    return cast("type[TagCommon]", create_model(name, __base__=bases, __module__=__name__))


@lru_cache
def device_model(plugin: Plugin) -> type[DeviceCommon]:
    """A device's keys with this connector. Cached, so that devices of two loads compare equal when
    nothing changed."""
    name = f"{plugin.name.capitalize()}Device"
    bases: Any = (DeviceCommon, plugin.device_options)
    tags: Any = (Annotated[dict[Name, tag_model(plugin)], WrapValidator(validate_tagset)], {})  # type: ignore[misc]  # a type made at run time
    return cast(
        "type[DeviceCommon]", create_model(name, __base__=bases, __module__=__name__, tags=tags)
    )


def loadable(plugins: Plugins) -> list[Plugin]:
    """The plugins that can be imported; what is wrong with the others is told where a device names
    them."""
    result = []
    for name in plugins:
        with contextlib.suppress(ConfigError):
            result.append(plugins[name])
    return result


def any_connector(plugins: Plugins) -> tuple[type[DeviceCommon], type[TagCommon]]:
    """Models of a device and of a tag whose connector is not known: their common keys are judged,
    and every other key must be some connector's."""
    return _any_of(tuple(loadable(plugins)), len(plugins))


@lru_cache(maxsize=8)
def _any_of(
    known: tuple[Plugin, ...], installed: int
) -> tuple[type[DeviceCommon], type[TagCommon]]:
    # A connector that cannot be loaded has keys that nobody knows.
    extra = ConfigDict(extra="forbid" if len(known) == installed else "ignore")
    tag_keys = _foreign(TagCommon, [plugin.tag_options for plugin in known])
    tag: Any = create_model("AnyTag", __base__=TagCommon, __module__=__name__, **tag_keys)
    tag.model_config = TagCommon.model_config | extra
    tag.model_rebuild(force=True)
    device_keys = _foreign(DeviceCommon, [plugin.device_options for plugin in known])
    device_keys |= {"connector": (Any, ""), "tags": (dict[Name, tag], {})}
    device: Any = create_model(
        "AnyDevice", __base__=DeviceCommon, __module__=__name__, **device_keys
    )
    device.model_config = DeviceCommon.model_config | extra
    device.model_rebuild(force=True)
    return device, tag


def _foreign(common: type[BaseModel], options: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The connectors' keys beside the common ones, each with any value."""
    return {
        key: (Any, None)
        for model in options
        for key in model.model_fields
        if key not in common.model_fields
    }
