"""Certificates: our own, made on first use, and the list of servers we trust, kept as files."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import os
import pwd
import shlex
import socket
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_agent.sdk import Cause, cause, words_of

_YEARS: Final = 10
_MAKING = threading.Lock()


class ObstacleError(Exception):
    """A file, a folder or a certificate stands in the way; `cause` says which, why and what to
    do."""

    def __init__(self, why: Cause) -> None:
        super().__init__(why.en)
        self.cause = why


class NotTrustedError(ObstacleError):
    """A server's certificate is not accepted; the text names every reason at once."""


@dataclass(frozen=True, slots=True)
class ApplicationCertificate:
    """An application certificate with its key, DER encoded, and the URI that the certificate
    names."""

    certificate: bytes
    key: bytes
    uri: str


def load_certificate(path: Path) -> x509.Certificate:
    """A certificate from a PEM or DER file. Raises OSError or ValueError."""
    raw = path.read_bytes()
    return (
        x509.load_pem_x509_certificate(raw)
        if b"-----BEGIN" in raw
        else x509.load_der_x509_certificate(raw)
    )


def load_identity(certificate: Path, key: Path) -> ApplicationCertificate:
    """A certificate and its key from PEM or DER files. Raises ObstacleError with the file that
    cannot be used."""
    with _naming(certificate):
        own = load_certificate(certificate)
    with _naming(key):
        raw = key.read_bytes()
        load = (
            serialization.load_pem_private_key
            if b"-----BEGIN" in raw
            else serialization.load_der_private_key
        )
        private = load(raw, password=None)
        if private.public_key().public_numbers() != own.public_key().public_numbers():  # type: ignore[union-attr]
            raise ValueError(f"it is not the key of {certificate}")
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ApplicationCertificate(own.public_bytes(serialization.Encoding.DER), der, _uri(own))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into an ObstacleError that names it."""
    try:
        yield
    except OSError as error:
        zh, en = words_of(error)
        raise ObstacleError(cause("file_unreadable", path=path, why=en, why_zh=zh)) from error
    except (ValueError, TypeError) as error:  # TypeError: the key has a password
        raise ObstacleError(cause("file_unusable", path=path, why=error)) from error


def own_identity(folder: Path) -> ApplicationCertificate:
    """The identity in `folder`, created on first use (self-signed, RSA 2048; the key readable by us
    alone).

    Raises ObstacleError when the folder cannot be written, or a file in it cannot be used.
    """
    certificate = folder / "own.der"
    key = folder / "own.key.pem"
    with _MAKING:
        try:
            if not (certificate.exists() and key.exists()):
                _create(folder, certificate, key)
        except OSError as error:
            raise ObstacleError(_not_writable(folder, error)) from error
    return load_identity(certificate, key)


def _create(folder: Path, certificate: Path, key: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = self_signed(
        private, f"urn:{socket.gethostname()}:shopfloor-edge-agent", [socket.gethostname()]
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, pem)
    _write(certificate, own.public_bytes(serialization.Encoding.DER))


def _write(path: Path, data: bytes) -> None:
    """Write a file that is either whole or not there, with mode 0600 from its first byte."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)


def self_signed(private: rsa.RSAPrivateKey, uri: str, hosts: Iterable[str]) -> x509.Certificate:
    """An application instance certificate as OPC 10000-6 §6.2.2 wants it (client and server
    use)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri.rpartition(":")[2])])
    now = datetime.datetime.now(datetime.UTC)
    public = private.public_key()
    alternatives = [x509.UniformResourceIdentifier(uri), *map(_general_name, hosts)]
    usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(usage, critical=False)
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _alternatives(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        return list(
            certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        )
    except x509.ExtensionNotFound:
        return []


def _uri(certificate: x509.Certificate) -> str:
    uris = [
        n.value for n in _alternatives(certificate) if isinstance(n, x509.UniformResourceIdentifier)
    ]
    return uris[0] if uris else "urn:shopfloor-edge-agent"


def first_of_chain(der: bytes) -> bytes:
    """The server's own certificate of a DER chain: the first SEQUENCE, whose length its header
    tells."""
    if len(der) < 4 or der[0] != 0x30 or der[1] != 0x82:
        return der
    return der[: 4 + int.from_bytes(der[2:4], "big")]


def trusted(where: Path) -> tuple[list[x509.Certificate], list[Path]]:
    """The certificates of a file, or of the files of a folder, and what of them may not be read.

    What is not a certificate is passed over.
    """
    known: list[x509.Certificate] = []
    try:
        paths = sorted(where.iterdir()) if where.is_dir() else [where] if where.exists() else []
    except PermissionError:
        return known, [where]
    unreadable = []
    for path in paths:
        try:
            known.append(load_certificate(path))
        except PermissionError:
            unreadable.append(path)
        except (ValueError, OSError):
            continue
    return known, unreadable


def check_server(
    der: bytes,
    host: str,
    uri: str,
    where: Path,
    rejected: Path,
    check_host: bool,
    *,
    check_uri: bool = True,
    check_time: bool = True,
) -> None:
    """Accept a server's certificate or raise NotTrustedError with everything that stands against
    it.

    It must be in the trust list (or signed by a certificate there), be valid now, be for the use of
    an application, name the application URI that the server announces, and name `host`. One that is
    not trusted is put into `rejected`, ready to be copied.

    `check_uri=False` and `check_time=False` waive what they name where the trust list holds this
    very certificate, byte for byte: then its bytes are what is trusted. For a certificate that
    another one vouches for they do nothing.
    """
    certificate = x509.load_der_x509_certificate(der)
    known, unreadable = trusted(where)
    pinned = any(one.public_bytes(serialization.Encoding.DER) == der for one in known)
    waived = {
        name
        for name, check in (("certificate_uri", check_uri), ("certificate_time", check_time))
        if not check
    }
    faults = _faults(certificate, host if check_host else None, uri, _waiver(pinned, where))
    obstacles = [fault for fault in faults if not (pinned and fault.name in waived)]
    # one that a person chose may be what it is
    if not pinned and not _for_applications(certificate):
        obstacles.append(cause("certificate_use"))
    # last: its sentence ends with a command to copy
    if not any(_vouches(one, certificate) for one in known):
        obstacles += [_unreadable(path) for path in unreadable] or _unknown(
            certificate, der, where, rejected
        )
    if obstacles:
        raise NotTrustedError(_combine_obstacles(obstacles, host))


def _waiver(pinned: bool, where: Path) -> dict[str, str]:
    """The facts of a sentence that says how to go on with this certificate as it is."""
    if pinned:
        return {"first": "", "first_zh": ""}
    return {
        "first": f"put this very certificate into {where} and ",
        "first_zh": f"把这张证书本身放入 {where}，并",
    }


def _combine_obstacles(obstacles: list[Cause], host: str) -> Cause:
    """One obstacle as it is; several with numbers in one sentence."""
    zh = [one.zh for one in obstacles]
    en = [one.en for one in obstacles]
    if len(obstacles) > 1:
        zh = [f"({number}) {text}" for number, text in enumerate(zh, 1)]
        en = [f"({number}) {text}" for number, text in enumerate(en, 1)]
    facts = {"where": host, "obstacles": " ".join(en), "obstacles_zh": " ".join(zh)}
    refusal = cause("opcua_certificate_refused", **facts)
    return Cause(obstacles[0].name, refusal.zh, refusal.en) if len(obstacles) == 1 else refusal


def _faults(
    certificate: x509.Certificate, host: str | None, uri: str, waiver: Mapping[str, str]
) -> Iterator[Cause]:
    """What is wrong with a certificate whoever vouches for it; no `host`: it may name any."""
    begins = certificate.not_valid_before_utc
    ends = certificate.not_valid_after_utc
    if not begins <= datetime.datetime.now(datetime.UTC) <= ends:
        yield cause(
            "certificate_time", begins=f"{begins:%Y-%m-%d}", ends=f"{ends:%Y-%m-%d}", **waiver
        )
    names = _alternatives(certificate)
    if uri and x509.UniformResourceIdentifier(uri) not in names:
        yield cause("certificate_uri", uri=uri, **waiver)
    if host is not None and _general_name(host) not in names:
        named = ", ".join(
            sorted(
                str(one.value) for one in names if isinstance(one, x509.DNSName | x509.IPAddress)
            )
        )
        yield cause("certificate_host", host=host, named=named or "-")


def _for_applications(certificate: x509.Certificate) -> bool:
    """Whether its key may sign and encrypt (OPC 10000-6 §6.2.2); one that does not say may be used
    for anything."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return usage.digital_signature and usage.key_encipherment


def _unknown(certificate: x509.Certificate, der: bytes, where: Path, rejected: Path) -> list[Cause]:
    """A certificate that nobody vouches for: kept, with the command by which a person accepts
    it."""
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    kept = rejected / f"{fingerprint}.der"
    target = where if where.suffix or where.is_file() else where / kept.name
    found = []
    try:
        rejected.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not kept.exists():
            _write(kept, der)
    except OSError as error:
        found.append(_not_writable(rejected, error))
    # `install -m 644`: what root copies, the user of the service can read; a certificate is no
    # secret.
    command = f"install -D -m 644 {shlex.quote(str(kept))} {shlex.quote(str(target))}"
    return [*found, cause("certificate_unknown", fingerprint=fingerprint, command=command)]


def _unreadable(path: Path) -> Cause:
    """A file or folder of the trust list that we may not read: whose it is, and the command that
    helps."""
    try:
        found = path.stat()
        owner = _user(found.st_uid)
        mode = stat.filemode(found.st_mode)
    except OSError:  # not even that: a folder above is closed
        owner = "?"
        mode = "?"
    command = f"chmod a+rX {shlex.quote(str(path))}"
    return cause(
        "opcua_trust_unreadable",
        path=path,
        owner=owner,
        mode=mode,
        user=_user(os.geteuid()),
        command=command,
    )


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _not_writable(folder: Path, error: OSError) -> Cause:
    zh, en = words_of(error)
    return cause("opcua_pki_not_writable", path=folder, why=en, why_zh=zh)


def _vouches(known: x509.Certificate, certificate: x509.Certificate) -> bool:
    if known == certificate:
        return True
    try:
        is_ca = known.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(known)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return is_ca
