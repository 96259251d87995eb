"""Which endpoints an OPC UA server offers: policies, modes, ways to log in, and what it says of
itself.

GetEndpoints needs no session and no certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from asyncua import ua
from asyncua.client.client import Client

from connectors.opcua import raw_transport
from connectors.opcua.faults import device_errors
from connectors.opcua.session import DEFAULT_PORT, quiet_asyncua_log
from edge_agent.discovery import Progress, ScanAnswer, ScanWanted
from edge_agent.sdk import DeviceError

_TIMEOUT_S: Final = 4.0
_WATCHDOG_S: Final = 86_400.0
_LOGINS: Final = {
    ua.UserTokenType.Anonymous: "anonymous",
    ua.UserTokenType.UserName: "user name",
    ua.UserTokenType.Certificate: "certificate",
    ua.UserTokenType.IssuedToken: "token",
}
#: The keys of a device for each way to log in that needs some.
_LOGIN_KEYS: Final = {
    ua.UserTokenType.UserName: "--set user.name=... --set 'user.password=!env NAME'",
    ua.UserTokenType.Certificate: "--set user.certificate=op.pem --set user.key=op.key",
}


async def scan(wanted: ScanWanted, progress: Progress) -> AsyncIterator[ScanAnswer]:
    """Every server that answers at the addresses named."""
    quiet_asyncua_log()
    for done, target in enumerate(wanted.targets):
        url = endpoint_url(target)
        progress(done, len(wanted.targets), url)
        try:
            offered = await _endpoints(url, wanted.timeout or _TIMEOUT_S)
        except DeviceError as error:
            yield ScanAnswer(url, {}, zh=error.cause.zh, en=error.cause.en, readable=False)
            continue
        yield _answer(url, offered)
        await asyncio.sleep(wanted.pause)


def endpoint_url(target: str) -> str:
    """`HOST`, `HOST:PORT` or a whole URL as an endpoint. Raises ValueError with a sentence."""
    url = target if "://" in target else f"opc.tcp://{target}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = 0
        parts = urlsplit("")
    if parts.scheme != "opc.tcp" or not parts.hostname or port == 0:
        raise ValueError(
            f"{target} 不是 OPC UA 地址：应写成 主机、主机:端口 或 opc.tcp://主机:端口。\n"
            f"    {target} is no OPC UA address: write HOST, HOST:PORT or opc.tcp://HOST:PORT."
        )
    return url if port else parts._replace(netloc=f"{parts.netloc}:{DEFAULT_PORT}").geturl()


async def _endpoints(url: str, timeout: float) -> Sequence[ua.EndpointDescription]:
    client = Client(url, timeout=timeout, watchdog_intervall=_WATCHDOG_S)
    if raw_transport.has_bounded_seam(client):
        raw_transport.bound(client)
    with device_errors(url):
        try:
            async with asyncio.timeout(3 * timeout):
                return list(await client.connect_and_get_server_endpoints())
        finally:
            client.disconnect_socket()


def _answer(url: str, offered: Sequence[ua.EndpointDescription]) -> ScanAnswer:
    facts: dict[str, str] = {}
    offers = []
    open_to_all = False
    accepted: set[ua.UserTokenType] = set()
    for endpoint in offered:
        policy = str(endpoint.SecurityPolicyUri or "").rpartition("#")[2] or "?"
        mode = endpoint.SecurityMode.name.rstrip("_")
        tokens = {token.TokenType for token in endpoint.UserIdentityTokens or ()}
        accepted |= tokens
        logins = [_LOGINS.get(token, token.name) for token in sorted(tokens)]
        open_to_all = open_to_all or (policy == "None" and ua.UserTokenType.Anonymous in tokens)
        offers.append(f"{policy}/{mode} ({', '.join(logins) or '-'})")
        server = endpoint.Server
        facts = {
            "ApplicationName": str(server.ApplicationName.Text or ""),
            "ProductUri": str(server.ProductUri or ""),
            "ApplicationUri": str(server.ApplicationUri or ""),
        }
    device: dict[str, object] = {"connector": "opcua", "endpoint": url}
    best = _best(offered)
    if open_to_all:
        zh = "可匿名、不加密连接。"
        en = "It can be read without a certificate and without a login."
    else:
        if best != "None":
            device["security"] = {"policy": best}
        policy = f"--set security.policy={best} " if best != "None" else ""
        keys = [login for token, login in _LOGIN_KEYS.items() if token in accepted]
        if ua.UserTokenType.Anonymous in accepted:
            keys = []
        ways = [f"{policy}{login}".rstrip() for login in keys or [""]]
        zh = f"需要证书或账号：browse {url} {'，或 '.join(ways)}。"
        en = f"It needs a certificate or a login: browse {url} {', or '.join(ways)}."
    named = {name: text for name, text in facts.items() if text}
    return ScanAnswer(
        url,
        device,
        named,
        tuple(dict.fromkeys(offers)),
        zh,
        en,
        open_to_all,
        {"mode": "read"},
        ("browse", url),
    )


def _best(offered: Sequence[ua.EndpointDescription]) -> str:
    """The strongest policy that we speak and the server offers with encryption."""
    policies = {str(endpoint.SecurityPolicyUri or "").rpartition("#")[2] for endpoint in offered}
    for policy in ("Aes256_Sha256_RsaPss", "Basic256Sha256", "Aes128_Sha256_RsaOaep"):
        if policy in policies:
            return policy
    return "None"
