"""How many messages the broker sends before it waits for an acknowledgement: MQTT 3.1.1 does not
say, so it is learned.

Without this a broker with a window of 20 would deliver 20 messages per commit delay. The sign of a
full window is that messages stop at the same number again and again.
"""

from __future__ import annotations


class ReceiveWindow:
    """Fed by the ingest; `full(n)` says whether `n` unacknowledged messages are all the broker will
    send."""

    def __init__(self) -> None:
        self._size: int | None = None
        self._stopped_at = 0

    def full(self, outstanding: int) -> bool:
        """A guess that costs little when wrong: the commit comes early."""
        return self._size is not None and outstanding >= self._size

    def seen(self, outstanding: int) -> None:
        """So many are unacknowledged now; more than the window proves it wrong."""
        if self._size is not None and outstanding > self._size:
            self._size = None
            self._stopped_at = 0

    def waited(self, outstanding: int) -> None:
        """The commit delay passed with so many: the same number twice in a row is taken for the
        window."""
        if outstanding == self._stopped_at:
            self._size = outstanding
        self._stopped_at = outstanding
