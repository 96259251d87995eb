"""What the Modbus connector finds out of devices that nobody has configured."""

from __future__ import annotations

from typing import Any, Final

from connectors.modbus.chance import chance, place
from connectors.modbus.endpoint import SCHEMES, parse_url
from connectors.modbus.invalid import InvalidError
from connectors.modbus.options import device_options
from connectors.modbus.probe import probe
from connectors.modbus.scan import scan
from edge_agent.discovery import Discovery, DiscoveryTarget


def _target(options: Any) -> DiscoveryTarget:
    try:
        endpoint = parse_url(device_options(options).url)
    except InvalidError as error:
        raise ValueError(f"{error.zh}\n    {error.en}") from error
    return DiscoveryTarget(
        endpoint.host, endpoint.port, endpoint.path, endpoint.scheme == "tls", exclusive=True
    )


DISCOVERY: Final = Discovery(
    schemes=SCHEMES,
    target=_target,
    scan=scan,
    probe=probe,
    chance=chance,
    place=place,
    has_units=True,
)
