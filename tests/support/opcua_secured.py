"""An asyncua server with users and all security policies, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.opcua import pki
from tests.support.opcua_server import endpoint, new_server, serving
from tests.support.servers import free_port

SERVER_URI = "urn:test.example:server"
MakeCertificate = Callable[[rsa.RSAPrivateKey], x509.Certificate]
POLICIES = ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]


class Users(UserManager):
    """One user with a password, one with a certificate."""

    certificate = b""

    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        known = (username, password) == ("operator", "geheim 密码") or (
            certificate and certificate == self.certificate
        )
        return User(role=UserRole.User, name="operator") if known else None


class Secured:
    """A server with all policies, an insecure endpoint besides, and its certificate under
    `folder`."""

    def __init__(self, folder: Path, make: MakeCertificate | None = None) -> None:
        """`make`: the server's certificate for its key; None: one that is as it should be."""
        self.folder = folder
        self._make = make
        self.port = free_port()
        self.endpoint = endpoint(self.port)
        self.users = Users()
        self.certificate = folder / "server.der"
        self._stop = threading.Event()

    def identity(self, path: Path, uri: str, hosts: list[str]) -> Path:
        """A key and certificate in files; the certificate's path."""
        return self._written(path, lambda private: pki.self_signed(private, uri, hosts))

    def _written(self, path: Path, make: MakeCertificate) -> Path:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        path.write_bytes(make(private).public_bytes(serialization.Encoding.DER))
        path.with_suffix(".pem").write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path

    async def serve(self, ready: threading.Event) -> None:
        if self._make is None:
            self.identity(self.certificate, SERVER_URI, ["127.0.0.1"])
        else:
            self._written(self.certificate, self._make)
        server = await new_server(self.users)
        await server.set_application_uri(SERVER_URI)
        kinds = [
            k
            for k in ua.SecurityPolicyType
            if any(p.replace("_", "") in k.name.replace("_", "") for p in POLICIES)
        ]
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity, *kinds])
        await server.load_certificate(self.certificate)
        await server.load_private_key(self.certificate.with_suffix(".pem"))
        async with serving(self.port, server=server):
            ready.set()
            while not self._stop.is_set():
                await asyncio.sleep(0.05)  # poll interval of this waiter

    def stop(self) -> None:
        self._stop.set()


@contextlib.contextmanager
def secured_server(folder: Path, make: MakeCertificate | None = None) -> Iterator[Secured]:
    """The server, from the moment it listens until the block ends."""
    made, ready = Secured(folder, make), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(made.serve(ready)))
    thread.start()
    try:
        assert ready.wait(60)
        yield made
    finally:
        made.stop()
        thread.join(30)
