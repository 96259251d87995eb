"""One OPC UA server behind its gate, with the devices that share it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.common.node import Node
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from simulators.behaviours.base import SignalValue
from simulators.certificates import CertificateFiles, make
from simulators.device import SimulatedDevice
from simulators.opcua.gate import Gate
from simulators.opcua.nodes import SERVER_URI, Name, NodePlace, ServedNamespaces, place
from simulators.opcua.space import LeanServer
from simulators.opcua.values import ValueCodec
from simulators.spec import FaultSpec, SpecError, TagSpec

_LOG = logging.getLogger(__name__)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CURRENT_TIME: Final = ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_CurrentTime))
_STALLING: Final = ("timeout", "half_open")
_POLICIES: Final = {
    "Basic256Sha256": "Basic256Sha256",
    "Aes128_Sha256_RsaOaep": "Aes128Sha256RsaOaep",
    "Aes256_Sha256_RsaPss": "Aes256Sha256RsaPss",
}


class _Users:
    """Accepts one user name with its password (any password when the SPEC has none)."""

    def __init__(self, name: str, password: str | None) -> None:
        self._name = name
        self._password = password

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        """Called by asyncua at ActivateSession; None refuses."""
        given = password.decode() if isinstance(password, bytes) else password
        fits = username == self._name and self._password in (None, given)
        return User(role=UserRole.User, name=username) if fits else None


class _Everyone:
    """Anonymous users may read, nobody may write."""

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        """Called by asyncua at ActivateSession."""
        return User(role=UserRole.User, name=username)


class _Variable:
    """One tag on the server: its node, and what was written last."""

    __slots__ = ("codec", "last", "node", "place", "tag")

    def __init__(self, tag: TagSpec, where: NodePlace) -> None:
        self.tag = tag
        self.place = where
        self.codec = ValueCodec(tag)
        self.node: ua.NodeId | None = None
        """None before the server is built, and for a node that the server has by itself."""
        self.last: Any = None


class OpcuaPort:
    """One endpoint and its server. Values are written when they change, with the simulated time as
    source time."""

    def __init__(self, devices: list[SimulatedDevice], pki: Path) -> None:
        self.devices = devices
        self._pki = pki
        self._namespaces = ServedNamespaces(tag for device in devices for tag in device.spec.tags)
        self._variables = {
            device.spec.id: [
                _Variable(tag, place(device.spec, tag, i, self._namespaces))
                for i, tag in enumerate(device.spec.tags)
            ]
            for device in devices
        }
        first = devices[0].spec
        self._gate = Gate(first.host, first.port)
        self._security: Mapping[str, Any] = first.options.get("security") or {}
        self._user: Any = first.options.get("user")
        self._server: Server | None = None
        self._changed_order = False
        self._pushed: dict[str, tuple[int, int]] = {}
        self.identity: CertificateFiles | None = None

    @property
    def endpoint(self) -> str:
        """Where a client finds it, once started."""
        return f"opc.tcp://{self._gate.host}:{self._gate.port}/simulator"

    @property
    def certificate(self) -> Path | None:
        """The server's certificate where it has one."""
        return self.identity.certificate if self.identity is not None else None

    async def start(self) -> None:
        """Build the server and open its port. Raises OSError when the port is taken, SpecError for
        a bad tag."""
        await self._gate.open()
        await self._start_server()

    async def stop(self) -> None:
        """Close everything; may be called twice."""
        await self._gate.close()
        await self._stop_server()

    async def refresh(self) -> None:
        """Bring the port into the state the faults want, and write what has changed."""
        boards = [device.board for device in self.devices]
        offline = any(board.active("offline") for board in boards)
        self._gate.stall(any(board.any_active(_STALLING) for board in boards))
        if offline and self._gate.listening:
            await self._gate.close()
        elif not offline and not self._gate.listening:
            await self._gate.open()
        await self._push()

    async def happen(self, device: SimulatedDevice, event: FaultSpec) -> None:
        """Carry out an event fault."""
        if event.kind in ("counter_reset", "rollover"):
            codecs = {
                variable.tag.name: variable.codec for variable in self._variables[device.spec.id]
            }
            device.bend(event, lambda tag: codecs[tag.name].modulus())
        elif event.kind == "server_restart":
            self._changed_order = not self._changed_order
            self._gate.drop()
            await self._stop_server()
            await self._start_server()
        else:
            self._gate.drop()

    async def _start_server(self) -> None:
        server = Server(iserver=LeanServer(self._users()))
        await server.init()
        await server.set_application_uri(SERVER_URI)
        server.set_server_name("Simulated machine")
        server.set_endpoint(self.endpoint)
        server.socket_address = ("127.0.0.1", 0)
        await self._protect(server)
        for uri in self._namespaces.order(self._changed_order):
            await server.register_namespace(uri)
        await self._build(server)
        self._server = server
        self._pushed.clear()
        await self._push()
        await server.start()
        assert server.bserver is not None  # noqa: S101 - set by start
        self._gate.target = server.bserver.port

    async def _stop_server(self) -> None:
        server = self._server
        self._server = None
        if server is not None:
            await server.stop()

    def _users(self) -> _Users | _Everyone:
        if not self._user:
            return _Everyone()
        if isinstance(self._user, str):
            return _Users(self._user, None)
        return _Users(
            str(self._user.get("name") or self._user.get("username")), self._user.get("password")
        )

    async def _protect(self, server: Server) -> None:
        """Offer an open endpoint, and the one that was asked for."""
        policies = [ua.SecurityPolicyType.NoSecurity]
        policy = str(self._security.get("policy") or "None")
        if policy != "None":
            if policy not in _POLICIES:
                raise SpecError(f"没有安全策略 {policy} / no security policy {policy}")
            mode = str(self._security.get("mode") or "SignAndEncrypt")
            policies.append(ua.SecurityPolicyType[f"{_POLICIES[policy]}_{mode}"])
            if self.identity is None:
                self.identity = make(self._pki, self.devices[0].spec.id, SERVER_URI)
            await server.load_certificate(self.identity.certificate)
            await server.load_private_key(self.identity.key)
        server.set_security_policy(policies)
        if self._user:
            server.set_identity_tokens([ua.UserNameIdentityToken])

    async def _build(self, server: Server) -> None:
        """Create folders and variables; a node that several tags name is created once."""
        indexes = {uri: i for i, uri in enumerate(await server.get_namespace_array())}
        indexes[SERVER_URI] = 1
        folders: dict[tuple[Name, ...], Node] = {(): server.nodes.objects}
        made: dict[ua.NodeId, str] = {}
        for device in self.devices:
            for variable in self._variables[device.spec.id]:
                parent = await _folder(folders, variable.place.folders, indexes)
                index = indexes[variable.place.uri]
                where = variable.place
                identifier = 0 if where.identifier is None else where.identifier
                wanted = ua.NodeId(identifier, index)  # type: ignore[arg-type]
                variable.last = None
                if where.identifier is not None and wanted in made:
                    _same_device(made[wanted], device.spec.id, wanted)
                    variable.node = wanted
                    continue
                name = ua.QualifiedName(where.name.name, indexes[where.name.uri])
                start = variable.codec.variant([] if variable.codec.array else 0)
                try:
                    node = await parent.add_variable(wanted, name, start, datatype=None)
                except UaStatusCodeError as error:
                    if error.code != StatusCodes.BadNodeIdExists:
                        raise
                    variable.node = (
                        None  # a standard one, such as the server's time: every server has its own
                    )
                    continue
                variable.node = node.nodeid
                made[node.nodeid] = device.spec.id

    async def _push(self) -> None:
        if self._server is None:
            return
        for device in self.devices:
            values = device.values()
            stamp = (device.version, device.board.version)
            before = self._pushed.get(device.spec.id)
            if stamp == before:
                continue
            self._pushed[device.spec.id] = stamp
            await self._write(device, values, force=before is None or before[1] != stamp[1])
        now = self._time(0.0)
        await self._server.write_attribute_value(
            _CURRENT_TIME,
            ua.DataValue(ua.Variant(now)),
        )

    async def _write(self, device: SimulatedDevice, values: Any, force: bool) -> None:
        assert self._server is not None  # noqa: S101 - the caller checked
        jump = device.board.active("clock_jump")
        source = self._time(jump.seconds if jump is not None else 0.0)
        for variable, value in zip(self._variables[device.spec.id], values, strict=True):
            shown = _shown(variable, device, value)
            status = _status(device, variable.tag.name)
            if variable.node is None or (not force and variable.last == (shown.Value, status)):
                continue
            variable.last = (shown.Value, status)
            await self._server.write_attribute_value(
                variable.node,
                ua.DataValue(shown, ua.StatusCode(status), SourceTimestamp=source),  # type: ignore[arg-type]
            )

    def _time(self, jump: float) -> datetime:
        """The machine's own clock."""
        return _EPOCH + timedelta(microseconds=self.devices[0].world.t_ns // 1000, seconds=jump)


def _shown(variable: _Variable, device: SimulatedDevice, value: SignalValue) -> ua.Variant:
    """The value with the value faults applied that need the type."""
    name = variable.tag.name
    if device.board.hits("nan", name) and (nothing := variable.codec.nan()) is not None:
        return nothing
    if isinstance(value, str) and device.board.hits("gbk_names", name):
        # A controller that puts GBK bytes where UTF-8 belongs; gateways pass them on byte by byte.
        value = value.encode("gbk", "replace").decode("latin-1")
    return variable.codec.variant(value)


def _status(device: SimulatedDevice, tag: str) -> int:
    if device.board.hits("bad_status", tag):
        return StatusCodes.BadSensorFailure
    if device.board.hits("uncertain_status", tag):
        return StatusCodes.UncertainLastUsableValue
    return StatusCodes.Good


def _same_device(first: str, second: str, node: ua.NodeId) -> None:
    if first != second:
        what = node.to_string()
        raise SpecError(
            f"{first} 与 {second} 在同一服务器上都有节点 {what} / both have the node {what} on "
            "one server"
        )


async def _folder(
    folders: dict[tuple[Name, ...], Node], path: tuple[Name, ...], indexes: Mapping[str, int]
) -> Node:
    """The folder at `path` below Objects, created with its parents when missing."""
    if path not in folders:
        parent = await _folder(folders, path[:-1], indexes)
        index = indexes[path[-1].uri]
        node = ua.NodeId(0, index or 1)  # type: ignore[arg-type]
        folders[path] = await parent.add_object(node, ua.QualifiedName(path[-1].name, index))
    return folders[path]
