"""Certificates: our own, made on first use, and the list of servers we trust, kept as files."""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_YEARS: Final = 10
_MAKING = threading.Lock()


class NotTrustedError(Exception):
    """A server's certificate is not accepted; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An application certificate with its key, DER encoded, and the URI that the certificate names."""

    certificate: bytes
    key: bytes
    uri: str


def load_certificate(path: Path) -> x509.Certificate:
    """A certificate from a PEM or DER file. Raises OSError or ValueError."""
    raw = path.read_bytes()
    return x509.load_pem_x509_certificate(raw) if b"-----BEGIN" in raw else x509.load_der_x509_certificate(raw)


def load_identity(certificate: Path, key: Path) -> Identity:
    """A certificate and its key from PEM or DER files. Raises OSError or ValueError."""
    own = load_certificate(certificate)
    raw = key.read_bytes()
    load = serialization.load_pem_private_key if b"-----BEGIN" in raw else serialization.load_der_private_key
    private = load(raw, password=None)
    if private.public_key().public_numbers() != own.public_key().public_numbers():  # type: ignore[union-attr]
        raise ValueError(f"{key} is not the key of {certificate}")
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(own.public_bytes(serialization.Encoding.DER), der, _uri(own))


def own_identity(folder: Path) -> Identity:
    """The identity in `folder`, created on first use (self-signed, RSA 2048; the key readable by us alone)."""
    certificate, key = folder / "own.der", folder / "own.key.pem"
    with _MAKING:
        if not (certificate.exists() and key.exists()):
            _create(folder, certificate, key)
    return load_identity(certificate, key)


def _create(folder: Path, certificate: Path, key: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = self_signed(private, f"urn:{socket.gethostname()}:shopfloor-edge-agent", [socket.gethostname()])
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
    """An application instance certificate as OPC 10000-6 §6.2.2 wants it (client and server use)."""
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
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
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
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def _uri(certificate: x509.Certificate) -> str:
    uris = [n.value for n in _alternatives(certificate) if isinstance(n, x509.UniformResourceIdentifier)]
    return uris[0] if uris else "urn:shopfloor-edge-agent"


def first_of_chain(der: bytes) -> bytes:
    """The server's own certificate of a DER chain: the first SEQUENCE, whose length its header tells."""
    if len(der) < 4 or der[0] != 0x30 or der[1] != 0x82:
        return der
    return der[: 4 + int.from_bytes(der[2:4], "big")]


def trusted(where: Path) -> Iterator[x509.Certificate]:
    """The certificates of a file, or of the files of a folder; what is not a certificate is passed over."""
    for path in sorted(where.iterdir()) if where.is_dir() else [where] if where.exists() else []:
        try:
            yield load_certificate(path)
        except (ValueError, OSError):
            continue


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
    """Accept a server's certificate or raise NotTrustedError.

    It must be in the trust list (or signed by a certificate there), be valid now, name the application URI that
    the server announces, and name `host`. One that is not trusted is put into `rejected`, ready to be moved.

    `check_uri=False` and `check_time=False` waive what they name where the trust list holds this very certificate,
    byte for byte: then its bytes are what is trusted. For a certificate that another one vouches for they do nothing.
    """
    certificate = x509.load_der_x509_certificate(der)
    known_certificates = list(trusted(where))
    if not any(_vouches(known, certificate) for known in known_certificates):
        path = _keep(certificate, der, rejected)
        folder = where.parent if where.suffix else where
        raise NotTrustedError(
            "the server's certificate is not trusted; make sure that it is the right one "
            f"(SHA-256 {certificate.fingerprint(hashes.SHA256()).hex()}), then: mkdir -p {folder} && cp {path} {where}"
        )
    pinned = any(known.public_bytes(serialization.Encoding.DER) == der for known in known_certificates)
    now = datetime.datetime.now(datetime.UTC)
    in_time = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    if not in_time and (check_time or not pinned):
        raise NotTrustedError(
            f"the server's certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d} to "
            f"{certificate.not_valid_after_utc:%Y-%m-%d} only; renew it on the server, or set this computer's clock, "
            f"{_waiver('check_time', pinned, where)}"
        )
    names = _alternatives(certificate)
    if uri and x509.UniformResourceIdentifier(uri) not in names and (check_uri or not pinned):
        raise NotTrustedError(
            f"the server calls itself {uri}, which its certificate does not name; renew it on the server, "
            f"{_waiver('check_uri', pinned, where)}"
        )
    if check_host and _general_name(host) not in names:
        raise NotTrustedError(
            f"the server's certificate does not name the host {host}; "
            "use a host it names, or set security.check_host: false"
        )


def _waiver(key: str, pinned: bool, where: Path) -> str:
    """The end of a sentence: how to go on with this certificate as it is."""
    if pinned:
        return f"or accept this one as it is with security.{key}: false"
    return f"or put this very certificate into {where} and set security.{key}: false"


def _vouches(known: x509.Certificate, certificate: x509.Certificate) -> bool:
    if known == certificate:
        return True
    try:
        is_ca = known.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(known)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return is_ca


def _keep(certificate: x509.Certificate, der: bytes, folder: Path) -> Path:
    path = folder / f"{certificate.fingerprint(hashes.SHA1()).hex()}.der"  # noqa: S303 - a file name, as OPC UA tools use
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _write(path, der)
    return path
