"""TLS and login over the wire: what is right connects, what is wrong says why in one sentence and
keeps trying."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.clock import Clock
from edge_agent.config.models import Mqtt
from edge_agent.mqtt import backoff
from edge_agent.outbox import Outbox
from edge_agent.publish import Publisher
from edge_agent.topics import Topics
from tests.support.aio import run, until
from tests.support.servers import free_port, mosquitto, serving, tool

TOPICS = Topics("edge", "demo", "dongguan")
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass
class Authority:
    """A certificate authority of the test's own."""

    folder: Path
    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = self._builder(self.subject, self.key.public_key(), NOW - DAY, NOW + DAY)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self.certificate = builder.add_extension(usage, critical=True).sign(
            self.key, hashes.SHA256()
        )
        self.path = self.folder / f"{self.name}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, host: str = "127.0.0.1", expired: bool = False) -> tuple[Path, Path]:
        """Certificate and key files for a host (IP address)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        end = NOW - DAY / 2 if expired else NOW + DAY
        builder = self._builder(subject, key.public_key(), NOW - DAY, end)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        certificate = builder.add_extension(names, critical=False).sign(self.key, hashes.SHA256())
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def _builder(
        self, subject: x509.Name, key: Any, start: datetime.datetime, end: datetime.datetime
    ) -> x509.CertificateBuilder:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key)
        )
        builder = (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
        )
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(issuer, critical=False).add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key), critical=False
        )


@asynccontextmanager
async def publishing(path: Path, url: str, **keys: Any) -> AsyncIterator[tuple[Outbox, Publisher]]:
    box = Outbox(path, agent="ipc-01", max_bytes=20_000_000, fsync_ms=20)
    publisher = Publisher(Mqtt(url=url, **keys), box, TOPICS, "ipc-01", Clock())
    task = asyncio.create_task(publisher.run(), name="publisher")
    try:
        yield box, publisher
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await box.close()


def tls_listener(authority: Authority, certificate: tuple[Path, Path], more: str = "") -> str:
    return f"cafile {authority.path}\ncertfile {certificate[0]}\nkeyfile {certificate[1]}\n{more}"


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_mutual_tls(tmp_path: Path, version: str) -> None:
    ours = Authority(tmp_path, "ours")
    cert, key = ours.issue("agent")

    async def scenario() -> None:
        extra = tls_listener(ours, ours.issue("server"), "require_certificate true")
        with mosquitto(tmp_path / "broker", extra=extra) as server:
            url, keys = (
                f"mqtts://127.0.0.1:{server.port}",
                {"ca": ours.path, "cert": cert, "key": key},
            )
            async with publishing(
                tmp_path / "box", url, version=version, confirm="store", **keys
            ) as (box, publisher):
                for _ in range(200):
                    box.append("edge/x/data", b"", b"x" * 30_000, 1, 1)
                await until(lambda: publisher.acknowledged == 200)

    run(scenario())


@pytest.mark.parametrize(
    "wrong", ["authority", "host", "expired", "plain-port", "no-client-certificate"]
)
def test_a_bad_certificate_is_refused_with_one_sentence(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    issuer = other if wrong == "authority" else ours
    host = "127.0.0.9" if wrong == "host" else "127.0.0.1"
    extra = tls_listener(issuer, issuer.issue("server", host, wrong == "expired"))
    if wrong == "plain-port":
        extra = ""
    if wrong == "no-client-certificate":
        extra += "\nrequire_certificate true"

    async def scenario() -> None:
        with (
            mosquitto(tmp_path / "broker", extra=extra) as server,
            patch.object(backoff, "LONGEST_S", 0.05),
        ):
            url = f"mqtts://127.0.0.1:{server.port}"
            async with publishing(tmp_path / "box", url, ca=ours.path) as (box, publisher):
                box.append("edge/x/data", b"", b"x", 1, 1)
                await until(lambda: publisher.failed_attempts >= 3)
                assert not publisher.connected
                assert publisher.problem is not None
                assert publisher.problem.zh
                assert box.pending == 1

    with caplog.at_level(logging.INFO):
        run(scenario())
    said = {r.getMessage() for r in caplog.records if r.getMessage().startswith("mqtt-unavailable")}
    assert len(said) == 1
    assert not any(r.exc_info for r in caplog.records)


def test_a_wrong_password_is_one_sentence_and_mending_it_needs_no_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        port, passwords = free_port(), tmp_path / "passwords"
        passwords.write_text("ipc-01:right\n")
        convert = await asyncio.create_subprocess_exec(
            tool("mosquitto_passwd"), "-U", str(passwords)
        )
        await convert.wait()
        conf = tmp_path / "broker.conf"
        conf.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser "
            "root\n"
        )
        argv = [tool("mosquitto"), "-c", conf]
        with patch.object(backoff, "LONGEST_S", 0.05):
            url = f"mqtt://127.0.0.1:{port}"
            keys = {"username": "ipc-01", "password": "wrong-secret"}
            async with publishing(tmp_path / "box", url, **keys) as (box, publisher):
                box.append("edge/x/data", b"", b"x", 1, 1)
                with serving(argv, port, tmp_path / "broker.log"):
                    await until(
                        lambda: publisher.problem and publisher.problem.code == "mqtt-login"
                    )
                    await until(lambda: publisher.failed_attempts >= 3)
                passwords.write_text("ipc-01:wrong-secret\n")
                convert = await asyncio.create_subprocess_exec(
                    tool("mosquitto_passwd"), "-U", str(passwords)
                )
                await convert.wait()
                with serving(argv, port, tmp_path / "broker.log"):
                    await until(lambda: box.pending == 0 and publisher.problem is None)

    with caplog.at_level(logging.INFO):
        run(scenario())
    logged = [record.getMessage() for record in caplog.records]
    assert len({line for line in logged if "refused the login" in line}) == 1
    assert not any("wrong-secret" in line for line in logged)
    assert not any(record.exc_info for record in caplog.records)


def test_a_name_that_does_not_exist_and_a_closed_port(tmp_path: Path) -> None:
    async def scenario(url: str, code: str) -> None:
        async with publishing(tmp_path / "box", url) as (_, publisher):
            found = await until(lambda: publisher.problem)
            assert found.code == code

    run(scenario(f"mqtt://127.0.0.1:{free_port()}", "mqtt-refused"))
    run(scenario("mqtt://broker.invalid:1883", "mqtt-name"))


def test_a_port_that_accepts_and_never_answers(tmp_path: Path) -> None:
    async def scenario() -> None:
        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(
            lambda _, writer: writers.append(writer), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        with patch("edge_agent.mqtt.connection.CONNECT_LIMIT_S", 0.3):
            async with publishing(tmp_path / "box", f"mqtt://127.0.0.1:{port}") as (_, publisher):
                found = await until(lambda: publisher.problem)
                assert found.code == "mqtt-timeout"
        for writer in writers:
            writer.close()
        server.close()
        await server.wait_closed()

    run(scenario())


def test_a_broker_that_speaks_nonsense(tmp_path: Path) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x20\xff\xff\xff\xff\xff HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def scenario() -> None:
        server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with publishing(tmp_path / "box", f"mqtt://127.0.0.1:{port}") as (_, publisher):
            await until(lambda: publisher.problem)
        server.close()
        await server.wait_closed()

    run(scenario())
