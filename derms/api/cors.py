"""Pages of other origins: none may read anything, but those that the setting lists.

Tokens travel in a header and there are no cookies, so a browser never sends anybody's rights along by itself.
"""

from collections.abc import Sequence

from aiohttp import hdrs, web

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-ID"
_EXPOSED = "Retry-After, X-Request-ID"
_MAX_AGE_S = 600


class Cors:
    """Whose pages may.

    Args:
        origins: `https://host[:port]` each.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)

    def preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser that asks beforehand whether a listed page may; None: it is no such question."""
        if request.method != hdrs.METH_OPTIONS or hdrs.ACCESS_CONTROL_REQUEST_METHOD not in request.headers:
            return None
        if not self._is_listed(request):
            return None
        headers = {
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: _METHODS,
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: _HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(_MAX_AGE_S),
        }
        return web.Response(status=204, headers=headers)

    def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let a listed page read the answer."""
        if not self._origins:
            return
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if self._is_listed(request):
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = request.headers[hdrs.ORIGIN]
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = _EXPOSED

    def _is_listed(self, request: web.Request) -> bool:
        return request.headers.get(hdrs.ORIGIN, "") in self._origins
