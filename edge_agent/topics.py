"""Where a message goes: `{prefix}/{enterprise}/{site}/{area}/{line}/{device}/data` and its
siblings."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one site."""

    prefix: str
    enterprise: str
    site: str

    @property
    def root(self) -> str:
        return f"{self.prefix}/{self.enterprise}/{self.site}"

    def device(self, area: str, line: str, device: str) -> str:
        """The path of a device; `/data`, `/birth` and `/health` hang below it."""
        return f"{self.root}/{area}/{line}/{device}"

    def agent(self, agent: str) -> str:
        """Retained state of an agent, with its last will."""
        return f"{self.root}/agents/{agent}"

    def watermark(self, agent: str) -> str:
        """Retained: what the store has of this agent's streams, written by the ingest."""
        return f"{self.root}/agents/{agent}/watermark"

    def metric(self, metric: str) -> str:
        """Retained result of one metric. A line's name is part of its id: `1#线` stands there as
        `1%23线`."""
        return f"{self.root}/metrics/{''.join(map(_encodable, metric))}"

    def all(self, kind: str) -> str:
        """The filter for `data`, `birth` or `health` of every device of the site."""
        return f"{self.root}/+/+/+/{kind}"

    def all_agents(self) -> str:
        """The filter for the state of every agent of the site."""
        return f"{self.root}/agents/+"


def _encodable(character: str) -> str:
    """The character, or `%23` and the like for one that no topic can have."""
    return (
        quote(character, safe="") if character in "+#" or not character.isprintable() else character
    )
