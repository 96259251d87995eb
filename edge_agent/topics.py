"""Where a message goes: `{prefix}/{enterprise}/{site}/{area}/{line}/{device}/data` and its siblings."""

from __future__ import annotations

from dataclasses import dataclass


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
        """Retained result of one metric."""
        return f"{self.root}/metrics/{metric}"

    def all(self, kind: str) -> str:
        """The filter for `data`, `birth` or `health` of every device of the site."""
        return f"{self.root}/+/+/+/{kind}"

    def all_agents(self) -> str:
        """The filter for the state of every agent of the site."""
        return f"{self.root}/agents/+"
