"""Around every request: its id, who asks, and the one mapping from errors to HTTP.

An error is answered as RFC 9457 problem+json (`Problem`). Every route declares the role it needs (`Route`); an app with
a route that was added otherwise does not start.
"""

import hmac
import logging
import math
import re
import uuid
from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from derms.api.bodies import BODY_TIMEOUT_S, MAX_BODY_BYTES, MalformedBodyError
from derms.api.cors import Cors
from derms.api.routes import Route
from derms.api.schemas.common import Problem
from derms.auth import Authenticator, Principal
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
from derms.metrics import Metrics
from derms.model import Author

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "derms",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_DEFAULT_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""A handler may say otherwise."""
_TLS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}
_HTTP_RULES = {
    404: ("not-found", "there is no such address", "see docs/api.md for those there are"),
    405: ("method-not-allowed", "this address does not take that method", "see the Allow header"),
    408: ("too-slow", f"a body must arrive within {BODY_TIMEOUT_S:g} s", "send it again"),
    413: ("too-large", f"a body may have {MAX_BODY_BYTES} bytes", "send less"),
    415: ("media-type", "a body must be JSON", "set Content-Type: application/json"),
}

_log = logging.getLogger(__name__)


class ForbiddenError(AccessError):
    """Who asks is known, and may not."""


_ID = web.RequestKey("id", str)
_ASKER = web.RequestKey("asker", Principal)
_ACCESS = web.AppKey("access", dict[web.AbstractRoute, Route])
_CORS = web.AppKey("cors", Cors)


def add_routes(app: web.Application, routes: Sequence[Route]) -> None:
    """Add routes with their roles."""
    paths = [route.path for route in routes]
    for route in routes:
        added = app.router.add_route(route.method, _apart(route.path, paths), route.handler)
        app[_ACCESS][added] = route


def _apart(path: str, paths: Sequence[str]) -> str:
    """The path, whose variable parts match no word that stands at their place in another path.

    So an address belongs to one route alone, and `Allow` says what that takes.
    """
    parts = path.split("/")
    for at, part in enumerate(parts):
        others = (other.split("/") for other in paths)
        words = {other[at] for other in others if len(other) > at and other[:at] == path.split("/")[:at]}
        words = {re.escape(word) for word in words if not word.startswith("{")}
        if part.startswith("{") and words:
            parts[at] = f"{{{part[1:-1]}:(?!(?:{'|'.join(sorted(words))})(?:/|$))[^{{}}/]+}}"
    return "/".join(parts)


def request_id(request: web.Request) -> str:
    """The request's id: the client's when it sent a usable one."""
    if _ID not in request:
        sent = request.headers.get("X-Request-ID", "")
        request[_ID] = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
    return request[_ID]


def asker(request: web.Request) -> Principal:
    """Who asks; only on routes that need a role."""
    return request[_ASKER]


def author(request: web.Request) -> Author:
    """Who asks, as the audit log names them; only on routes that need a role."""
    return _author(asker(request).username, request)


def stranger(request: web.Request) -> Author:
    """Somebody who asks without a token, as the audit log names them."""
    return _author("", request)


def _author(username: str, request: web.Request) -> Author:
    return Author(username, request_id(request), request.remote or "")


def guarded_app(
    authenticator: Authenticator,
    metrics: Metrics,
    *,
    send_on: Callable[[], None] = lambda: None,
    cors_origins: Sequence[str] = (),
) -> web.Application:
    """An app with nothing on it yet but the guard.

    Args:
        authenticator: Knows who a token belongs to.
        metrics: Counts requests.
        send_on: Raises StandbyError where another controller commands.
        cors_origins: Whose pages may read answers in a browser.
    """
    app = web.Application(middlewares=[_guard(authenticator, metrics, send_on)], client_max_size=MAX_BODY_BYTES)
    app[_ACCESS] = {}
    app[_CORS] = Cors(cors_origins)
    app.on_startup.append(_check_roles)
    app.on_response_prepare.append(_set_headers)
    return app


async def _check_roles(app: web.Application) -> None:
    bare = [repr(route) for route in app.router.routes() if route not in app[_ACCESS]]
    if bare:
        raise RuntimeError(f"routes without a declared role: {', '.join(bare)}")


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
    for name, value in _DEFAULT_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.secure:
        response.headers.update(_TLS_HEADERS)
    response.headers["X-Request-ID"] = request_id(request)
    request.app[_CORS].mark(request, response)


def _guard(authenticator: Authenticator, metrics: Metrics, send_on: Callable[[], None]) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            if request.match_info.http_exception is None:
                _admit(request, authenticator)
                if request.app[_ACCESS][request.match_info.route].leader_only:
                    send_on()
            response = request.app[_CORS].preflight(request) or await handler(request)
        except DermsError as error:
            response = _problem_of_error(request, error)
        except web.HTTPException as error:
            response = _problem_of_http(request, error)
        except Exception:
            _log.exception("A request failed.", extra={"request_id": request_id(request), "path": request.path})
            response = _problem(
                request,
                500,
                code="internal",
                detail="the controller could not answer",
                rule="it met an error of its own",
                next_step=f"look for {request_id(request)} in its log",
            )
        resource = request.match_info.route.resource
        metrics.api_requests_total.labels(
            route=resource.canonical if resource is not None else "unknown",
            # The method of a request that no route takes is whatever the client made up.
            method=request.method if resource is not None else "other",
            status=str(response.status),
        ).inc()
        return response

    return guard


def _admit(request: web.Request, authenticator: Authenticator) -> None:
    route = request.app[_ACCESS][request.match_info.route]
    needed = route.role
    if needed is None:
        return
    token = _token_of(request)
    if not token:
        raise AccessError(
            "no token was sent",
            why=f"{request.path} needs the role {needed}",
            next_step="log in, POST /api/auth/login, or make one with `derms token`",
        )
    if route.token is not None and _is_same(token, route.token):
        return
    principal = authenticator.verify(token)
    if not principal.may(needed):
        raise ForbiddenError(
            f"{principal.username} has the role {principal.role}",
            why=f"{request.method} {request.path} needs the role {needed}",
            next_step="ask an admin for that role",
        )
    request[_ASKER] = principal


def _token_of(request: web.Request) -> str:
    """The bearer token that was sent; empty: none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def still_may(authenticator: Authenticator) -> Callable[[web.Request], None]:
    """Looks at the token of a long request again.

    The callable raises `AccessError` once the token is over.
    """

    def look(request: web.Request) -> None:
        authenticator.verify(_token_of(request))

    return look


def _is_same(sent: str, expected: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), expected.encode())


def _status(error: DermsError) -> int:
    match error:
        case MalformedBodyError():
            return 400
        case UsageError():
            return 422
        case ForbiddenError():
            return 403
        case ThrottledError():
            return 429
        case AccessError():
            return 401
        case NotFoundError():
            return 404
        case ConflictError():
            return 409
        case StandbyError(leader_url=url) if url:
            return 307
        case UnavailableError():
            return 503
        case _:
            return 500


def _problem_of_error(request: web.Request, error: DermsError) -> web.Response:
    status = _status(error)
    response = _problem(request, status, code=error.code, detail=error.what, rule=error.why, next_step=error.next_step)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="derms"'
    if isinstance(error, ThrottledError):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, StandbyError) and status == 307:
        # The answer of another controller is asked for with the same method and body.
        response.headers["Location"] = error.leader_url.rstrip("/") + request.path_qs
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response


def _problem_of_http(request: web.Request, error: web.HTTPException) -> web.Response:
    code, rule, next_step = _HTTP_RULES.get(error.status, ("http", error.reason, "see docs/api.md"))
    detail = f"{request.method} {request.path} is refused"
    response = _problem(request, error.status, code=code, detail=detail, rule=rule, next_step=next_step)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _problem(request: web.Request, status: int, *, code: str, detail: str, rule: str, next_step: str) -> web.Response:
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        rule=rule,
        next_step=next_step,
        request_id=request_id(request),
    )
    return web.Response(status=status, body=msgspec.json.encode(problem), content_type="application/problem+json")
