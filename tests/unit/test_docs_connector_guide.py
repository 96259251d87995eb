"""The connector of docs/connector-guide.md: executed as it is printed there, against an instrument
on a free port."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pydantic
import pytest

from edge_agent.sdk import STATUS, Clock, DeviceError, DevicePlan, Plugin, Pollable, Tag, TagTable
from tests.support.aio import run

GUIDE = Path(__file__).parents[2] / "docs" / "connector-guide.md"
ANSWERS = {
    "MEAS:VOLT:DC?": "+2.30000E+02",
    "MEAS:CURR:DC?": "1.5",
    "SYST:ERR?": '-113,"Undefined header"',
}


def guide_code() -> str:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.fixture(scope="module")
def plugin() -> Plugin:
    names: dict[str, Any] = {"__name__": "scpi"}
    exec(compile(guide_code(), str(GUIDE), "exec"), names)
    found = names["PLUGIN"]
    assert isinstance(found, Plugin)
    return found


def plan(plugin: Plugin, port: int, queries: dict[str, str]) -> DevicePlan:
    options = plugin.device_options.model_validate({"url": f"tcp://127.0.0.1:{port}", "timeout": 5})
    tags = tuple(
        Tag(name, plugin.kind(where), where)
        for name, query in queries.items()
        for where in [plugin.tag_options.model_validate({"query": query})]
    )
    return DevicePlan("dmm-01", options, (TagTable("dmm-01", 1.0, tags),))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A multimeter: one line back per query; silent and gone at a query it was told to die of."""
    while line := (await reader.readline()).decode().strip():
        if line == "DIE?":
            break
        writer.write(f"{ANSWERS[line]}\n".encode())
    writer.close()


@asynccontextmanager
async def instrument() -> AsyncIterator[int]:
    async with asyncio.TaskGroup() as sessions:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sessions.create_task(answer(reader, writer), name="session")

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await server.wait_closed()


def test_the_smallest_connector_stays_under_65_lines_of_100_columns() -> None:
    assert len(guide_code().splitlines()) < 65


def test_unknown_keys_and_wrong_urls_are_refused_before_any_socket(plugin: Plugin) -> None:
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        plugin.tag_options.model_validate({"querry": "MEAS:VOLT:DC?", "query": "MEAS:VOLT:DC?"})
    with pytest.raises(pydantic.ValidationError, match="pattern"):
        plugin.device_options.model_validate({"url": "10.0.1.60"})


def test_one_read_is_one_aligned_batch_and_a_refused_query_is_bad(plugin: Plugin) -> None:
    async def main() -> None:
        async with instrument() as port:
            device = plan(
                plugin, port, {"u": "MEAS:VOLT:DC?", "error": "SYST:ERR?", "i": "MEAS:CURR:DC?"}
            )
            assert list(plugin.check(device)) == []
            connection = plugin.connect([device], Clock())
            assert isinstance(connection, Pollable)
            await connection.open()
            batch = await connection.read(device.tables[0])
            assert batch.values == [230.0, None, 1.5]
            assert batch.status == {1: STATUS["BadDecodingError"]}
            assert batch.table is device.tables[0]
            await connection.close()
            await connection.close()

    run(main())


def test_a_peer_that_goes_away_loses_the_connection(plugin: Plugin) -> None:
    async def main() -> None:
        async with instrument() as port:
            device = plan(plugin, port, {"u": "DIE?"})
            connection = plugin.connect([device], Clock())
            assert isinstance(connection, Pollable)
            await connection.open()
            with pytest.raises(DeviceError, match="no answer") as raised:
                await connection.read(device.tables[0])
            assert raised.value.lost
            await connection.close()
        with pytest.raises(DeviceError) as refused:
            await connection.open()
        assert refused.value.status == STATUS["BadNoCommunication"]

    run(main())


def test_it_describes_itself_in_plain_json(plugin: Plugin) -> None:
    device = plan(plugin, 5025, {"u": "MEAS:VOLT:DC?"})
    assert plugin.describe(device) == {
        "protocol": "scpi",
        "tags": {"u": {"query": "MEAS:VOLT:DC?"}},
    }
    assert plugin.connection_key(device.options) == "tcp://127.0.0.1:5025"
