"""What `forget` may end the listing of: nothing that still stands in the configuration."""

from __future__ import annotations

from collections.abc import Collection

from edge_agent.errors import FindingsError
from edge_agent.identity import SEPARATOR
from edge_agent.production.site_devices import SiteDevice, SiteDevices
from edge_agent.stores.catalogue import Catalogue
from edge_agent.stores.forgotten import Entry
from edge_agent.words import command


def forgettable(
    written: str, devices: SiteDevices, catalogue: Catalogue, heard: Collection[str] = ()
) -> Entry:
    """What `AGENT[:DEVICE[/TAG]]` names, if it can be forgotten. `heard`: agents of which the
    service knows the state. Raises FindingsError."""
    agent, separator, rest = written.partition(SEPARATOR)
    device, slash, tag = rest.partition("/")
    keys = catalogue.keys
    key = keys.key(agent, device)
    present = {*catalogue.devices, *catalogue.listed()}
    known = (
        key in present if separator else agent in {*heard, *(keys.agent(each) for each in present)}
    )
    if not agent or not known or (slash and catalogue.find(key, tag) is None):
        raise FindingsError.one(
            "forget-unknown",
            "没有这样的采集代理、设备或变量：请写 AGENT、AGENT:DEVICE 或 AGENT:DEVICE/TAG，"
            f"名称见 {command('status')}。",
            "There is no such agent, device or tag: write AGENT, AGENT:DEVICE or AGENT:DEVICE/TAG; "
            f"`{command('status')}` has the names.",
            written,
        )
    member = devices.by_key.get(key) if separator else None
    if (not separator and not devices.is_guest_agent(agent)) or (
        member is not None and _configured(member, tag)
    ):
        raise FindingsError.one(
            "forget-configured",
            "它还在配置中：请先从配置里删除，再执行 forget。",
            "It still stands in the configuration: take it out there first, then forget it.",
            written,
        )
    return agent, device, tag


def _configured(member: SiteDevice, tag: str) -> bool:
    """Whether the service's own file has the device, and the tag if one is asked for."""
    return not member.by_birth and (not tag or tag in member.config.tags)
