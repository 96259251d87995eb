"""HTTP to a store: kept connections, gzip, and the status translated into what to do next."""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Final, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit

from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.errors import PoisonError, StoreError
from edge_agent.reasons import Cause, cause, cause_of_error

#: Seconds for the answer to a question: a long window takes its time, however soon a write is to
#: fail.
READ_S: Final = 60.0
#: The same while a person waits for it.
PERSON_S: Final = 10.0
#: Connections that are kept for the next question.
_KEPT: Final = 4
_CHUNK: Final = 1 << 16

_patience: ContextVar[float | None] = ContextVar("patience", default=None)

P = ParamSpec("P")
T = TypeVar("T")

#: The request itself can never be taken. Everything else may pass: a token can be renewed, a bucket
#: be made.
_POISON: Final = frozenset({400, 413, 415, 422})
#: Of the refusals those that pass by themselves: too slow, too early, too many requests.
_LATER: Final = frozenset({408, 425, 429})


class NotAnsweredError(StoreError):
    """The server is there and does not answer this question, or not in a way that is understood."""


#: How deep an error of the system may be wrapped.
_WRAPPED: Final = 8
#: What a status says of our configuration.
_CAUSES: Final = {401: "store_login", 403: "store_login", 404: "store_not_found"}


@contextlib.contextmanager
def bounded_wait() -> Iterator[None]:
    """Questions of this task or thread are to be answered in full within PERSON_S each, because
    somebody waits."""
    before = _patience.set(PERSON_S)
    try:
        yield
    finally:
        _patience.reset(before)


class HttpEndpoint:
    """A server's base URL with its credentials.

    A request never waits for another: each has a connection to itself, kept for the next one. A
    connection that failed is made anew.
    """

    def __init__(self, config: StoreConfig, *, timeout: float | None = None) -> None:
        """`timeout`: seconds for an answer; None = as configured for writing."""
        url = urlsplit(config.url or "")
        self._https = url.scheme == "https"
        self._host, self._port, self._base = url.hostname or "", url.port, url.path.rstrip("/")
        self._timeout = config.timeout if timeout is None else timeout
        self._headers = _credentials(config)
        self._idle: list[http.client.HTTPConnection] = []
        self._keeps = True
        """Until it is closed. A question that another thread asks after that has a connection for
        itself alone."""
        self._lock = threading.Lock()

    def request(self, method: str, path: str, query: Mapping[str, str], body: bytes = b"") -> bytes:
        """The body of a 2xx answer. StoreError: try again later. PoisonError: this request never
        passes."""
        headers = dict(self._headers)
        if body:
            body = gzip.compress(body, 1)
            headers |= {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        target = f"{self._base}{path}?{urlencode(query)}" if query else self._base + path
        connection = self._take()
        # kept for so long that the server may have closed it
        if method == "GET" and connection.sock is not None:
            with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
                return self._finish(connection, method, target, body, headers)
            connection = self._new()
        try:
            return self._finish(connection, method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise StoreError(self.unreachable(error)) from error

    def _finish(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
    ) -> bytes:
        """The body of a 2xx answer. Raises besides what breaks the connection, which is closed
        then."""
        patience = _patience.get()
        try:
            status, answer = self._exchange(connection, method, target, body, headers, patience)
        except (OSError, http.client.HTTPException) as error:
            silent = (
                connection.sock is not None
                and isinstance(error, TimeoutError)
                and error.errno is None
            )
            _close(connection)
            self._drop()  # those that are kept have the same end
            if silent:
                raise StoreError(self._silent(patience)) from error
            raise
        self._give_back(connection)
        if 200 <= status < 300:
            return answer
        raise refusal(status, answer)

    def unreachable(self, error: Exception) -> Cause:
        """The cause for an error on the way to the server, also for one that a client library has
        wrapped."""
        where = self._host if self._port is None else f"{self._host}:{self._port}"
        if (found := _system_error(error)) is not None:
            return cause_of_error(found, where)
        return cause("store_failed", why=f"{where}: {type(error).__name__}: {error}")

    def _silent(self, patience: float | None) -> Cause:
        """The server took the connection and then said nothing: no fault of the way there."""
        where = self._host if self._port is None else f"{self._host}:{self._port}"
        if patience is not None:
            return cause(
                "store_no_answer", where=where, seconds=f"{min(patience, self._timeout):g}"
            )
        return cause("store_silent", where=where, seconds=f"{self._timeout:g}")

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, target: str, body: bytes,
        headers: Mapping[str, str], patience: float | None,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Status and body. With `patience` all of it takes so long at most, else each step may take
        the time-out."""
        ends = None if patience is None else time.monotonic() + patience
        connection.timeout = self._limit(ends)
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        connection.request(method, target, body=body or None, headers=dict(headers))
        sock = connection.sock
        sock.settimeout(self._limit(ends))
        answer = connection.getresponse()
        if ends is None:
            return answer.status, answer.read()
        parts = []
        while part := answer.read1(_CHUNK):
            parts.append(part)
            limit = self._limit(ends)
            if sock.fileno() >= 0:  # closed with the last part where the server keeps no connection
                sock.settimeout(limit)
        # `read1` does not notice the end, and the connection would not serve again
        parts.append(answer.read())
        return answer.status, b"".join(parts)

    def _limit(self, ends: float | None) -> float:
        """Seconds for the next step. Raises TimeoutError when there is no time left."""
        if ends is None:
            return self._timeout
        if (left := ends - time.monotonic()) <= 0:
            raise TimeoutError
        return min(left, self._timeout)

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._new()

    def _new(self) -> http.client.HTTPConnection:
        if self._https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _KEPT and self._keeps:
                self._idle.append(connection)
                return
        _close(connection)

    def close(self) -> None:
        """Close the connections that are kept, and keep none from now on."""
        self._keeps = False
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            idle = self._idle
            self._idle = []
        for connection in idle:
            _close(connection)


def _close(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError):
        connection.close()


def _system_error(error: BaseException | None) -> OSError | None:
    """The error of the system that is behind another."""
    for _ in range(_WRAPPED):
        if error is None or isinstance(error, OSError):
            return error
        reason = getattr(error, "reason", None)
        error = (
            reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
        )
    return None


def understood(read: Callable[P, T]) -> Callable[P, T]:
    """For what reads a server's answer: one of another shape than documented is a StoreError, not a
    surprise."""

    @functools.wraps(read)
    def careful(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except (
            AttributeError,
            LookupError,
            OverflowError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise NotAnsweredError(
                cause("store_answer_odd", why=f"{type(error).__name__}: {error}")
            ) from error

    return careful


def refusal(status: int, answer: bytes) -> StoreError | PoisonError:
    """The error for an answer that is not 2xx."""
    detail = f"HTTP {status}: {answer[:300].decode(errors='replace').strip()}"
    if status in _POISON:
        return PoisonError(detail)
    found = cause(_CAUSES.get(status, "store_failed"), why=detail)
    return (
        NotAnsweredError(found)
        if 400 <= status < 500 and status not in _LATER
        else StoreError(found)
    )


def _credentials(config: StoreConfig) -> dict[str, str]:
    if config.token is not None:
        return {"Authorization": f"Token {config.token.get_secret_value()}"}
    if config.username is not None:
        password = config.password.get_secret_value() if config.password else ""
        pair = base64.b64encode(f"{config.username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}
