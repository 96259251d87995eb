"""Datagrams and TLS, against pymodbus' servers."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.sdk import DeviceError
from tests.support.aio import run
from tests.support.modbus_foreign import PYMODBUS_TAGS, PYMODBUS_VALUES, pymodbus_server, read_once
from tests.support.modbus_wire import (
    Device,
    connection,
    make_plan,
    mbap,
    tcp_device,
)
from tests.support.servers import free_port


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def test_pymodbus_over_udp():
    port = free_port()

    async def main():
        async with pymodbus_server("Udp", address=("127.0.0.1", port)):
            batch = await read_once(make_plan(f"udp://127.0.0.1:{port}", PYMODBUS_TAGS, timeout=5))
            assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})

    run(main())


def test_a_lost_datagram_does_not_cost_the_association():
    """A UDP device that drops one request and answers the next ones, the dropped one late and in
    between."""

    class Lossy(asyncio.DatagramProtocol):
        dropped: bytes = b""

        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            if not self.dropped:
                self.dropped = data
                return
            for request, value in ((self.dropped, b"\xde\xad"), (data, b"\x00\x2a")):
                self.transport.sendto(request[:4] + b"\0\5" + request[6:8] + b"\2" + value, addr)

    async def main():
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Lossy, ("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        plan = make_plan(f"udp://127.0.0.1:{port}", {"h": {"address": "holding/0"}}, timeout=0.1)
        conn = connection(plan)
        await conn.open()
        with pytest.raises(DeviceError) as caught:
            await conn.read(plan.tables[0])
        assert not caught.value.lost
        assert (await conn.read(plan.tables[0])).values == [42]
        await conn.close()
        transport.close()

    run(main())


def test_pymodbus_over_tls(tmp_path):
    context, cert, _ = tls_server(tmp_path)
    port = free_port()

    async def main():
        async with pymodbus_server("Tls", address=("127.0.0.1", port), sslctx=context):
            url = f"tls://127.0.0.1:{port}"
            batch = await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5, ca=cert))
            assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})
            with pytest.raises(DeviceError, match="self-signed certificate") as caught:
                await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5))
            assert caught.value.lost

    run(main())


def tls_server(folder: Path) -> tuple[ssl.SSLContext, Path, Path]:
    """A server's context, its certificate and its key."""
    cert, key = certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert, key


def test_a_tls_device_that_wants_to_know_its_clients(tmp_path):
    (tmp_path / "plc").mkdir()
    (tmp_path / "us").mkdir()
    (tmp_path / "stranger").mkdir()
    context, ca, _ = tls_server(tmp_path / "plc")
    cert, key = certificate(tmp_path / "us")
    other_cert, other_key = certificate(tmp_path / "stranger")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cert)
    port = free_port()

    async def main():
        async with pymodbus_server("Tls", address=("127.0.0.1", port), sslctx=context):
            url = f"tls://127.0.0.1:{port}"
            plan = make_plan(url, PYMODBUS_TAGS, timeout=5, ca=ca, cert=cert, key=key)
            assert (await read_once(plan)).values == PYMODBUS_VALUES
            for files in ({}, {"cert": other_cert, "key": other_key}):
                with pytest.raises(DeviceError) as caught:
                    await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5, ca=ca, **files))
                assert caught.value.lost

    run(main())


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"ca": "nowhere.pem"}, "No such file"),
        ({"cert": "cert.pem", "key": "locked.pem"}, "has a password"),
        ({"ca": "key.pem"}, "certificate"),
    ],
)
def test_tls_files_that_cannot_be_used_are_a_sentence(tmp_path, files, says):
    _, key = certificate(tmp_path)
    locked = serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter2"),
    )
    (tmp_path / "locked.pem").write_bytes(locked)

    async def main():
        options = {name: tmp_path / file for name, file in files.items()}
        with pytest.raises(DeviceError, match=says) as caught:
            await read_once(make_plan("tls://127.0.0.1:1", PYMODBUS_TAGS, **options))
        assert caught.value.lost

    run(main())


def test_a_tls_answer_in_pieces_is_one_answer(tmp_path):
    context, ca, _ = tls_server(tmp_path)
    device = Device({n: 3 * n for n in range(150)})

    async def pieces(writer, tid, unit, pdu):
        answer = mbap(tid, unit, device.answer(pdu))
        for piece in (answer[:9], answer[9:100], answer[100:]):
            writer.write(piece)
            await writer.drain()
            # lets each piece arrive alone: the poll interval of a slow gateway
            await asyncio.sleep(0.005)

    async def main():
        async with tcp_device(pieces, context) as url:
            batch = await read_once(make_plan(url, PYMODBUS_TAGS, timeout=5, ca=ca))
            assert (batch.values, batch.status) == (PYMODBUS_VALUES, {})

    run(main())
