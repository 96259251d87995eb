"""What the OPC UA connector finds out of servers that nobody has configured."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from connectors.opcua.browsing import browse
from connectors.opcua.endpoints import scan
from connectors.opcua.options import device_options
from edge_agent.discovery import Discovery, DiscoveryTarget

DEFAULT_PORT: Final = 4840


def _target(options: Any) -> DiscoveryTarget:
    device = device_options(options)
    parts = urlsplit(device.endpoint)
    return DiscoveryTarget(
        parts.hostname or "", parts.port or DEFAULT_PORT, secured=device.security.policy != "None"
    )


DISCOVERY: Final = Discovery(schemes=("opc.tcp",), target=_target, scan=scan, browse=browse)
