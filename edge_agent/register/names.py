"""The names by which a register may call devices, as far as the configuration alone tells."""

from __future__ import annotations

from edge_agent.config.models import Site
from edge_agent.identity import DeviceKeys, DeviceNames


def names_in(site: Site) -> DeviceNames:
    """An id alone, or `agent:device`; devices of other agents of the plant are not known here, and
    any name of theirs is let pass."""
    keys = DeviceKeys(site.agent.id)
    return DeviceNames(keys, [keys.key(None, device.id) for device in site.devices], site.agents)
