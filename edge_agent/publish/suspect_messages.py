"""Topics whose messages the broker does not take: they wait, so that they stop nobody else's."""

from __future__ import annotations

import logging
from typing import Final

from edge_agent.errors import Finding
from edge_agent.mqtt.trouble import hangs_up

log = logging.getLogger(__name__)

REFUSED_S: Final = 30.0
"""A message that was answered with a refusal is tried again after this time."""
HANGS_UP_S: Final = (10.0, 30.0, 90.0, 270.0, 600.0)
"""One at which the broker hung up, each time that happens until one is taken: trying it costs
everybody the connection, but a broker that merely restarts again and again makes innocents look
like it."""


Suspect = tuple[str, tuple[str, int]]
"""Topic and identity of a message."""


class SuspectMessages:
    """What is known beyond one connection. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}
        """Topic -> when its messages are tried again."""
        self.reason: Finding | None = None
        """Of the newest message that was not taken; `where` is its topic."""
        self.strikes: dict[str, int] = {}
        """Topic -> how often it was held because the broker hung up, since one of its messages was
        taken."""
        self.suspect: Suspect | None = None
        """The broker hung up at this message, and it was not taken since."""
        self._told: set[str] = set()

    def hold(self, reason: Finding, seconds: float, now: float) -> None:
        """Nothing is sent to the topic of this reason for so long."""
        self.until[reason.where] = now + seconds
        self.note(reason)

    def note(self, reason: Finding) -> None:
        """A message to the topic is not taken, which says nothing about the next. Logged once a
        hold."""
        self.reason = reason
        if reason.where not in self._told:
            self._told.add(reason.where)
            log.warning("mqtt-refused topic=%s reason=%s", reason.where, reason.en)

    def expired(self, now: float) -> bool:
        """Forget what has waited long enough; whether there was any."""
        due = [topic for topic, until in self.until.items() if now >= until]
        for topic in due:
            del self.until[topic]
            self._told.discard(topic)
        return bool(due)

    @property
    def is_suspecting(self) -> bool:
        """Whether it matters what is taken."""
        return self.suspect is not None or bool(self.strikes)

    def taken(self, topic: str, message: tuple[str, int]) -> None:
        """The broker took this message."""
        self.strikes.pop(topic, None)
        if self.suspect == (topic, message):
            self.suspect = None

    def note_disconnect(self, sole: Suspect | None, now: float) -> None:
        """The broker hung up while only this message was under way (None: none, or several).

        Once is chance. Twice at the same topic, without the first message having been taken in
        between, and the topic is held. A broker that restarts again and again hangs up at
        innocents: those are taken the next time.
        """
        if sole is None:
            return
        topic = sole[0]
        if self.suspect is not None and self.suspect[0] == topic:
            before = self.strikes.get(topic, 0)
            self.strikes[topic] = before + 1
            self.hold(hangs_up(topic), HANGS_UP_S[min(before, len(HANGS_UP_S) - 1)], now)
        self.suspect = sole
