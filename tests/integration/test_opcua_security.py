"""Users, policies and certificates against an asyncua server that insists on them."""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.opcua import pki
from connectors.opcua.raw_transport import STOCK_ONLY
from edge_agent.sdk import STATUS, DeviceError
from tests.support.aio import run
from tests.support.opcua_devices import plan, read, streaming, table, tag
from tests.support.opcua_secured import (
    POLICIES,
    SERVER_URI,
    MakeCertificate,
    Secured,
    secured_server,
)
from tests.support.opcua_server import URI, endpoint, new_server, serving
from tests.support.servers import free_port

UNTRUSTED, DENIED = 0x801A0000, (0x801F0000, 0x80210000)
TAGS = [
    tag("Double", node=f"nsu={URI};s=Double"),
    tag("String", node=f"nsu={URI};s=String", type="text"),
]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured_server(tmp_path_factory.mktemp("server")) as made:
        yield made


def device(secured: Secured, folder: Path, policy: str = "Basic256Sha256", **more: Any) -> Any:
    options: dict[str, Any] = {
        "mode": "read",
        "user": {"name": "operator", "password": "geheim 密码"},
        **more,
    }
    security = {
        "policy": policy,
        "pki": folder,
        "trust": secured.folder,
        **options.pop("security", {}),
    }
    return plan(secured.endpoint, table(TAGS), security=security, **options)


def refused(secured: Secured, folder: Path, **more: Any) -> DeviceError:
    with pytest.raises(DeviceError) as failed:
        run(read(device(secured, folder, **more)))
    assert failed.value.lost
    return failed.value


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("policy", POLICIES)
def test_opcua_every_policy_and_mode(
    secured: Secured, tmp_path: Path, policy: str, mode: str
) -> None:
    insecure = {"allow_insecure": True} if mode == "Sign" else {}
    (batch,) = run(
        read(
            device(
                secured, tmp_path, policy, security={"mode": mode, "check_host": True}, **insecure
            )
        )
    )
    assert batch.values == [0.1, "主轴 spindle"]


@pytest.mark.parametrize("stock", ["", "1"], ids=["own codec", "asyncua codec"])
def test_opcua_subscription_over_an_encrypted_channel(
    secured: Secured, tmp_path: Path, stock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STOCK_ONLY, stock)

    async def case() -> None:
        async with streaming(device(secured, tmp_path, mode="subscribe")) as stream:
            await stream.has("Double", "String")
            assert stream.last == {"Double": 0.1, "String": "主轴 spindle"}

    run(case())


def test_opcua_our_certificate_is_made_once_and_its_key_is_private(
    secured: Secured, tmp_path: Path
) -> None:
    folder = tmp_path / "pki"
    run(read(device(secured, folder)))
    own = (folder / "own.der").read_bytes()
    assert os.stat(folder / "own.key.pem").st_mode & 0o777 == 0o600
    run(read(device(secured, folder)))
    assert (folder / "own.der").read_bytes() == own


def test_opcua_an_unknown_server_is_refused_until_its_certificate_is_trusted(
    secured: Secured, tmp_path: Path
) -> None:
    trust = tmp_path / "trusted"
    trust.mkdir()
    error = refused(secured, tmp_path, security={"trust": trust})
    assert error.status == UNTRUSTED
    (kept,) = (tmp_path / "rejected").iterdir()
    assert error.detail.endswith(f"run: install -D -m 644 {kept} {trust / kept.name}")
    assert f"SHA-256 {kept.stem}" in error.detail, "the file has the fingerprint for its name"
    assert kept.read_bytes() == secured.certificate.read_bytes()
    subprocess.run(error.detail.rpartition("run: ")[2], shell=True, check=True)
    (batch,) = run(read(device(secured, tmp_path, security={"trust": trust})))
    assert batch.values[0] == 0.1


def test_opcua_a_certificate_for_another_host_is_refused(secured: Secured, tmp_path: Path) -> None:
    base = device(secured, tmp_path)
    away = secured.endpoint.replace("127.0.0.1", "localhost")
    with pytest.raises(DeviceError, match="does not name the host localhost") as failed:
        run(
            read(
                type(base)(base.id, base.options.model_copy(update={"endpoint": away}), base.tables)
            )
        )
    assert failed.value.status == UNTRUSTED


@pytest.mark.parametrize(
    "user", [{"name": "operator", "password": "falsch"}, {"name": "nobody", "password": "x"}, None]
)
@pytest.mark.parametrize("policy", ["None", "Basic256Sha256"])
def test_opcua_a_wrong_user_is_refused_with_a_plain_sentence(
    secured: Secured, tmp_path: Path, policy: str, user: dict[str, str] | None
) -> None:
    error = refused(secured, tmp_path, policy=policy, user=user, allow_insecure=True)
    assert error.status in DENIED
    assert "user.name" in error.detail
    assert "falsch" not in str(error)


def test_opcua_a_password_without_channel_security_must_be_agreed_to(
    secured: Secured, tmp_path: Path
) -> None:
    (batch,) = run(read(device(secured, tmp_path, policy="None", allow_insecure=True)))
    assert batch.values[0] == 0.1


def test_opcua_a_user_with_a_certificate(secured: Secured, tmp_path: Path) -> None:
    certificate = secured.identity(tmp_path / "user.der", "urn:test.example:user", ["user"])
    user = {"certificate": certificate, "key": certificate.with_suffix(".pem")}
    assert refused(secured, tmp_path, user=user).status in DENIED
    secured.users.certificate = certificate.read_bytes()
    (batch,) = run(read(device(secured, tmp_path, user=user)))
    assert batch.values[0] == 0.1


def test_opcua_a_certificate_of_ones_own(secured: Secured, tmp_path: Path) -> None:
    own = secured.identity(tmp_path / "mine.der", "urn:test.example:mine", ["here"])
    security = {"certificate": own, "key": own.with_suffix(".pem")}
    (batch,) = run(read(device(secured, tmp_path / "unused", security=security)))
    assert batch.values[0] == 0.1
    assert not (tmp_path / "unused" / "own.der").exists()


def test_opcua_a_policy_the_server_lacks() -> None:
    async def case() -> None:
        port = free_port()
        async with serving(port):
            with pytest.raises(DeviceError) as failed:
                await read(
                    plan(
                        endpoint(port),
                        table(TAGS),
                        mode="read",
                        security={"policy": "Basic256Sha256"},
                    )
                )
            assert (
                "does not offer Basic256Sha256/SignAndEncrypt; it offers: None/None"
                in failed.value.detail
            )
            assert (
                "不提供 Basic256Sha256/SignAndEncrypt，它提供：None/None" in failed.value.cause.zh
            )
            assert failed.value.status == STATUS["BadSecurityPolicyRejected"]

    run(case())


def test_opcua_a_server_without_an_open_endpoint_says_what_it_offers(
    secured: Secured, tmp_path: Path
) -> None:
    certificate = secured.identity(tmp_path / "server.der", SERVER_URI, ["127.0.0.1"])

    async def case() -> None:
        port = free_port()
        server = await new_server()
        await server.load_certificate(certificate)
        await server.load_private_key(certificate.with_suffix(".pem"))
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        async with serving(port, server=server):
            with pytest.raises(DeviceError) as failed:
                await read(plan(endpoint(port), table(TAGS), mode="read"))
        assert (
            "does not offer None/None; it offers: Basic256Sha256/SignAndEncrypt"
            in failed.value.detail
        )

    run(case())


PINNED = {
    "without a name of its own": ("", ["check_host", "check_uri"]),
    "with another URI": ("urn:test.example:another", ["check_uri"]),
    "expired": ("expired", ["check_uri", "check_host", "check_time"]),
}


@pytest.mark.parametrize("kind", PINNED)
def test_opcua_a_pinned_certificate_is_waived_what_is_named_and_no_more(
    tmp_path: Path, kind: str
) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    uri, needed = PINNED[kind]
    if uri.startswith("urn"):
        certificate = pki.self_signed(private, uri, ["10.0.0.7"])
    else:
        certificate = _expired(private, days=1 if uri else -9)
    trust = tmp_path / "plc.der"
    trust.write_bytes(certificate.public_bytes(serialization.Encoding.DER))

    def check(
        waived: list[str], trusted: Path = trust, offered: x509.Certificate = certificate
    ) -> None:
        checks = {name: name not in waived for name in ("check_host", "check_uri", "check_time")}
        der = offered.public_bytes(serialization.Encoding.DER)
        pki.check_server(der, "10.0.0.7", SERVER_URI, trusted, tmp_path / "rejected", **checks)

    check(needed)
    for missing in needed:
        with pytest.raises(pki.NotTrustedError, match=f"security.{missing}: false"):
            check([name for name in needed if name != missing])
    with pytest.raises(pki.NotTrustedError, match="not trusted"):
        check(needed, offered=_expired(private, days=-9, serial=8))
    if uri.startswith("urn"):
        check(["check_uri"])


LIVE: dict[str, tuple[MakeCertificate, list[str]]] = {
    "with another URI": (
        lambda private: pki.self_signed(private, "urn:test.example:another", ["127.0.0.1"]),
        ["check_uri"],
    ),
    "expired and without a name of its own": (
        lambda private: _expired(private),
        ["check_uri", "check_time"],
    ),
}


@pytest.mark.parametrize("kind", LIVE)
def test_opcua_a_session_with_a_pinned_certificate_waives_what_is_named_and_no_more(
    tmp_path: Path, kind: str
) -> None:
    """The same over the wire: a session with a server that has such a certificate."""
    make, needed = LIVE[kind]
    (tmp_path / "server").mkdir()
    with secured_server(tmp_path / "server", make) as server:

        def values(waived: list[str], trust: Path = server.certificate) -> list[Any]:
            checks = {name: name not in waived for name in ("check_uri", "check_time")}
            security = {"mode": "SignAndEncrypt", "trust": trust, "check_host": False, **checks}
            (batch,) = run(read(device(server, tmp_path / "own", security=security)))
            return batch.values

        assert values(needed) == [0.1, "主轴 spindle"]
        for missing in needed:
            with pytest.raises(DeviceError, match=f"security.{missing}: false") as refusal:
                values([name for name in needed if name != missing])
            assert (refusal.value.lost, refusal.value.status) == (True, UNTRUSTED)
        other = server.identity(tmp_path / "other.der", SERVER_URI, ["127.0.0.1"])
        with pytest.raises(DeviceError, match="not trusted") as unknown:
            values(needed, other)
        assert unknown.value.status == UNTRUSTED


def test_opcua_a_waiver_needs_the_very_certificate_and_not_its_issuer(tmp_path: Path) -> None:
    authority = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer = _expired(authority, days=-9, ca=True)
    issued = _expired(
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        days=1,
        signer=(issuer, authority),
    )
    trust = tmp_path / "trusted"
    trust.mkdir()
    (trust / "ca.der").write_bytes(issuer.public_bytes(serialization.Encoding.DER))
    der = issued.public_bytes(serialization.Encoding.DER)
    with pytest.raises(pki.NotTrustedError, match="put this very certificate into"):
        pki.check_server(
            der,
            "h",
            SERVER_URI,
            trust,
            tmp_path / "rejected",
            False,
            check_uri=False,
            check_time=False,
        )
    (trust / "plc.der").write_bytes(der)
    pki.check_server(
        der, "h", SERVER_URI, trust, tmp_path / "rejected", False, check_uri=False, check_time=False
    )


def test_opcua_expired_and_misnamed_certificates_are_refused(tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = pki.self_signed(private, SERVER_URI, ["10.0.0.7", "cnc-7"])
    (tmp_path / "trusted").mkdir()
    rejected = tmp_path / "rejected"

    def check(certificate: x509.Certificate, host: str = "cnc-7", uri: str = SERVER_URI) -> None:
        der = certificate.public_bytes(serialization.Encoding.DER)
        pki.check_server(der, host, uri, tmp_path / "trusted", rejected, True)

    with pytest.raises(pki.NotTrustedError, match="not trusted"):
        check(good)
    (tmp_path / "trusted" / "good.der").write_bytes(good.public_bytes(serialization.Encoding.DER))
    (tmp_path / "trusted" / "readme.txt").write_text("no certificate")
    check(good)
    check(good, "10.0.0.7")
    with pytest.raises(pki.NotTrustedError, match="host"):
        check(good, "10.0.0.8")
    with pytest.raises(pki.NotTrustedError, match="calls itself"):
        check(good, uri="urn:somebody:else")
    old = _expired(private)
    (tmp_path / "trusted" / "old.pem").write_bytes(old.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(pki.NotTrustedError, match="valid from"):
        check(old)


def _expired(
    private: rsa.RSAPrivateKey,
    days: int = 1,
    serial: int = 7,
    *,
    ca: bool = False,
    signer: tuple[x509.Certificate, rsa.RSAPrivateKey] | None = None,
) -> x509.Certificate:
    """A certificate without alternative names that is over since `days` (negative: it has so many
    left)."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    issuer, key = (name, private) if signer is None else (signer[0].subject, signer[1])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(days=19))
        .not_valid_after(now - datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
