"""Typed errors. Each states a fact and the next step, in Chinese and in English, and keeps the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.model import status_name


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, said so that its reader can mend it."""

    code: str
    """Stable, machine-readable: `unknown-key`, `duplicate-id`, ..."""
    where: str
    """`file:line:column`, a device or a tag, or a row and column of a register."""
    zh: str
    """The fact and what to do next, one or two plain sentences."""
    en: str
    """The same in English."""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.zh}\n    {self.en}"


class EdgeAgentError(Exception):
    """The root of all errors the agent raises on purpose."""


class FindingsError(EdgeAgentError):
    """Something was refused; `findings` holds every reason at once, in order of place."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(map(str, findings)))
        self.findings = tuple(findings)

    @classmethod
    def one(cls, code: str, zh: str, en: str, where: str = "") -> FindingsError:
        """The common case of a single finding."""
        return cls([Finding(code, where, zh, en)])


class ConfigError(FindingsError):
    """The configuration cannot be used; raised before the first socket opens (exit status 2)."""


class RegisterError(FindingsError):
    """The equipment register or the process list cannot be used as it is."""


class StoreError(EdgeAgentError):
    """The store did not take a write. It may be repeated: nothing was acknowledged."""


class PoisonError(EdgeAgentError):
    """The store will never take this; repeating does not help. The entry belongs into quarantine."""


class DeviceError(EdgeAgentError):
    """A device did not give what was asked. The polling loop alone decides what happens next.

    `status` is the OPC UA code its tags get; `lost` says that the connection must not be used again. With `zh`, that
    and `detail` are sentences for people, shown in the place of those of the status.
    """

    def __init__(self, status: int, detail: str, *, lost: bool = False, zh: str = "") -> None:
        super().__init__(f"{status_name(status)}: {detail}")
        self.status = status
        self.detail = detail
        self.lost = lost
        self.zh = zh

    @property
    def sentences(self) -> tuple[str, str] | None:
        """Chinese and English for people; None where those of the status say enough."""
        return (self.zh, self.detail) if self.zh else None
