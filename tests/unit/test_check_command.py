"""`edge-agent check`: what stands in the way (exit status 2), and what is only worth knowing (a
note)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli.main import main
from tests.support.sites import write

EQUIPMENT = """equipment_id,in_scope,status,control_class,digital,networked_declared,interface,gateway_device,is_robot
EQ-1,Y,in_use,nc,Y,Y,modbus_tcp,plc,N
{second},Y,in_use,nc,Y,Y,modbus_tcp,,N
"""


def checked(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    status = main(["check", str(path), *words])
    out, err = capsys.readouterr()
    return status, out, err


def registered(folder: Path, second: str) -> Path:
    (folder / "equipment.csv").write_text(EQUIPMENT.format(second=second), encoding="utf-8")
    return write(
        folder,
        """
        register: {equipment: equipment.csv}
        devices:
          - {id: plc, connector: modbus, url: tcp://10.0.0.1, tags: {a: {address: holding/0}}}
        """,
    )


def test_a_missing_serial_port_is_a_note_and_not_a_fault(tmp_path, capsys):
    path = write(
        tmp_path,
        """
        devices:
          - {id: m, connector: modbus, url: rtu:///dev/no-such-port, tags: {a: {address: holding/0}}}
          - {id: n, connector: modbus, url: rtu:///dev/no-such-port, unit: 2, tags: {a: {address: holding/0}}}
          - {id: p, connector: modbus, url: tcp://10.0.0.1, tags: {a: {address: holding/0}}}
        """,
    )
    status, out, err = checked(path, capsys)
    assert (status, err) == (0, "")
    assert "m.url, n.url: 本机上没有串口 /dev/no-such-port" in out
    assert "There is no serial port /dev/no-such-port here" in out
    assert out.count("no-such-port") == 4  # two rows of the table, and one note in two languages
    assert "no serial port" not in checked(path, capsys, "--show")[1]


def test_a_namespace_by_its_number_is_a_note_and_one_by_its_name_is_none(tmp_path, capsys):
    path = write(
        tmp_path,
        """
        devices:
          - id: m
            connector: opcua
            endpoint: opc.tcp://10.0.0.1:4840
            tags:
              a: {node: "ns=2;s=Speed"}
              b: {node: "nsu=http://example.org/;s=Speed"}
              c: {node: "i=2258"}
              d: {node: "ns=3;i=7"}
        """,
    )
    status, out, err = checked(path, capsys)
    assert (status, err) == (0, "")
    assert "提示 Notes (1):" in out
    assert "  m.a.node, m.d.node: ns= 是命名空间的序号" in out
    assert "better write nsu=URI" in out


def test_two_equal_asset_numbers_are_found_by_check(tmp_path, capsys):
    status, out, err = checked(registered(tmp_path, "EQ-1"), capsys)
    assert (status, out) == (2, "")
    assert "equipment.csv:3" in err
    assert "EQ-1" in err


def test_what_to_know_about_a_register_is_a_note(tmp_path, capsys):
    status, out, err = checked(registered(tmp_path, "EQ-2"), capsys)
    assert (status, err) == (0, "")
    assert "提示 Notes (" in out
    assert "equipment.csv:" in out


def test_the_requests_of_a_round_are_shown(tmp_path, capsys):
    path = write(
        tmp_path,
        """
        devices:
          - id: plc
            connector: modbus
            url: tcp://10.0.0.1
            tags: {a: {address: holding/0}, b: {address: holding/5000}, c: {address: coil/0}}
          - {id: cnc, connector: opcua, endpoint: "opc.tcp://10.0.0.2:4840", tags: {a: {node: "i=2258"}}}
          - {id: saw, connector: opcua, endpoint: "opc.tcp://10.0.0.3:4840", mode: read, tags: {a: {node: "i=2258"}}}
        """,
    )
    _, out, _ = checked(path, capsys)
    assert [line.split()[-1] for line in out.splitlines()[:4]] == ["REQUESTS", "3", "-", "1"]


def test_files_of_a_connection_that_are_not_there_are_faults(tmp_path, capsys):
    path = write(
        tmp_path,
        """
        devices:
          - {id: plc, connector: modbus, url: "tls://10.0.0.1", ca: ca.pem, tags: {a: {address: holding/0}}}
        """,
    )
    status, out, err = checked(path, capsys)
    assert (status, out) == (2, "")
    assert "site.yaml:5:61" in err
    assert f"The file {tmp_path}/ca.pem is missing" in err


def test_connections_beyond_the_descriptors_are_a_note(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("edge_agent.process.descriptor_limit", lambda: 70)
    path = write(
        tmp_path,
        """
        devices:
          - {for: {i: 1..10}, id: "p{i}", connector: modbus, url: "tcp://10.0.0.{i}", tags: {a: {address: holding/0}}}
        """,
    )
    status, out, _ = checked(path, capsys)
    assert status == 0
    assert "LimitNOFILE" in out
    assert "74" in out
    assert "70" in out
