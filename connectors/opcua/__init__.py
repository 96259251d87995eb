"""OPC UA: subscriptions and cyclic reads over asyncua, with our own request bytes and response
decoder on top.

Importing this package costs nothing; asyncua is imported when a connection object is made.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from connectors.opcua.check import check, notes
from connectors.opcua.describe import describe
from connectors.opcua.options import (
    OpcuaDevice,
    OpcuaTag,
    User,
    device_options,
    kind,
    tag_address,
    tag_modulus,
)
from edge_agent.sdk import (
    Clock,
    Connection,
    DevicePlan,
    Discovery,
    Options,
    Plugin,
    prepare_singles,
)

__all__ = ["PLUGIN"]

#: Keys tell devices apart by their passwords without showing them: the digest is worth nothing in
#: another process.
_SALT: Final = secrets.token_bytes(16)


def _connection_key(options: Options) -> str:
    """Devices with the same endpoint, mode, security, user and timeout share a session."""
    options = device_options(options)
    parts = (
        options.security.model_dump_json(),
        _who(options.user),
        repr(options.timeout),
        repr(options.allow_insecure),
    )
    digest = hashlib.blake2b("\n".join(parts).encode(), key=_SALT, digest_size=6).hexdigest()
    return f"{options.endpoint} {options.mode} {digest}"


def _who(user: User | None) -> str:
    if user is None:
        return ""
    password = user.password.get_secret_value() if user.password is not None else ""
    return repr((user.name, password, str(user.certificate), str(user.key)))


def _connect(plans: Sequence[DevicePlan], clock: Clock) -> Connection:
    prepare_singles()  # which types the server has is not known before the first value
    if device_options(plans[0].options).mode == "read":
        from connectors.opcua.polled import PolledConnection

        return PolledConnection(plans, clock)
    from connectors.opcua.stream import StreamingConnection

    return StreamingConnection(plans, clock)


def _requests(plan: DevicePlan) -> int:
    """One Read for each table, unless the server allows fewer nodes in one; a subscription asks for
    nothing."""
    return len(plan.tables) if device_options(plan.options).mode == "read" else 0


def _discovery() -> Discovery:
    from connectors.opcua.discovery import DISCOVERY

    return DISCOVERY


PLUGIN: Final = Plugin(
    name="opcua",
    device_options=OpcuaDevice,
    tag_options=OpcuaTag,
    kind=kind,
    check=check,
    connection_key=_connection_key,
    connect=_connect,
    describe=describe,
    endpoint_key="endpoint",
    requests=_requests,
    notes=notes,
    address=tag_address,
    discovery=_discovery,
    modulus=tag_modulus,
)
