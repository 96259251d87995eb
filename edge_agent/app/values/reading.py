"""Where values of now come from: the running agent, which alone talks to its devices, else the
devices themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final

from edge_agent.app.status.ask import agent_socket, serve_socket
from edge_agent.app.values.current import Document, tag_names
from edge_agent.app.values.direct import WatchedDevices, read_once
from edge_agent.app.values.names import selected
from edge_agent.clock import Clock
from edge_agent.config import load
from edge_agent.config.models import Site
from edge_agent.config.plugins import Plugins, plugins_or_installed
from edge_agent.control import client
from edge_agent.errors import FindingsError

#: Real seconds between two looks.
LOOK_S: Final = 1.0
#: What the agent may take to answer; with raw values it may have to ask its devices.
_ANSWER_S: Final = 30.0
_NAMES_S: Final = 2.0


class Reading:
    """The values of a configuration's tags. `names`: as in `names.selected`; `raw`: also what
    stands behind them."""

    def __init__(
        self,
        config: Path,
        names: Sequence[str],
        *,
        raw: bool,
        plugins: Plugins | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Raises FindingsError for a file that cannot be used. No secret is read before it is
        needed."""
        self._config = config
        self._names = names
        self._raw = raw
        self._plugins = plugins_or_installed(plugins)
        self._clock = clock or Clock.from_environment()
        self.site = load(config, plugins, secrets=False)
        self._door = agent_socket(self.site)
        self._full_names: dict[str, str] | None = None

    def now_ns(self) -> int:
        """The wall clock of the devices and the agent."""
        return self._clock.time_ns()

    def now(self) -> Document:
        """Once. Raises FindingsError for names that mean nothing."""
        try:
            return self._ask()
        except ConnectionError:
            return asyncio.run(self._direct())

    async def looks(self) -> AsyncGenerator[Document]:
        """Again and again; whether an agent runs is looked up each time, so that a device is never
        asked by two."""
        async with contextlib.AsyncExitStack() as own:
            watched: WatchedDevices | None = None
            while True:
                try:
                    document = await asyncio.to_thread(self._ask)
                    await own.aclose()
                    watched = None
                except ConnectionError:
                    if watched is None:
                        site, tags = self._wanted()
                        watched = WatchedDevices(site, self._plugins, tags, self._clock)
                        await own.enter_async_context(watched.running())
                        # what answers at once is there at the first look
                        await asyncio.sleep(LOOK_S / 2)
                    document = await asyncio.to_thread(
                        self._shown, await watched.document(ask=self._raw)
                    )
                yield document
                await asyncio.sleep(LOOK_S)

    def _ask(self) -> Document:
        document: Document = client.ask(
            self._door, "values", limit=_ANSWER_S, names=list(self._names), raw=self._raw
        )
        return self._shown(document)

    async def _direct(self) -> Document:
        site, tags = self._wanted()
        document = await read_once(site, self._plugins, tags, self._clock, ask=self._raw)
        return await asyncio.to_thread(self._shown, document)

    def _shown(self, document: Document) -> Document:
        """With devices as people are shown them: the id alone where no other agent of the site has
        it."""
        if self._full_names is None:
            self._full_names = self._ask_names()
        names = self._full_names
        if names:
            for row in document["values"]:
                row["device"] = names.get(row["device"], row["device"])
            for state in document["devices"]:
                state["id"] = names.get(state["id"], state["id"])
        return document

    def _ask_names(self) -> dict[str, str]:
        """Ids that are not unique on the site -> what is shown, as the store service here knows the
        site; none without one."""
        try:
            found = client.ask(serve_socket(self.site), "names", limit=_NAMES_S)
        except (ConnectionError, FindingsError):  # values are to be seen whatever the service does
            return {}
        names: dict[str, str] = found["names"]
        return names if found["agent"] == self.site.agent.id else {}

    def _wanted(self) -> tuple[Site, dict[str, list[str]]]:
        """The tags meant, and the site with the secrets of their devices and of no others."""
        known = {
            device.id: tag_names(device, self._plugins[device.connector])
            for device in self.site.devices
        }
        tags = selected(self._names, dict.fromkeys(known, self.site.agent.id), known)
        return load(self._config, self._plugins, secrets=False, device_secrets=tags.keys()), tags
