"""HTTP to a store: one kept connection per use, gzip, and the status translated into what to do next."""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import http.client
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Final, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit

from edge_agent.config.models import Store as StoreConfig
from edge_agent.errors import PoisonError, StoreError
from edge_agent.reasons import Cause, cause, cause_of_error

#: Seconds for the answer to a question: a long window takes its time, however soon a write is to fail.
READ_S: Final = 60.0

P = ParamSpec("P")
T = TypeVar("T")

#: The request itself can never be taken. Everything else may pass: a token can be renewed, a bucket be made.
_POISON: Final = frozenset({400, 413, 415, 422})
#: Of the refusals those that pass by themselves: too slow, too early, too many requests.
_LATER: Final = frozenset({408, 425, 429})


class NotAnsweredError(StoreError):
    """The server is there and does not answer this question, or not in a way that is understood."""


#: How deep an error of the system may be wrapped.
_WRAPPED: Final = 8
#: What a status says of our configuration.
_CAUSES: Final = {401: "store_login", 403: "store_login", 404: "store_not_found"}


class Endpoint:
    """A server's base URL with its credentials. Requests are serialised; a connection that failed is made anew."""

    def __init__(self, config: StoreConfig, *, timeout: float | None = None) -> None:
        """`timeout`: seconds for an answer; None = as configured for writing."""
        url = urlsplit(config.url or "")
        self._https = url.scheme == "https"
        self._host, self._port, self._base = url.hostname or "", url.port, url.path.rstrip("/")
        self._timeout = config.timeout if timeout is None else timeout
        self._headers = _credentials(config)
        self._connection: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()

    def request(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> bytes:
        """The body of a 2xx answer. StoreError: try again later. PoisonError: this request never passes."""
        headers = dict(self._headers)
        if body:
            body = gzip.compress(body, 1)
            headers |= {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        target = f"{self._base}{path}?{urlencode(query)}" if query else self._base + path
        with self._lock:
            try:
                status, answer = self._exchange(method, target, body, headers)
            except (OSError, http.client.HTTPException) as error:
                why = self._silent() if self._connected_in_vain(error) else self.unreachable(error)
                self.close()
                raise StoreError(why) from error
        if 200 <= status < 300:
            return answer
        raise refusal(status, answer)

    def unreachable(self, error: Exception) -> Cause:
        """The cause for an error on the way to the server, also for one that a client library has wrapped."""
        where = self._host if self._port is None else f"{self._host}:{self._port}"
        if (found := _system_error(error)) is not None:
            return cause_of_error(found, where)
        return cause("store_failed", why=f"{where}: {type(error).__name__}: {error}")

    def _connected_in_vain(self, error: Exception) -> bool:
        """Whether the server took the connection and then said nothing: no fault of the way there."""
        there = self._connection is not None and self._connection.sock is not None
        return there and isinstance(error, TimeoutError) and error.errno is None

    def _silent(self) -> Cause:
        where = self._host if self._port is None else f"{self._host}:{self._port}"
        return cause("store_silent", where=where, seconds=f"{self._timeout:g}")

    def _exchange(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        connection = self._connection or self._connect()
        self._connection = connection
        connection.request(method, target, body=body or None, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _connect(self) -> http.client.HTTPConnection:
        if self._https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def close(self) -> None:
        """Drop the connection; the next request makes a new one."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None


def _system_error(error: BaseException | None) -> OSError | None:
    """The error of the system that is behind another."""
    for _ in range(_WRAPPED):
        if error is None or isinstance(error, OSError):
            return error
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
    return None


def understood(read: Callable[P, T]) -> Callable[P, T]:
    """For what reads a server's answer: one of another shape than documented is a StoreError, not a surprise."""

    @functools.wraps(read)
    def careful(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise NotAnsweredError(cause("store_answer_odd", why=f"{type(error).__name__}: {error}")) from error

    return careful


def refusal(status: int, answer: bytes) -> StoreError | PoisonError:
    """The error for an answer that is not 2xx."""
    detail = f"HTTP {status}: {answer[:300].decode(errors='replace').strip()}"
    if status in _POISON:
        return PoisonError(detail)
    found = cause(_CAUSES.get(status, "store_failed"), why=detail)
    return NotAnsweredError(found) if 400 <= status < 500 and status not in _LATER else StoreError(found)


def _credentials(config: StoreConfig) -> dict[str, str]:
    if config.token is not None:
        return {"Authorization": f"Token {config.token.get_secret_value()}"}
    if config.username is not None:
        password = config.password.get_secret_value() if config.password else ""
        pair = base64.b64encode(f"{config.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}
