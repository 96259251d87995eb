"""One asyncua session: connected from scratch each time, closed without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession
from asyncua.crypto import security_policies
from asyncua.ua.uaerrors import UaError
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from connectors.opcua import pki, raw_transport
from connectors.opcua.browse import Browser
from connectors.opcua.faults import device_errors
from connectors.opcua.limits import STATE, OperationLimits, read_limits
from connectors.opcua.namespaces import NamespaceTable
from connectors.opcua.options import device_options
from connectors.opcua.resolve import Resolved, Resolver, explained, report
from edge_agent.sdk import Cause, DeviceError, DevicePlan, TagTable

log = logging.getLogger(__name__)

DEFAULT_PORT: Final = 4840
SESSION_S: Final = 60.0
"""How long the server keeps a session of ours that went silent; asyncua's default is an hour."""
WATCHDOG_S: Final = 86_400.0
"""asyncua's own probe, as good as off: its interval knows nothing of the life that the server
granted the session."""
KEEP_ALIVE_S: Final = 20.0
"""A session is used at least this often, and three times within the life that the server granted
it."""
_STEPS: Final = 10
"""Answers that one connect may wait for, each up to the device's timeout."""
_LEAVE_S: Final = 2.0
_NO_ENDPOINT: Final = "No matching endpoints"
"""How asyncua's error begins when the server has no endpoint of the policy and mode wanted."""
_NOTHING: Final[Mapping[int, Cause]] = MappingProxyType({})

_POLICIES: Final[dict[str, type[security_policies.SecurityPolicy]]] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_MODES: Final = {
    "None": ua.MessageSecurityMode.None_,
    "Sign": ua.MessageSecurityMode.Sign,
    "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt,
}


def quiet_asyncua_log() -> None:
    """Keep asyncua's own log lines out, unless somebody has set a level for it: what matters
    reaches us as errors."""
    theirs = logging.getLogger("asyncua")
    if theirs.level == logging.NOTSET:
        theirs.setLevel(logging.CRITICAL + 1)


class OpcuaSession:
    """The session that devices of one connection key share."""

    seek_first_s: ClassVar[float] = 1.0
    """How soon a tag that the server does not have is looked for again: a PLC may be loading its
    program."""
    seek_s: ClassVar[float] = 30.0
    """How often at the least; each attempt that finds nothing doubles the pause up to this."""
    audit_s: ClassVar[float] = 60.0
    """How often every subscribed tag is read besides, and compared with what the subscription
    brought."""

    def __init__(self, plans: Sequence[DevicePlan]) -> None:
        self.options = device_options(plans[0].options)
        self.limits = OperationLimits()
        self.wire: raw_transport.RawTransport | None = None
        self._namespaces = NamespaceTable(())
        self._client: Client | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._warned = False
        self._unreached = False
        """Whether the last attempt to connect failed."""

    @functools.cached_property
    def own_certificate(self) -> str:
        """Where our application certificate is, for the sentences of errors."""
        security = self.options.security
        return str(security.certificate or security.folder / "own.der")

    @property
    def service(self) -> UaSession:
        """asyncua's session services. Raises DeviceError when there is no connection."""
        return self.client.uaclient.session

    @property
    def client(self) -> Client:
        """The connected client. Raises DeviceError when there is none."""
        if self._client is None:
            raise DeviceError.of("not_connected", lost=True, where=self.options.endpoint)
        return self._client

    async def open(self) -> None:
        """Connect with a fresh client, and learn the server's limits and namespaces. Raises
        DeviceError(lost=True)."""
        quiet_asyncua_log()
        options = self.options
        try:
            with device_errors(options.endpoint, self.own_certificate):
                async with asyncio.timeout(_STEPS * options.timeout):
                    if self._unreached:
                        await self._probe_port()
                    await self._connect()
        except BaseException:
            self._unreached = True
            await self.close()
            raise
        self._unreached = False
        log.info(
            "opcua-connected endpoint=%s policy=%s mode=%s limits=%s",
            options.endpoint,
            options.security.policy,
            options.security.effective_mode,
            self.limits,
        )

    async def close(self) -> None:
        """Close the session in order where that is possible, the socket in any case. Never
        raises."""
        keeper = self._keeper
        client = self._client
        self._keeper = self._client = self.wire = None
        if client is None:
            return
        protocol = client.uaclient.protocol
        try:
            async with asyncio.timeout(min(self.options.timeout, _LEAVE_S)):
                await client.disconnect()
        except Exception as error:  # noqa: BLE001 - a client that fails to leave politely is dropped all the same
            log.debug("opcua-close endpoint=%s error=%r", self.options.endpoint, error)
        finally:
            # Also when cancelled: `close` of a transport waits for unsent bytes, for ever on a dead
            # link.
            with contextlib.suppress(Exception):
                client.disconnect_socket()
            if protocol is not None and protocol.transport is not None:
                protocol.transport.abort()
            if keeper is not None:
                keeper.cancel()
                await asyncio.wait([keeper])

    async def resolve(self, table: TagTable) -> Resolved:
        """Where the tags of a table are on this server."""
        return await self._resolver().resolve(table, range(len(table)))

    async def seek(self, table: TagTable, missing: Collection[int]) -> Resolved:
        """Where the tags are by now that were not there before, the server's namespaces read
        anew."""
        self._namespaces = await NamespaceTable.read(self.service, self._namespaces)
        return await self._resolver().resolve(table, missing)

    async def report(
        self,
        table: TagTable,
        before: Mapping[int, int],
        now: Mapping[int, int],
        known: Mapping[int, Cause] = _NOTHING,
    ) -> Mapping[int, Cause]:
        """Why the server does not give us the tags `now`, as far as more is known than their
        statuses, by position; the log gets what is new against `before`, of which the causes are
        `known`."""
        causes = await explained(Browser(self.service, self._namespaces), table, before, now, known)
        report(table, before, now, causes)
        return causes

    def _resolver(self) -> Resolver:
        return Resolver(self.service, self._namespaces, self.limits)

    async def _probe_port(self) -> None:
        """See whether anything listens there: a client with our keys costs many times as much as a
        connection, and of the devices that are away most refuse that."""
        parts = urlsplit(self.options.endpoint)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.options.timeout):
            transport, _ = await loop.create_connection(
                asyncio.Protocol, parts.hostname or "", parts.port or DEFAULT_PORT
            )
        transport.abort()

    async def _connect(self) -> None:
        client = self._client = self._new_client()
        security = self.options.security
        if security.policy == "None":
            self._warn_once("opcua-insecure endpoint=%s policy=None")
        else:
            await self._secure(client)
        self._identify(client)
        try:
            await client.connect()
        except UaError as error:
            if _NO_ENDPOINT not in str(error):
                raise
            offered = _offered_policies(await self._new_client().connect_and_get_server_endpoints())
            raise self._not_offered(offered) from error
        if raw_transport.has_bounded_seam(client):
            raw_transport.limit_messages(client)
        self.wire = raw_transport.open_wire(client)
        self._namespaces = await NamespaceTable.read(client.uaclient.session, self._namespaces)
        self.limits = await read_limits(client.uaclient.session)
        self._keeper = asyncio.create_task(self._keep_alive(client), name="opcua-keep-alive")

    async def _keep_alive(self, client: Client) -> None:
        """Use the session often enough for the server not to forget it, however seldom anybody
        polls.

        What fails here is found by whoever uses the session next, who knows what to do about it.
        """
        granted_s = client.session_timeout / 1000 or SESSION_S
        while True:
            await asyncio.sleep(min(KEEP_ALIVE_S, granted_s / 3))
            try:
                async with asyncio.timeout(self.options.timeout):
                    await client.uaclient.session.read(STATE)
            except Exception as error:  # noqa: BLE001 - reason: only logged, see above
                log.debug("opcua-keep-alive endpoint=%s error=%r", self.options.endpoint, error)

    def _new_client(self) -> Client:
        options = self.options
        parts = urlsplit(options.endpoint)
        url = options.endpoint
        if parts.port is None:
            url = parts._replace(netloc=f"{parts.netloc}:{DEFAULT_PORT}").geturl()
        client = Client(url, timeout=options.timeout, watchdog_intervall=WATCHDOG_S)
        client.session_timeout = int(SESSION_S * 1000)
        client.name = client.description = "shopfloor-edge-agent"
        client.product_uri = "urn:shopfloor-edge-agent"
        if raw_transport.has_bounded_seam(client):
            raw_transport.bound(client)
        return client

    def _not_offered(self, offered: str) -> DeviceError:
        security = self.options.security
        wanted = f"{security.policy}/{security.effective_mode}"
        facts = {"where": self.options.endpoint, "wanted": wanted, "offered": offered}
        return DeviceError.of("opcua_policy_not_offered", lost=True, **facts)

    async def _secure(self, client: Client) -> None:
        """Find the endpoint, check the server's certificate, and set up policy, mode and our own
        certificate."""
        security = self.options.security
        if security.certificate is not None and security.key is not None:
            identity = await asyncio.to_thread(
                pki.load_identity, security.certificate, security.key
            )
        else:
            identity = await asyncio.to_thread(pki.own_identity, security.folder)
        client.application_uri = identity.uri
        policy = _POLICIES[security.policy]
        mode = _MODES[security.effective_mode]
        offered = await client.connect_and_get_server_endpoints()
        endpoint = next(
            (e for e in offered if e.SecurityPolicyUri == policy.URI and e.SecurityMode == mode),
            None,
        )
        if endpoint is None:
            raise self._not_offered(_offered_policies(offered))
        certificate = pki.first_of_chain(bytes(endpoint.ServerCertificate or b""))
        self._trust(certificate, str(endpoint.Server.ApplicationUri or ""))
        await client.set_security(
            policy, identity.certificate, identity.key, server_certificate=certificate, mode=mode
        )  # fmt: skip

    def _trust(self, certificate: bytes, uri: str) -> None:
        options = self.options
        security = self.options.security
        if options.allow_insecure:
            self._warn_once("opcua-unchecked-certificate endpoint=%s")
            return
        where = security.trust or security.folder / "trusted"
        host = urlsplit(options.endpoint).hostname or ""
        rejected = security.folder / "rejected"
        pki.check_server(
            certificate,
            host,
            uri,
            where,
            rejected,
            security.check_host,
            check_uri=security.check_uri,
            check_time=security.check_time,
        )

    def _warn_once(self, line: str) -> None:
        """A line about the configuration need not come back with every attempt to connect."""
        if not self._warned:
            log.warning(line, self.options.endpoint)
        self._warned = True

    def _identify(self, client: Client) -> None:
        user = self.options.user
        if user is None:
            return
        if user.certificate is not None and user.key is not None:
            identity = pki.load_identity(user.certificate, user.key)
            client.user_certificate = x509.load_der_x509_certificate(identity.certificate)
            client.user_private_key = serialization.load_der_private_key(identity.key, None)
        elif user.name is not None:
            client.set_user(user.name)
            client.set_password(user.password.get_secret_value() if user.password else "")


def _offered_policies(endpoints: Sequence[ua.EndpointDescription]) -> str:
    """The policies and modes that a server has."""
    kinds = sorted(
        {
            f"{str(e.SecurityPolicyUri).rpartition('#')[2]}/{e.SecurityMode.name.rstrip('_')}"
            for e in endpoints
        }
    )
    return ", ".join(kinds) or "-"
