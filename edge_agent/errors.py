"""Typed errors. Each states a fact and the next step, in Chinese and in English, and keeps the
evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.model import STATUS, is_bad, status_name
from edge_agent.reasons import Cause, cause, sentence, status_of_cause


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
    """The store did not take a write. It may be repeated: nothing was acknowledged. `cause` says
    why."""

    def __init__(self, why: Cause | str) -> None:
        """`why` as a text: the store's own words, or the system's."""
        self.cause = cause("store_failed", why=why) if isinstance(why, str) else why
        super().__init__(self.cause.en)


class PoisonError(EdgeAgentError):
    """The store will never take this; repeating does not help. The entry belongs into
    quarantine."""


class DeviceError(EdgeAgentError):
    """A device did not give what was asked. The polling loop alone decides what happens next.

    `status` is the OPC UA code its tags get; `lost` says that the connection must not be used
    again; `cause` is why, in both languages, and what people are shown wherever they look.
    """

    def __init__(self, status: int, why: Cause | str, *, lost: bool = False) -> None:
        """`why` as one English text goes behind the Chinese sentence of the status."""
        # a failure with a good or uncertain code would make nothing look like a value
        if not is_bad(status):
            status = STATUS["BadCommunicationError"]
        name = status_name(status)
        if isinstance(why, str):
            zh = sentence(name)[0].rstrip("。")
            why = Cause(name, f"{zh}（{why}）。", why)
        super().__init__(f"{name}: {why.en}")
        self.status = status
        self.cause = why
        self.lost = lost

    @classmethod
    def of(cls, name: str, *, lost: bool = False, **facts: object) -> DeviceError:
        """The error for a cause of the table of reasons, with the status that belongs to it."""
        return cls(STATUS[status_of_cause(name)], cause(name, **facts), lost=lost)

    @property
    def detail(self) -> str:
        """The cause in English, as logs have it."""
        return self.cause.en


def newer_format(path: object, found: object, known: object) -> FindingsError:
    """The refusal of what a newer program has written; it is left as it is."""
    return FindingsError.one(
        "format-newer",
        f"格式为 {found}，由更新的版本写成，本程序只认识到格式 {known}；内容未被改动。"
        "请安装写它的那个版本（或更新的版本）。",
        f"This has format {found}, written by a newer version; this program knows up to format "
        f"{known}. It was left as "
        "it is: install the version that wrote it, or a later one.",
        str(path),
    )
