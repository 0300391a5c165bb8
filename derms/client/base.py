"""One controller's API, and how it is called.

Errors come back as what they were: 401 and 403 `AccessError`, 404 `NotFoundError`, 409 `ConflictError`, 429
`ThrottledError`, a controller that stands by `StandbyError`, other 4xx `UsageError`, everything else
`UnavailableError`. An access token that is over is refreshed, once, where there is a refresh token.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from derms.api.schemas.auth import LoginOut, RefreshIn
from derms.api.schemas.common import Problem
from derms.client.http import FAILURES, Answer, ConnectTimeoutError, HttpClient
from derms.errors import (
    AccessError,
    ConflictError,
    DermsError,
    NotFoundError,
    StandbyError,
    ThrottledError,
    UnavailableError,
    UsageError,
)

_CONNECT_S = 5.0

_BEFORE_LOGIN = ("/api/auth/login", "/api/auth/refresh", "/api/auth/password")
"""Here 401 is not about the access token."""

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")


class _UnknownError(Exception):
    """Who asks is not known (401); holds what the caller is told when that cannot be helped."""

    def __init__(self, told: DermsError) -> None:
        super().__init__()
        self.told = told


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what became of it."""

    method: str
    path: str
    """With its query."""
    status: int | None
    """None: no answer came."""
    took_s: float
    """Until the answer began [s]."""
    received: int = 0
    """Bytes of the answer, as far as it said so."""
    request_id: str = "-"


class Caller:
    """One controller's API, without its nouns. Use as ``async with``.

    Args:
        url: Where it is, `http://127.0.0.1:8080`.
        token: Who asks; `login` sets it.
        refresh_token: Gets the next token when that one is over; `login` sets it.
        timeout_s: For one call as a whole [s].
        tls: For `https` with a certificate authority of one's own; None: the system's.
        on_exchange: Told of every request; None: nobody is.

    Raises:
        UsageError: The URL is wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        refresh_token: str | None = None,
        timeout_s: float = 10.0,
        tls: "ssl.SSLContext | None" = None,
        on_exchange: Callable[[Exchange], None] | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")) or "@" in url:
            raise UsageError(
                "the controller's URL is wrong",
                why="it must be http:// or https://, host and port, without a user",
                next_step="write it like http://127.0.0.1:8080",
            )
        self.url = url.rstrip("/")
        self.token = token
        self.refresh_token = refresh_token
        self._renewing = asyncio.Lock()
        # A controller that is there takes a connection at once, however long it then thinks.
        self._connect_s = min(timeout_s, _CONNECT_S)
        self._timeout_s = timeout_s
        self._on_exchange = on_exchange
        self._tls = tls
        self._http = HttpClient(self.url, connect_s=self._connect_s, tls=tls)

    async def __aenter__(self) -> Self:
        """Open; nothing is sent yet."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._http.__aexit__(None, None, None)

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: msgspec.Struct | None = None,
        query: msgspec.Struct | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Ask, and read the answer.

        Args:
            method: `GET` and so on.
            path: From `/api` on, its parts quoted (`part`).
            answer: What is answered; `None` for nothing.
            body: Sent as JSON.
            query: Sent as the query; what is null is left out.
            headers: Further ones.

        Raises:
            DermsError: As the module says.
        """
        async with self._whole(), self.opened(method, path, body=body, query=query, headers=headers) as response:
            raw = await response.read()
        try:
            return msgspec.json.decode(raw or b"null", type=answer)
        except msgspec.DecodeError as error:
            raise _stranger(self.url, str(error)) from error

    @contextlib.asynccontextmanager
    async def opened(
        self,
        method: str,
        path: str,
        *,
        body: msgspec.Struct | None = None,
        query: msgspec.Struct | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = None,
    ) -> AsyncIterator[Answer]:
        """Ask; the body runs once the answer has begun, and is good. A token that is over is renewed, once.

        Args:
            method: `GET` and so on.
            path: From `/api` on, its parts quoted (`part`).
            body: Sent as JSON.
            query: Sent as the query; what is null is left out.
            headers: Further ones.
            silence_s: Without an end, as long as no more than this passes between two words [s]; None: bounded as a
                whole.

        Raises:
            DermsError: As the module says.
        """
        token = self.token
        async with contextlib.AsyncExitStack() as stack:
            for again in (False, True):
                try:
                    asking = self._asked(method, path, body=body, query=query, headers=headers, silence_s=silence_s)
                    response = await stack.enter_async_context(asking)
                    break
                except _UnknownError as error:
                    if again or path in _BEFORE_LOGIN or not await self._renewed(token):
                        raise error.told from error
            yield response

    async def renew(self) -> None:
        """Exchange the refresh token for the next tokens; calls do it by themselves.

        Raises:
            DermsError: As the module says; `AccessError`: log in again.
        """
        body = RefreshIn(refresh_token=self.refresh_token or "")
        granted = await self.call("POST", "/api/auth/refresh", LoginOut, body=body)
        self.token, self.refresh_token = granted.token, granted.refresh_token

    async def _renewed(self, refused: str | None) -> bool:
        """Whether there is another token than the refused one now; several callers renew it once."""
        async with self._renewing:
            if self.token == refused and self.refresh_token is not None:
                try:
                    await self.renew()
                except AccessError:
                    self.refresh_token = None
            return self.token != refused

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        *,
        body: msgspec.Struct | None,
        query: msgspec.Struct | None,
        headers: Mapping[str, str] | None,
        silence_s: float | None,
    ) -> AsyncIterator[Answer]:
        sent = {"Accept": "application/json", **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        told = path if query is None else f"{path}?{_said(query)}".rstrip("?")
        began_s = time.monotonic()
        answer: Answer | None = None
        async with contextlib.AsyncExitStack() as stack:
            try:
                # A redirect is not followed: it would carry the token to wherever it points.
                asked = self._http.request(
                    method,
                    told,
                    headers=sent,
                    body=b"" if body is None else msgspec.json.encode(body),
                    total_s=self._timeout_s,
                    silence_s=silence_s,
                )
                answer = await stack.enter_async_context(asked)
                if not 200 <= answer.status < 300:
                    error = _error_of(answer.status, await answer.read(), self.url)
                    raise _UnknownError(error) if answer.status == HTTPStatus.UNAUTHORIZED else error
            except FAILURES as error:
                raise self._failed(error) from error
            finally:
                if self._on_exchange is not None:
                    self._on_exchange(_exchange(method, told, answer, time.monotonic() - began_s))
            yield answer

    @contextlib.asynccontextmanager
    async def _whole(self) -> AsyncIterator[None]:
        """A call as a whole, its answer's body and everything."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except FAILURES as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> UnavailableError:
        """What went wrong on the way, as people are told."""
        import ssl

        match error:
            case ConnectTimeoutError():
                return self._silent(f"no connection within {self._connect_s:g} s")
            case TimeoutError():
                return self._silent(f"no answer within {self._timeout_s:g} s")
            case ssl.SSLCertVerificationError():
                return UnavailableError(
                    f"{self.url} is not trusted",
                    why=f"its certificate: {error.verify_message or error}",
                    next_step="name the certificate authority that signed it: `derms context set NAME --ca-file FILE`",
                )
            case ssl.SSLError():
                return self._silent(f"no TLS there: {(error.reason or str(error)).replace('_', ' ').lower()}")
            case OSError():
                return self._silent(_about_os(error))
            case _ if "ConnectionClosed" in str(error):
                return self._silent("it closed the connection before the end of its answer")
            case _:
                return self._silent(str(error) or "the connection broke off")

    def _silent(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"{self.url} does not answer", why=why, next_step="start the daemon with `derms serve`, or correct the URL"
        )


def _exchange(method: str, path: str, answer: Answer | None, took_s: float) -> Exchange:
    headers = {} if answer is None else answer.headers
    return Exchange(
        method=method,
        path=path,
        status=None if answer is None else answer.status,
        took_s=took_s,
        received=int(headers.get("content-length", "0")),
        request_id=headers.get("x-request-id", "-"),
    )


def _about_os(error: OSError) -> str:
    # asyncio puts its own words, with the address, where the system's would be; a name that is not found has no errno.
    number = error.errno or 0
    said = os.strerror(number).lower() if number > 0 else error.strerror
    return said or str(error) or "the connection broke off"


def part(value: str) -> str:
    """A part of a path, quoted: an id may have any character."""
    return quote(value, safe="")


def _said(query: msgspec.Struct) -> str:
    """A query as it stands in a URL; what is null is left out."""
    values = msgspec.to_builtins(query).items()
    return urlencode(
        [
            (name, str(value).lower() if isinstance(value, bool) else str(value))
            for name, value in values
            if value is not None
        ]
    )


def _stranger(url: str, why: str) -> UnavailableError:
    return UnavailableError(f"{url} is not a derms controller of this release", why=why, next_step="correct the URL")


def _error_of(status: int, raw: bytes, url: str) -> DermsError:
    try:
        problem = msgspec.json.decode(raw, type=Problem)
    except msgspec.DecodeError:
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "no known status"
        return _stranger(url, f"it answered {status} ({phrase})")
    if problem.code == StandbyError.code:
        # Not followed: the token would go to wherever it points.
        standby = StandbyError(problem.detail, why=problem.rule, next_step=problem.next_step)
        standby.add_note(f"request {problem.request_id} of {url}")
        return standby
    match status:
        case 401 | 403:
            kind: type[DermsError] = AccessError
        case 404:
            kind = NotFoundError
        case 409:
            kind = ConflictError
        case 429:
            kind = ThrottledError
        case _ if 400 <= status < 500:
            kind = UsageError
        case _:
            kind = UnavailableError
    error = kind(problem.detail, why=problem.rule, next_step=problem.next_step)
    error.add_note(f"request {problem.request_id} of {url}")  # stands below a traceback
    return error
