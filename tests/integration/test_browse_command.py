"""`edge-agent browse` against foreign servers: a machine tool of the official node sets, ten
thousand nodes.

What it writes is taken by `check` and read by `read`; what it asks for is counted on the wire.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from connectors.opcua import PLUGIN
from connectors.opcua.options import device_options
from edge_agent.cli.main import main
from edge_agent.commissioning.browse import BrowseResult, browse, segments
from edge_agent.commissioning.browse_view import show
from edge_agent.commissioning.endpoints import at_address, further_keys
from edge_agent.commissioning.plant_file import FoundDevice, write
from edge_agent.commissioning.tag_names import tag_names
from edge_agent.discovery import Browsed, BrowseWanted
from tests.support.aio import run
from tests.support.opcua_foreign import SERVERS, node_opcua
from tests.support.opcua_server import KINDS, URI
from tests.support.opcua_services import READING, Relay, relay
from tests.support.servers import Server, free_port

#: Loading the official node sets takes the server a while on a busy machine.
pytestmark = pytest.mark.timeout(300)

NAME = "车床七号"
BULK = 10_000
MOST = 300
MACHINES = "Objects/{http://opcfoundation.org/UA/Machinery/}Machines"


@pytest.fixture(scope="module")
def machine_tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("machine-tool")
    with node_opcua(folder, "machinetool.cjs", NAME=NAME, BULK=str(BULK), MOST=str(MOST)) as server:
        yield server


def url(server: Server) -> str:
    return f"opc.tcp://127.0.0.1:{server.port}"


def command(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        status = main([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def by_path(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["path"]: node for node in document["nodes"]}


def test_a_machine_tool_is_found_by_its_type_and_read_with_the_umati_profile(
    machine_tool: Server, tmp_path: Path
) -> None:
    file = tmp_path / "plant.yaml"
    status, out, err = command("browse", url(machine_tool), MACHINES, "--yaml", file, "--json")
    assert status == 0, err
    (machine,) = json.loads(out)["machines"]
    assert (machine["name"], machine["profile"]) == (NAME, "generic-umati")
    assert machine["facts"]["Manufacturer"] == "沈阳机床"
    assert {"machine_mode", "channel_state", "feed_override"} <= machine["fitted"].keys()
    assert "parts_good" in machine["absent"]
    assert command("check", file)[0] == 0
    _, out, _ = command("read", file, "--json")
    values = {row["tag"]: row for row in json.loads(out)["values"]}
    assert values["machine_state"]["value"] == 3, (
        "from the channel, since this machine has no item state"
    )
    assert values["machine_mode"]["value"] == 1
    assert values["SpindleSpeed"]["value"] == 1526.7


def test_units_ranges_texts_and_enumerations_become_keys(machine_tool: Server) -> None:
    _, out, _ = command("browse", url(machine_tool), MACHINES, "--json")
    nodes = by_path(json.loads(out))
    speed = nodes[f"{NAME}/SpindleSpeed"]
    assert (speed["value"], speed["unit"], speed["low"], speed["high"]) == (
        1526.7,
        "r/min",
        0.0,
        6000.0,
    )
    assert speed["keys"]["description"] == "主轴转速"
    assert speed["address"] == "nsu=http://test.example/lathe;s=SpindleSpeed"
    modes = nodes[f"{NAME}/Monitoring/MachineTool/OperationMode"]
    assert modes["keys"]["map"]["1"] == "Automatic", (
        "the names are a property of the machine's own data type"
    )


def test_ten_thousand_nodes_with_bounded_requests_that_read_only(machine_tool: Server) -> None:
    steps: list[int] = []

    async def scenario() -> tuple[BrowseResult, Relay]:
        async with relay(machine_tool.port) as wire:
            endpoint = at_address(f"opc.tcp://127.0.0.1:{wire.port}", {"opcua": PLUGIN})
            wanted = BrowseWanted()
            return await browse(
                endpoint, wanted, ["n9999", "SpindleSpeed"], lambda done, *_: steps.append(done)
            ), wire

    found, wire = run(scenario(), 200)
    assert found.browsed.seen > BULK
    assert not found.browsed.cut
    assert sorted(float(str(node.value)) for node in found.nodes) == [1526.7, 9999]
    assert found.browsed.machines[0].name == NAME
    assert wire.services.keys() <= READING, wire.services
    # What the server allows in one call decides how many there are.
    assert BULK / MOST <= wire.services["Browse"] < 4 * BULK / MOST
    assert wire.largest < 1_000_000
    assert len(steps) > BULK / MOST, "a sign of life"
    assert steps == sorted(steps)


def test_what_is_written_is_read(machine_tool: Server, tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    start = "nsu=http://test.example/lathe;s=Group19"
    assert (
        command("browse", url(machine_tool), start, "--match", "n99?9", "*1", "--yaml", file)[0]
        == 0
    )
    assert command("check", file)[0] == 0
    _, out, _ = command("read", file, "opcua-01/n9999", "--json")
    assert [row["value"] for row in json.loads(out)["values"]] == [9999]


def test_further_keys_are_used_and_a_secret_stays_a_reference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPC_PW", "geheim 密码")
    pairs = [
        "security.policy=Basic256Sha256",
        "user.name=op",
        "user.password=!env OPC_PW",
        "timeout=2",
    ]
    endpoint = at_address("opc.tcp://127.0.0.1:4840", {"opcua": PLUGIN}, further_keys(pairs))
    options = device_options(endpoint.options)
    assert (options.security.policy, options.timeout) == ("Basic256Sha256", 2)
    assert options.user is not None
    assert options.user.password is not None
    assert options.user.password.get_secret_value() == "geheim 密码"
    file = tmp_path / "plant.yaml"
    device = {"id": "x", **endpoint.keys, "connector": "opcua", "tags": {"a": {"node": "i=2258"}}}
    write(file, [FoundDevice(device)], "browse")
    assert "geheim" not in file.read_text()
    assert "!env" in file.read_text()
    assert command("check", file)[0] == 0
    for pair in ("timeout", "=1", "user.password=!env NO_SUCH_NAME"):
        assert command("browse", "opc.tcp://127.0.0.1:4840", "--set", pair)[0] == 2


def test_a_file_that_is_there_is_not_overwritten(machine_tool: Server, tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text("# somebody's work\n")
    status, _, err = command("browse", url(machine_tool), MACHINES, "--depth", 1, "--yaml", file)
    assert status == 2
    assert str(file) in err
    assert file.read_text() == "# somebody's work\n"


def test_depth_and_limit_bound_what_is_looked_at(machine_tool: Server) -> None:
    endpoint = at_address(url(machine_tool), {"opcua": PLUGIN})

    async def looked_at(**wanted: Any) -> Browsed:
        found = await browse(endpoint, BrowseWanted(**wanted), [], lambda *_: None)
        return found.browsed

    cut = run(looked_at(limit=600))
    assert cut.cut
    assert cut.seen <= 600
    shallow = run(looked_at(depth=1))
    assert shallow.nodes
    assert all("/" not in node.path for node in shallow.nodes)
    assert not shallow.cut


def test_every_kind_of_value_becomes_a_tag_that_reads_the_same(tmp_path: Path) -> None:
    """Of FreeOpcUa's server, another code base than that of the client."""
    file = tmp_path / "plant.yaml"
    with SERVERS["python-opcua"](tmp_path) as server:
        status, out, err = command("browse", url(server), "--yaml", file, "--json")
        assert status == 0, err
        found = by_path(json.loads(out))
        assert found["Machine/Double"]["keys"] == {"node": f"nsu={URI};s=Double", "type": "Double"}
        assert found["Machine/Bad"]["status"] == "BadSensorFailure"
        assert found["Machine/Bad"]["value"] is None
        assert command("check", file)[0] == 0
        _, out, _ = command("read", file, "--json")
        status, _, err = command("browse", url(server), "Objects/2:Machin/2:Double")
        assert status == 2, "the segment that is not there, and its neighbours"
        assert "2:Machin" in err
        assert "2:Machine" in err
        status, _, err = command("browse", url(server), "nsu=http://nowhere.example;s=x")
        assert status == 2
        assert URI in err
    values = {row["tag"]: row["value"] for row in json.loads(out)["values"]}
    variables = [path for path, node in found.items() if node["keys"] is not None]
    tags = dict(zip(variables, tag_names([segments(path) for path in variables]), strict=True))
    for kind in KINDS.keys() & {path.removeprefix("Machine/") for path in found}:
        assert values[tags[f"Machine/{kind}"]] == KINDS[kind][2], kind


def test_nobody_there_is_one_sentence_and_status_1() -> None:
    status, out, err = command("browse", f"opc.tcp://127.0.0.1:{free_port()}")
    assert status == 1
    assert "拒绝连接" in out
    assert "refuses the connection" in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tcp://127.0.0.1:502"], "edge-agent probe tcp://127.0.0.1:502"),
        (["ftp://x"], "opc.tcp://"),
        (["opc.tcp://"], "endpoint"),
        (["opc.tcp://h:4840", "a", "b"], "one too many"),
        (["opc.tcp://h:4840", "--depth", "0"], "--depth"),
    ],
)
def test_wrong_use_is_a_sentence(arguments: list[str], says: str) -> None:
    status, _, err = command("browse", *arguments)
    assert status == 2
    assert says in err


@pytest.mark.parametrize("width", [80, 120])
def test_it_can_be_read_on_a_terminal(machine_tool: Server, width: int) -> None:
    endpoint = at_address(url(machine_tool), {"opcua": PLUGIN})
    found = run(browse(endpoint, BrowseWanted(MACHINES), ["*speed*"], lambda *_: None))
    screen = Console(width=width, file=io.StringIO(), highlight=False, markup=False, emoji=False)
    show(screen, found)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    table = [line for line in text.splitlines() if "1526.7" in line or "nsu=" in line]
    assert table
    assert all(len(line) <= width for line in table)
    for words in (
        "1526.7 r/min",
        "0..6000",
        "nsu=http://test.example/lathe;s=SpindleSpeed",
        "generic-umati",
    ):
        assert words.replace(" ", "") in "".join(text.split()).replace("│", "")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([["A", "Speed"], ["B", "Load"]], ["Speed", "Load"]),
        ([["A", "Speed"], ["B", "speed"]], ["A_Speed", "B_speed"]),
        ([["轴 1", "实际/速度"]], ["实际_速度"]),
        ([["A", "x"], ["A", "x"]], ["A_x", "A_x_2"]),
        ([["M", "1", "x"], ["M", "2", "x"], ["x"]], ["1_x", "2_x", "x"]),
        ([["+#/"]], ["tag"]),
    ],
)
def test_names_of_tags_are_short_and_unique(paths: list[list[str]], names: list[str]) -> None:
    assert tag_names(paths) == names
