"""What is wrong with a device's keys that the models alone cannot see. Opens no connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from connectors.opcua.address import parse_node, parse_path
from connectors.opcua.options import (
    OpcuaDevice,
    OpcuaTag,
    Security,
    User,
    device_options,
    kind_of_type,
    tag_options,
)
from edge_agent.sdk import DevicePlan, Problem, Tag

_NODE_FORMS = "i=2258, ns=2;s=Name, nsu=http://example.org/;s=Name"


def check(plan: DevicePlan) -> Iterator[Problem]:
    """Every problem of a device, its security first."""
    options = device_options(plan.options)
    yield from _security(options.security)
    if options.user is not None:
        yield from _user(options.user, options)
    for table in plan.tables:
        yield from table.once(_tags)


def _security(security: Security) -> Iterator[Problem]:
    if (security.policy == "None") != (security.effective_mode == "None"):
        yield Problem(
            None,
            "security",
            f"policy: {security.policy} 与 mode: {security.effective_mode} 不能同用；加密请写 "
            "policy: Basic256Sha256。",
            f"policy: {security.policy} does not go with mode: {security.effective_mode}; "
            "for a protected channel write policy: Basic256Sha256.",
            rests_on=(),
        )
    yield from _pair("security", security.certificate, security.key)
    if security.trust is not None and not security.trust.exists():
        yield _missing("security.trust", security.trust)


def _user(user: User, options: OpcuaDevice) -> Iterator[Problem]:
    if (user.name is None) == (user.certificate is None):
        yield Problem(
            None,
            "user",
            "user 需要 name（和 password），或者 certificate 和 key，两者取其一。",
            "user needs either name (and password) or certificate and key.",
            rests_on=(),
        )
    yield from _pair("user", user.certificate, user.key)
    clear = options.security.effective_mode != "SignAndEncrypt" and not on_this_machine(
        options.endpoint
    )
    if user.password is not None and clear and not options.allow_insecure:
        yield Problem(
            None,
            "user.password",
            "通道未加密，口令可能被窃听。请设置 security: {policy: Basic256Sha256}，或写 "
            "allow_insecure: true 接受。",
            "The channel is not encrypted, so the password could be read. "
            "Set security: {policy: Basic256Sha256}, or accept it with allow_insecure: true.",
            rests_on=("security", "allow_insecure", "endpoint"),
        )


def on_this_machine(endpoint: str) -> bool:
    """Whether a server is reached without leaving this machine: then nobody on the way can read
    what goes there."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return host == "localhost" or ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _pair(key: str, certificate: Path | None, private: Path | None) -> Iterator[Problem]:
    if (certificate is None) != (private is None):
        yield Problem(
            None,
            key,
            f"{key} 的 certificate 和 key 必须成对给出。",
            f"{key}.certificate and {key}.key belong together: give both.",
            rests_on=(),
        )
    for name, path in (("certificate", certificate), ("key", private)):
        if path is not None and not path.is_file():
            yield _missing(f"{key}.{name}", path)


def _missing(key: str, path: Path) -> Problem:
    return Problem(
        None,
        key,
        f"文件 {path} 不存在，请检查路径。",
        f"There is no file {path}; check the path.",
        certain=True,
    )


def notes(plan: DevicePlan) -> Iterator[Problem]:
    """Addresses that are right today and may be others after a change at the server."""
    for tag in (tag for table in plan.tables for tag in table.tags):
        options = tag_options(tag.where)
        if (
            options.node is not None
            and isinstance(index := parse_node(options.node).namespace, int)
            and index > 1
        ):
            yield Problem(
                tag.name,
                "node",
                "ns= 是命名空间的序号，服务器更新后可能改变，那时会读到同名的另一个变量：建议写 "
                "nsu=URI;…。",
                "ns= is the number of a namespace, which may change when the server is updated, "
                "and then another"
                " variable of the same name is read: better write nsu=URI;...",
            )


def _tags(tags: Sequence[Tag]) -> list[Problem]:
    return [problem for tag in tags for problem in _tag(tag.name, tag_options(tag.where))]


def _tag(name: str, options: OpcuaTag) -> Iterator[Problem]:
    if (options.node is None) == (options.path is None):
        yield Problem(
            name,
            "node",
            "每个测点需要 node 或 path，且只能有一个。",
            "A tag needs either node or path, and not both.",
            rests_on=("path",),
        )
    if options.node is not None:
        yield from _parsed(name, "node", options.node)
    if options.path is not None:
        yield from _parsed(name, "path", options.path)
    if options.type is not None and kind_of_type(options.type) is None:
        yield Problem(
            name,
            "type",
            f"未知类型 {options.type}；请写 bool、int、float、text、array 或 OPC UA 类型名（如 "
            "Double）。",
            f"Unknown type {options.type}; write bool, int, float, text, array, or an OPC UA "
            "type such as Double.",
            certain=True,
        )


def _parsed(name: str, key: str, value: str | list[str]) -> Iterator[Problem]:
    try:
        if key == "node":
            parse_node(str(value))
        else:
            parse_path(value)
    except ValueError as error:
        forms = _NODE_FORMS if key == "node" else "Objects/2:Machine/{http://example.org/}Speed"
        yield Problem(
            name,
            key,
            f"{value} 写法不对；正确的写法如：{forms}。",
            f"{value} cannot be read ({error}); write it like {forms}.",
            certain=True,
        )
