"""The YAML keys of an OPC UA device and of its tags."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from edge_agent.sdk import Kind, Options, state_folder

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def _seconds(value: object) -> object:
    """`500ms`, `4s`, `2m` -> seconds; plain numbers and everything else are left to pydantic."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return value if found is None else float(found[1]) * _SECONDS[found[2]]


def _milliseconds(value: object) -> object:
    """As `_seconds`, but plain numbers are milliseconds, and so is the result."""
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        return float(_seconds(value)) * 1000  # type: ignore[arg-type]
    return value


Seconds = Annotated[
    float, BeforeValidator(_seconds, json_schema_input_type=float | str), Field(gt=0, le=3600)
]
Milliseconds = Annotated[
    float,
    BeforeValidator(_milliseconds, json_schema_input_type=float | str),
    Field(ge=0, le=86_400_000),
]

Policy = Literal["None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"]
Mode = Literal["None", "Sign", "SignAndEncrypt"]


def pki_folder() -> Path:
    """Where the application certificate and the trust list live unless `security.pki` says
    otherwise."""
    return state_folder() / "pki"


class Security(Options):
    """How the channel is protected and whom it may end at."""

    policy: Policy = "None"
    """The security policy, one that the server offers at this endpoint; the name as after `#` in
    its URI."""
    mode: Mode | None = None
    """Default: `SignAndEncrypt` with a policy, `None` without."""
    certificate: Path | None = None
    """Our application certificate (PEM or DER). Default: one of our own, created on first use in
    `pki`."""
    key: Path | None = None
    """The private key of `certificate`."""
    trust: Path | None = None
    """A server (or CA) certificate, or a folder of them, that is accepted. Default: `trusted` in
    `pki`."""
    pki: Path | None = None
    """The folder of our certificate, `trusted` and `rejected`. Default: `pki` in the unit's
    `StateDirectory=`, else `~/.local/state/edge-agent/pki`."""
    check_host: bool = True
    """The server's certificate must name the host of `endpoint`."""
    check_uri: bool = True
    """The server's certificate must name the URI that the server announces. `false` needs the very
    file in `trust`."""
    check_time: bool = True
    """The server's certificate must be valid today. `false` needs the very file in `trust`."""

    @property
    def effective_mode(self) -> Mode:
        """The mode, with its default filled in."""
        return self.mode or ("None" if self.policy == "None" else "SignAndEncrypt")

    @property
    def folder(self) -> Path:
        """The PKI folder, with its default filled in."""
        return self.pki or pki_folder()


class User(Options):
    """Who we are to the server: a name with a password, or a certificate with its key."""

    name: str | None = None
    """The user name; `password` goes with it."""
    password: SecretStr | None = None
    """The password: `!env NAME` or `!file path`."""
    certificate: Path | None = None
    """The user's certificate (PEM or DER), instead of a name."""
    key: Path | None = None
    """The private key of `certificate`."""


class OpcuaDevice(Options):
    """One OPC UA server as a device. Devices with the same endpoint, security, user and mode share
    a session."""

    endpoint: str = Field(
        pattern=r"^opc\.tcp://(\[[0-9A-Fa-f:.]+\]|[^/@\s:\[\]]+)(:\d{1,5})?(/\S*)?$",
        examples=["opc.tcp://10.0.1.32:4840"],
    )
    """The server's address: `opc.tcp://host:port`, with a path where the server wants one."""
    security: Security = Security()
    """How the channel is protected. Default: not at all."""
    user: User | None = None
    """Who the agent is to the server. Default: anonymous."""
    mode: Literal["subscribe", "read"] = "subscribe"
    """`subscribe`: the server reports changes; `read`: the agent asks once every period."""
    publishing_ms: Milliseconds | None = None
    """How often the server sends collected changes. Default: the period (`every`) of the tags, at
    most 1 s."""
    sampling_ms: Milliseconds | None = None
    """How often the server looks at a value. Default: the period (`every`) of the tags; 0 = as fast
    as it can."""
    queue: int | None = Field(default=None, ge=1, le=100_000)
    """Values the server keeps per tag between two publishings. Default: twice what sampling yields,
    at least 10."""
    timeout: Seconds = 4.0
    """How long the server may take for an answer, and a keep-alive be late. A dead line is noticed
    within 1.5 of it."""
    allow_insecure: bool = False
    """Agree to a password without channel security, and to any server certificate. A server on this
    machine (127.0.0.1,
    ::1, localhost) needs no channel security for a password."""


class OpcuaTag(Options):
    """Where a value lives on the server: exactly one of `node` and `path`."""

    node: str | None = Field(
        default=None, examples=["ns=2;s=Channel.State", "nsu=http://example.org/cnc;s=Speed"]
    )
    """A node id: `i=2258`, `ns=2;s=..`, or with the namespace's URI, which outlives a reordering:
    `nsu=URI;s=..`."""
    path: str | list[str] | None = Field(
        default=None, examples=["Objects/2:Machine/{http://example.org/cnc}Speed"]
    )
    """A browse path: names with `/` between them (`&/` for a slash), each after `2:` or `{URI}`; or
    a list of names."""
    type: str | None = Field(default=None, examples=["Double", "Int32", "text", "Float[]"])
    """bool, int, float, text, array, or the OPC UA type, `[]` after it for an array. Default: the
    server's type; int with `map`, float with `scale` or `offset`."""
    field: str | None = Field(default=None, examples=["low", "unitId"])
    """One field of a structure (Range, EUInformation, Argument), instead of all of it as JSON
    text."""


_INTEGERS = (
    "sbyte", "byte", "int16", "uint16", "int32", "uint32", "int64", "uint64", "integer", "uinteger",
    "enumeration", "statuscode",
)  # fmt: skip
_TEXTS = (
    "string", "localizedtext", "datetime", "utctime", "guid", "bytestring", "xmlelement", "nodeid",
    "expandednodeid", "qualifiedname",
)  # fmt: skip
_KINDS: dict[str, Kind] = {
    **{"bool": "bool", "boolean": "bool", "int": "int", "text": "text", "array": "array"},
    **{"float": "float", "double": "float", "number": "float"},
    **dict.fromkeys(_INTEGERS, "int"),
    **dict.fromkeys(_TEXTS, "text"),
}


def kind_of_type(name: str) -> Kind | None:
    """The kind of values an OPC UA type (or one of our kinds) stands for; None for an unknown
    name."""
    name = name.strip().lower()
    return "array" if name.endswith("[]") and name[:-2] in _KINDS else _KINDS.get(name)


def device_options(options: Options) -> OpcuaDevice:
    """The options of a device, as what they are."""
    if not isinstance(options, OpcuaDevice):
        raise TypeError(f"not options of an OPC UA device: {type(options).__name__}")
    return options


def tag_options(where: object) -> OpcuaTag:
    """The options of a tag (`Tag.where`), as what they are."""
    if not isinstance(where, OpcuaTag):
        raise TypeError(f"not options of an OPC UA tag: {type(where).__name__}")
    return where


def tag_address(where: object) -> str:
    """Where a tag is on its server: the node id or the browse path of its entry."""
    tag = tag_options(where)
    path = (
        tag.path
        if isinstance(tag.path, str)
        else "/".join(name.replace("/", "&/") for name in tag.path or ())
    )
    return tag.node or path


_BITS = {
    "sbyte": 8,
    "byte": 8,
    **{f"{sign}int{bits}": bits for sign in ("", "u") for bits in (16, 32, 64)},
}


def tag_modulus(where: object) -> int | None:
    """How many numbers an integer has before it begins again at 0; None while only the server knows
    its type."""
    bits = _BITS.get((tag_options(where).type or "").strip().lower())
    return None if bits is None else 1 << bits


def kind(options: Options) -> Kind:
    """The kind of value a tag's options describe, known before any server is asked."""
    options = tag_options(options)
    if options.type is None:
        # An enumeration's number is an integer, what is scaled a number; both are among the agent's
        # common keys.
        if getattr(options, "map", None):
            return "int"
        scaled = getattr(options, "scale", 1.0) != 1.0 or getattr(options, "offset", 0.0) != 0.0
        return "float" if scaled else "any"
    return kind_of_type(options.type) or "float"
