"""Certificates and the files they live in: every obstacle at once, each with a command that
works."""

from __future__ import annotations

import contextlib
import datetime
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.opcua import pki
from connectors.opcua.faults import explain
from connectors.opcua.options import Security
from edge_agent.sdk import STATUS

NOBODY = 65534
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
URI = "urn:test.example:server"


def certificate(
    days: int = 9, uri: str = URI, host: str = "cnc-7", sign_only: bool = False
) -> x509.Certificate:
    """Valid from ten days ago to `days` from now."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(host)]
    usage = x509.KeyUsage(
        True, False, not sign_only, not sign_only, False, False, False, False, False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(PRIVATE.public_key())
    )
    builder = builder.serial_number(7).not_valid_before(now - datetime.timedelta(days=10))
    builder = builder.not_valid_after(now + datetime.timedelta(days=days))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.add_extension(usage, critical=False).sign(PRIVATE, hashes.SHA256())


def der(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.DER)


def judged(one: x509.Certificate, folder: Path, host: str = "cnc-7") -> str:
    """Everything that stands against a certificate; empty when it is accepted."""
    try:
        pki.check_server(der(one), host, URI, folder / "trusted", folder / "rejected", True)
    except pki.NotTrustedError as error:
        return f"{error.cause.name}: {error.cause.zh}\n{error.cause.en}"
    return ""


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """As a user who owns nothing, as a unit's dynamic user does."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that another user can reach and read."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    return tmp_path


def test_all_obstacles_are_one_message(tmp_path: Path) -> None:
    said = judged(certificate(days=-1, uri="urn:old:name", host="cnc-8", sign_only=True), tmp_path)
    assert said.startswith("opcua_certificate_refused: ")
    for word in (
        "有效期", "valid from", f"自称 {URI}", "calls itself", "没有主机 cnc-7（其中有：cnc-8）",
        "does not name the host cnc-7 (it names: cnc-8)", "keyUsage", "key usage",
        "还不在信任列表中", "not trusted yet",
    ):  # fmt: skip
        assert word in said
    assert all(f"({number})" in said for number in range(1, 6))


def test_the_printed_command_is_all_that_is_needed(tmp_path: Path) -> None:
    one = certificate()
    said = judged(one, tmp_path)
    assert said.startswith("certificate_unknown: ")
    fingerprint = one.fingerprint(hashes.SHA256()).hex()
    assert (tmp_path / "rejected" / f"{fingerprint}.der").read_bytes() == der(one)
    assert said.count(fingerprint) == 6, (
        "in each language: printed, and in both file names of the command"
    )
    subprocess.run(said.rpartition("run: ")[2], shell=True, check=True, umask=0o077)
    (kept,) = (tmp_path / "trusted").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o644, "also when root ran it, the service can read it"
    assert judged(one, tmp_path) == ""


def test_a_certificate_for_signing_only_is_accepted_once_a_person_chose_it(tmp_path: Path) -> None:
    one = certificate(sign_only=True)
    assert "keyUsage" in judged(one, tmp_path)
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "chosen.der").write_bytes(der(one))
    assert judged(one, tmp_path) == ""


def test_a_trusted_file_that_cannot_be_read_is_its_own_error(open_folder: Path) -> None:
    one = certificate()
    (open_folder / "trusted").mkdir()
    (open_folder / "trusted").chmod(0o755)  # whatever the umask is
    kept = open_folder / "trusted" / "copied by root.der"
    kept.write_bytes(der(one))
    kept.chmod(0o600)
    with as_nobody():
        said = judged(one, open_folder)
    assert said.startswith("opcua_trust_unreadable: ")
    assert "所有者 root，权限 -rw-------，而采集代理以 nobody 运行" in said
    assert "owner root, mode -rw-------, and the agent runs as nobody" in said
    subprocess.run(said.rpartition("run: ")[2], shell=True, check=True)
    with as_nobody():
        assert judged(one, open_folder) == ""


def test_a_trust_folder_that_cannot_be_entered_is_its_own_error(open_folder: Path) -> None:
    one = certificate()
    (open_folder / "trusted").mkdir()
    (open_folder / "trusted" / "good.der").write_bytes(der(one))
    (open_folder / "trusted").chmod(0o700)
    with as_nobody():
        said = judged(one, open_folder)
    assert said.startswith("opcua_trust_unreadable: ")
    subprocess.run(said.rpartition("run: ")[2], shell=True, check=True)
    (open_folder / "trusted" / "good.der").chmod(0o644)
    with as_nobody():
        assert judged(one, open_folder) == ""


def test_a_folder_that_cannot_be_written_names_itself_and_the_units_setting(
    open_folder: Path,
) -> None:
    (open_folder / "closed").mkdir()
    (open_folder / "closed").chmod(0o755)  # whatever the umask is
    with as_nobody(), pytest.raises(pki.ObstacleError) as caught:
        pki.own_identity(open_folder / "closed" / "pki")
    error = explain(caught.value, "opc.tcp://h")
    assert (error.cause.name, error.status) == (
        "opcua_pki_not_writable",
        STATUS["BadConfigurationError"],
    )
    for text in (error.cause.zh, error.cause.en):
        assert str(open_folder / "closed" / "pki") in text
        assert "security.pki" in text
        assert "StateDirectory=" in text
    assert "权限不足" in error.cause.zh
    assert "cable" not in error.cause.en


def test_a_read_only_file_system_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(pki.ObstacleError, match=r"/proc/pki cannot be written"):
        pki.own_identity(Path("/proc/pki"))


@pytest.mark.parametrize(
    "content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nxx\n"]
)
@pytest.mark.parametrize("broken", ["certificate", "key"])
def test_a_file_that_is_no_certificate_or_key_is_named(
    tmp_path: Path, content: bytes | None, broken: str
) -> None:
    own = tmp_path / "pki"
    pki.own_identity(own)
    files = {"certificate": own / "own.der", "key": own / "own.key.pem"}
    if content is None:
        files[broken].unlink()
    else:
        files[broken].write_bytes(content)
    with pytest.raises(pki.ObstacleError) as caught:
        pki.load_identity(files["certificate"], files["key"])
    assert caught.value.cause.name == ("file_unreadable" if content is None else "file_unusable")
    assert str(files[broken]) in caught.value.cause.zh
    assert str(files[broken]) in caught.value.cause.en


def test_the_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    pki.own_identity(tmp_path / "a")
    pki.own_identity(tmp_path / "b")
    with pytest.raises(pki.ObstacleError, match="not the key of"):
        pki.load_identity(tmp_path / "a" / "own.der", tmp_path / "b" / "own.key.pem")


def test_the_default_folder_is_in_the_units_state_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/op/state")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-agent/ml1:/var/lib/other")
    assert Security().folder == Path("/var/lib/edge-agent/ml1/pki")
    monkeypatch.delenv("STATE_DIRECTORY")
    assert Security().folder == Path("/home/op/state/edge-agent/pki")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/op")
    assert Security().folder == Path("/home/op/.local/state/edge-agent/pki")
    assert Security(pki=Path("/x")).folder == Path("/x")
