"""One controller's API, and how it is called.

Errors come back as what they were: 401 and 403 `AccessError`, 404 `NotFoundError`, 409 `ConflictError`, 429
`ThrottledError`, a controller that stands by `StandbyError`, other 4xx `UsageError`, everything else
`UnavailableError`. An access token that is over is refreshed, once, where there is a refresh token.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from derms.api.schemas.auth import LoginOut, RefreshIn
from derms.api.schemas.common import Problem
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

# The server drops idle connections after 10 s; reusing one near that age would race with it.
_KEEPALIVE_S = 5.0

_BEFORE_LOGIN = ("/api/auth/login", "/api/auth/refresh", "/api/auth/password")
"""Here 401 is not about the access token."""

T = TypeVar("T")


class _UnknownError(Exception):
    """Who asks is not known (401); holds what the caller is told when that cannot be helped."""

    def __init__(self, told: DermsError) -> None:
        super().__init__()
        self.told = told


class Caller:
    """One controller's API, without its nouns. Use as ``async with``.

    Args:
        url: Where it is, `http://127.0.0.1:8080`.
        token: Who asks; `login` sets it.
        refresh_token: Gets the next token when that one is over; `login` sets it.
        timeout_s: For one call as a whole [s].
        tls: For `https` with a certificate authority of one's own; None: the system's.

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
        tls: ssl.SSLContext | None = None,
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
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open; nothing is sent yet."""
        connector = aiohttp.TCPConnector(
            ssl=self._tls if self._tls is not None else True, keepalive_timeout=_KEEPALIVE_S
        )
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        async with self.opened(method, path, body=body, query=query, headers=headers) as response:
            try:
                raw = await response.read()
            except TimeoutError as error:
                raise self._silent(f"no answer within {self._timeout.total:g} s") from error
            except aiohttp.ClientError as error:
                raise self._silent(str(error)) from error
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
    ) -> AsyncIterator[aiohttp.ClientResponse]:
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
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None, "use the client as `async with`"
        sent = {"Accept": "application/json", **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            response = await self._session.request(
                method,
                self.url + path,
                params=None if query is None else _said(query),
                data=msgspec.json.encode(body) if body is not None else None,
                headers=sent,
                # A redirect would carry the token to wherever it points.
                allow_redirects=False,
                timeout=self._timeout
                if silence_s is None
                else aiohttp.ClientTimeout(sock_connect=self._timeout.total, sock_read=silence_s),
            )
            if not 200 <= response.status < 300:
                async with response:
                    error = _error_of(response.status, await response.read(), self.url)
                    raise _UnknownError(error) if response.status == HTTPStatus.UNAUTHORIZED else error
        except TimeoutError as error:
            raise self._silent(f"no answer within {self._timeout.total:g} s") from error
        except aiohttp.ClientSSLError as error:
            raise UnavailableError(
                f"{self.url} is not trusted",
                why=str(error),
                next_step="name the certificate authority that signed it: `derms context set NAME --ca-file FILE`",
            ) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise self._silent(str(error)) from error
        async with response:
            yield response

    def _silent(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"{self.url} does not answer", why=why, next_step="start the daemon with `derms serve`, or correct the URL"
        )


def part(value: str) -> str:
    """A part of a path, quoted: an id may have any character."""
    return quote(value, safe="")


def _said(query: msgspec.Struct) -> list[tuple[str, str]]:
    values = msgspec.to_builtins(query)
    return [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in values.items()
        if value is not None
    ]


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
