"""`edge-agent schema`: the JSON Schema and the reference of the configuration."""

from __future__ import annotations

import argparse
import json


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "schema",
        help="打印配置的 JSON Schema / print the JSON Schema of the configuration",
        description="打印配置文件的 JSON Schema，供编辑器补全和检查；--reference "
        "打印全部键的说明（Markdown）。"
        " Prints the JSON Schema of the configuration file, for editors; --reference prints "
        "every key with its type,"
        " default and meaning as Markdown.",
    )
    command.add_argument(
        "--reference", action="store_true", help="打印配置参考 / print the configuration reference"
    )
    command.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Print one of the two."""
    print(reference() if args.reference else schema(), end="")
    return 0


def schema() -> str:
    """The text of `configs/edge-agent.schema.json`, with every installed connector and store."""
    from edge_agent.config.plugins import InstalledPlugins
    from edge_agent.config.schema import json_schema
    from edge_agent.config.store_plugins import InstalledStores

    document = json_schema(InstalledPlugins(), InstalledStores().loadable())
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def reference() -> str:
    """The text of `docs/configuration.md`, with every installed connector and store."""
    from edge_agent.config.plugins import InstalledPlugins
    from edge_agent.config.reference import markdown
    from edge_agent.config.store_plugins import InstalledStores

    return markdown(InstalledPlugins(), InstalledStores().loadable())
