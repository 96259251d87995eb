"""`forget`: what is not listed any more, until it speaks again. Its data, evidence and closed
windows stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Entry = tuple[str, str, str]
"""(agent, device, tag); empty: all of the agent, or of the device."""


class Forgotten:
    """Entries with the time (ns) at which they were forgotten."""

    def __init__(self, entries: Mapping[Entry, int] | None = None) -> None:
        self.entries: dict[Entry, int] = dict(entries or {})
        self._restored: set[Entry] = set()

    def __bool__(self) -> bool:
        return bool(self.entries)

    def forget(self, entries: Iterable[Entry], t: int) -> None:
        """List them no more."""
        for entry in entries:
            self.entries[entry] = t
            self._restored.discard(entry)

    def lists(self, agent: str, device: str = "", tag: str = "") -> bool:
        """Whether an agent, a device of it, or a tag is listed."""
        if not self.entries:
            return True
        asked = {(agent, "", ""), (agent, device, ""), (agent, device, tag)}
        return not asked & self.entries.keys()

    def restore(self, agent: str, device: str = "", tags: Iterable[str] = ()) -> None:
        """A message of this device came: it is listed again, and so are its agent and these
        tags."""
        for entry in (
            (agent, "", ""),
            (agent, device, ""),
            *((agent, device, tag) for tag in tags),
        ):
            if entry in self.entries:
                del self.entries[entry]
                self._restored.add(entry)

    def take_restored(self) -> list[Entry]:
        """What is listed again and still stands as forgotten in the store."""
        returned = sorted(self._restored)
        self._restored = set()
        return returned

    def put_back(self, returned: Iterable[Entry]) -> None:
        """Undo `take_restored` after a write that failed."""
        self._restored.update(returned)
