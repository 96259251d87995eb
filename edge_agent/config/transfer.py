"""A loaded site on its way to another process of the same agent, exactly as it was validated.

Pickled, because that is what the parent judged: a worker that starts again must not read a file that has been edited
meanwhile. The models of devices and tags are made at run time, so they are named by their connector. The bytes go
through a pipe between a process and its own child and nowhere else; they hold secrets.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from typing import Any

from edge_agent.config.models import DeviceCommon, Site
from edge_agent.config.plugins import Installed, Plugins, device_model, tag_model


def packed(site: Site, plugins: Plugins) -> bytes:
    """The site as bytes for `unpacked`."""
    buffer = io.BytesIO()
    _Pickler(buffer, site.devices, plugins).dump(site)
    return buffer.getvalue()


def unpacked(data: bytes) -> Site:
    """The site that `packed` was given; its connectors are the installed ones."""
    site: Site = pickle.loads(data)  # noqa: S301 - from our own parent, see above
    return site


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, devices: Iterable[DeviceCommon], plugins: Plugins) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._made: dict[type, tuple[Callable[[str], type], tuple[str]]] = {}
        for name in {device.connector for device in devices}:
            self._made[device_model(plugins[name])] = _device, (name,)
            self._made[tag_model(plugins[name])] = _tag, (name,)

    def reducer_override(self, obj: Any) -> Any:
        """A model that no module names is told by its connector."""
        return self._made.get(obj, NotImplemented) if isinstance(obj, type) else NotImplemented


def _device(connector: str) -> type[DeviceCommon]:
    return device_model(Installed()[connector])


def _tag(connector: str) -> type:
    return tag_model(Installed()[connector])
