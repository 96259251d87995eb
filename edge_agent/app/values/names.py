"""Which tags somebody means: `DEVICE`, `DEVICE/TAG`, `agent:DEVICE/TAG`, each with `*`, `?` and
`[...]` if need be.

Device names are taken apart and put together here and nowhere else in this package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from edge_agent.config.findings import advice
from edge_agent.errors import Finding, FindingsError

#: What stands between an agent's id, which has none, and a device's.
_AGENT: Final = ":"
_TAG: Final = "/"

#: Tags of a device, in its order.
Known = Mapping[str, Sequence[str]]


class TagSelector(NamedTuple):
    """One argument, taken apart; None where it says nothing."""

    agent: str | None
    device: str
    tag: str | None


def wanted(text: str, devices: Iterable[str] = ()) -> TagSelector:
    """An argument taken apart. `devices`: known ids, of which one with a colon of its own is meant
    as it stands."""
    device, slash, tag = text.partition(_TAG)
    agent, colon, rest = device.partition(_AGENT)
    named = bool(colon) and device not in devices
    return TagSelector(agent if named else None, rest if named else device, tag if slash else None)


def shown(agent: str, device: str, twins: Iterable[str] = ()) -> str:
    """A device's name for people: its id, or `agent:device` when several agents have one of that
    id."""
    return f"{agent}{_AGENT}{device}" if device in twins else device


def selected(
    arguments: Sequence[str], agents: Mapping[str, str], known: Known
) -> dict[str, list[str]]:
    """The tags meant, by device, both in the order of `known`; all of them without any argument.
    `agents`: the agent of each device.

    Raises FindingsError with one finding for each argument that fits nothing, the nearest name in
    it.
    """
    if not arguments:
        return {device: list(tags) for device, tags in known.items()}
    found: dict[str, set[str]] = {}
    findings: list[Finding] = []
    for text in arguments:
        meant = wanted(text, known)
        hits = _hits(meant, agents, known)
        if not hits:
            findings.append(_unknown(text, meant, agents, known))
        for device, tags in hits.items():
            found.setdefault(device, set()).update(tags)
    if findings:
        raise FindingsError(findings)
    return {
        device: [tag for tag in known[device] if tag in found[device]]
        for device in known
        if device in found
    }


def _hits(meant: TagSelector, agents: Mapping[str, str], known: Known) -> dict[str, list[str]]:
    hits = {}
    for device, tags in known.items():
        if _fits_device(device, agents[device], meant.device) and (
            meant.agent is None or fits(agents[device], meant.agent)
        ):
            wanted_tags = (
                list(tags) if meant.tag is None else [tag for tag in tags if fits(tag, meant.tag)]
            )
            if wanted_tags:
                hits[device] = wanted_tags
    return hits


def _fits_device(device: str, agent: str, pattern: str) -> bool:
    """By its name, or by its id alone where the store has it as `agent:device`, of another agent
    than the own one."""
    return fits(device, pattern) or fits(device.removeprefix(f"{agent}{_AGENT}"), pattern)


def fits(name: str, pattern: str) -> bool:
    """A name is meant by itself, whatever signs are in it, and by a pattern."""
    return name == pattern or fnmatchcase(name, pattern)


def _unknown(text: str, meant: TagSelector, agents: Mapping[str, str], known: Known) -> Finding:
    own = [device for device in known if meant.agent is None or fits(agents[device], meant.agent)]
    if meant.agent is not None and not own:
        zh, en = advice(meant.agent, agents.values())
        return Finding(
            "unknown-agent",
            text,
            f"没有采集代理 {meant.agent!r}；{zh}",
            f"no agent {meant.agent!r}; {en}",
        )
    devices = [device for device in own if _fits_device(device, agents[device], meant.device)]
    if not devices:
        zh, en = advice(meant.device, own)
        return Finding(
            "unknown-device",
            text,
            f"没有设备 {meant.device!r}；{zh}",
            f"no device {meant.device!r}; {en}",
        )
    names: list[str] = []
    for device in devices:
        names += known[device]
    zh, en = advice(meant.tag, names)
    return Finding(
        "unknown-tag", text, f"没有变量 {meant.tag!r}；{zh}", f"no tag {meant.tag!r}; {en}"
    )
