"""Why something is not well: one table of reasons, each a sentence in Chinese and in English with
the next step.

A reason has a stable name. Those of the status codes (`statuses`) and of states (`states`) say all
by themselves; a cause (`causes`) is filled in with what is known: the address, the file, what the
server offers instead. Log, `status`, health documents, `read` and pages show this sentence and make
none of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from edge_agent.reasons.causes import CAUSES
from edge_agent.reasons.states import STATES
from edge_agent.reasons.statuses import STATUSES, family
from edge_agent.reasons.system import network_cause, words_of

__all__ = [
    "Cause",
    "cause",
    "cause_of_error",
    "cause_of_status",
    "network_cause",
    "sentence",
    "status_of_cause",
    "words_of",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cause:
    """What exactly went wrong: a stable name, and the sentence in both languages, each with the
    next step."""

    name: str
    zh: str
    en: str


def sentence(reason: str) -> tuple[str, str]:
    """(zh, en) of the name of a status or a state; a status without a sentence of its own has that
    of its family."""
    return STATES.get(reason) or STATUSES.get(reason) or family(reason)


def cause(name: str, **facts: object) -> Cause:
    """A cause with its facts filled in. A fact `x` may be given in Chinese as `x_zh`; a missing one
    is a KeyError."""
    _, zh, en = CAUSES[name]
    chinese = {key: facts.get(f"{key}_zh", value) for key, value in facts.items()}
    return Cause(name, zh.format_map(chinese), en.format_map(facts))


def cause_of_error(error: BaseException, where: str) -> Cause:
    """The cause for an error on the way to an address, or on the connection to it."""
    zh, en = words_of(error)
    return cause(network_cause(error), where=where, why=en, why_zh=zh)


@lru_cache(maxsize=1024)
def cause_of_status(status: str, where: str = "") -> Cause:
    """What a status says by its name alone, at an address if there is one."""
    zh, en = sentence(status)
    return Cause(status, f"{where}：{zh}" if where else zh, f"{where}: {en}" if where else en)


def status_of_cause(name: str) -> str:
    """The name of the OPC UA status that the values of a device get for this cause."""
    return CAUSES[name][0]
