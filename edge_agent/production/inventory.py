"""The configured devices as an assessor sees them. Never a secret: of an account only that there is
one."""

from __future__ import annotations

from typing import Any

from edge_agent.config.models import Site
from edge_agent.production.facts import AssessedDevice
from edge_agent.production.signals import business_links, is_controller
from edge_agent.production.site_devices import SiteDevice, SiteDevices


def inventory(site: Site, known: SiteDevices) -> dict[str, AssessedDevice]:
    """Every device of the plant, by what figures call it."""
    return {member.name: _device(member, site) for member in known.members}


def _device(member: SiteDevice, site: Site) -> AssessedDevice:
    device = member.config
    options: dict[str, Any] = device.model_dump(mode="json")
    return AssessedDevice(
        id=member.name,
        name=device.name,
        line=device.line,
        area=device.area or site.agent.area,
        connector=device.connector,
        endpoint=str(options.get("endpoint") or options.get("url") or ""),
        unit=str(options.get("unit", "")),
        security=_security(options),
        access=_access(options) if "endpoint" in options else "",
        profile=device.profile or "",
        every_s=f"{device.every:g}",
        tags=len(device.tags),
        controller=is_controller(device),
        normalised=member.normalised,
        business_links=tuple(sorted(business_links(device))),
    )


def _security(options: dict[str, Any]) -> str:
    """The channel: OPC UA policy and mode, `TLS`, or `None`."""
    security = options.get("security")
    if isinstance(security, dict):
        policy = str(security.get("policy", "None"))
        mode = security.get("mode") or ("None" if policy == "None" else "SignAndEncrypt")
        return "None" if policy == "None" else f"{policy}/{mode}"
    return "TLS" if str(options.get("url", "")).startswith("tls://") else "None"


def _access(options: dict[str, Any]) -> str:
    """How the agent identifies itself to an OPC UA server."""
    user = options.get("user")
    if not isinstance(user, dict):
        return "anonymous"
    return "certificate" if user.get("certificate") else "user name"
