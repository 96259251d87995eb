"""`edge-agent forget CONFIG AGENT[:DEVICE[/TAG]]`: list something no more."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_agent.config.models import Site


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "forget",
        help="不再列出某个采集代理、设备或变量 / list an agent, a device or a tag no more",
        description="不再列出它；数据、证据和已关闭的窗口都保留，它再次发言时会重新列出。"
        " Ends a listing; data, evidence and closed windows stay, and it is listed again when it "
        "speaks.",
    )
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="YAML 配置文件 / the configuration file"
    )
    command.add_argument(
        "name", metavar="AGENT[:DEVICE[/TAG]]", help="名称见 status / as in `status`"
    )
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Through the running service, else in the store itself."""
    from edge_agent.config import load
    from edge_agent.control.client import ask, socket_path

    site = load(args.config, secrets=False)
    try:
        entry = ask(socket_path(site.store.path), "forget", written=args.name)
    except ConnectionError:
        entry = _forget_here(site, args.name)
    name = ":".join(filter(None, (entry["agent"], entry["device"])))
    name = "/".join(filter(None, (name, entry["tag"])))
    print(
        f"{name} 不再列出；数据、证据和已关闭的窗口都保留，再次发言时会重新列出。\n"
        f"    {name} is listed no more; data, evidence and closed windows stay, and it is listed "
        "again when it speaks."
    )
    return 0


def _forget_here(site: Site, written: str) -> dict[str, Any]:
    """No service runs: open the store ourselves."""
    from edge_agent.app.forgetting import forgettable
    from edge_agent.app.status.ask import store_of
    from edge_agent.clock import Clock
    from edge_agent.production.site_devices import SiteDevices

    store = store_of(site)
    try:
        entry = forgettable(written, SiteDevices.of(site, store), store.catalogue)
        store.forget(entry, Clock.from_environment().time_ns())
    finally:
        store.close()
    return {"agent": entry[0], "device": entry[1], "tag": entry[2]}
