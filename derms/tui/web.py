"""The control center in a browser on this machine: each page is a program of its own, which asks who is there.

Only loopback is listened to, and only pages that came from here may connect: another site's page that knows the port
would otherwise start programs, or be let into one through a name of its own. Nothing is loaded from anywhere else.
"""

import asyncio
import shlex
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.server import Server

from derms.errors import AddressInUseError

HOST = "127.0.0.1"
MOST_PAGES = 16
"""At a time; each is a program with its own stream."""
_NAMES = frozenset({"127.0.0.1", "localhost"})

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>derms</title>
<link rel="stylesheet" href="{{ config.static.url }}css/xterm.css">
<script src="{{ config.static.url }}js/textual.js"></script>
<style>
@font-face { font-family: "Roboto Mono"; src: url("{{ config.static.url }}fonts/RobotoMono-VariableFont_wght.ttf"); }
html, body { margin: 0; height: 100%; background: #10141b; color: #d7dee8; font-family: "Roboto Mono", monospace; }
.textual-terminal { width: 100vw; height: 100vh; }
#over { display: none; position: fixed; inset: 0; align-items: center; justify-content: center; background: #10141b; }
body.-closed #over { display: flex; }
button { font: inherit; padding: .5em 1.5em; }
</style>
</head>
<body>
<div id="terminal" class="textual-terminal" data-session-websocket-url="{{ app_websocket_url }}"
     data-font-size="{{ font_size }}"></div>
<div id="over"><p>The control center has ended. <button onclick="location.reload()">Open it again</button></p></div>
</body>
</html>
"""


class LocalServer(Server):
    """textual-serve without what it loads from elsewhere, and closed to other sites' pages."""

    def __init__(self, command: Sequence[str], port: int, templates: Path) -> None:
        super().__init__(
            shlex.join(command), host=HOST, port=port, title="derms", public_url=f"http://{HOST}:{port}",
            templates_path=templates,
        )  # fmt: skip
        self._open = 0

    async def application(self) -> web.Application:
        """What answers."""
        app = await self._make_app()
        app.middlewares.append(self._guard())
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing here: the command line does."""

    def _guard(self) -> Middleware:
        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not from_here(request.headers.get("Host", ""), request.headers.get("Origin"), self.port):
                raise web.HTTPForbidden(text="this page is for a browser on this machine, opened by its own address\n")
            if request.path != "/ws":
                response = await handler(request)
                if not response.prepared:
                    response.headers["Content-Security-Policy"] = _POLICY
                    response.headers["X-Frame-Options"] = "DENY"
                return response
            if self._open >= MOST_PAGES:
                raise web.HTTPServiceUnavailable(text=f"{MOST_PAGES} pages are open; close one\n")
            self._open += 1
            try:
                return await handler(request)
            finally:
                self._open -= 1

        return guarded


_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; frame-ancestors 'none'"
)


def from_here(host: str, origin: str | None, port: int) -> bool:
    """Whether a request came to this machine by a name of this machine, from a page that we gave.

    Args:
        host: The header `Host`; a name of somebody else's that leads here is not ours.
        origin: The header `Origin`; None: it is no page's script that asks.
        port: Ours.
    """
    try:
        asked = urlsplit(f"//{host}")
        if asked.hostname not in _NAMES or asked.port != port:
            return False
        if origin is None:
            return True
        page = urlsplit(origin)
        return page.scheme == "http" and page.hostname in _NAMES and page.port == port
    except ValueError:
        return False


async def serve(command: Sequence[str], port: int, *, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        command: Starts the program of a page.
        port: 0: one that is free.
        say: Told where it is.

    Raises:
        AddressInUseError: Somebody else has the port.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise AddressInUseError(
            f"port {port} of {HOST} is taken", why=str(error), next_step="name another with --port, or 0 for a free one"
        ) from error
    with tempfile.TemporaryDirectory(prefix="derms-web-") as directory:
        (Path(directory) / "app_index.html").write_text(_PAGE, encoding="utf-8")
        server = LocalServer(command, listening.getsockname()[1], Path(directory))
        runner = web.AppRunner(await server.application(), access_log=None)
        await runner.setup()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            await web.SockSite(runner, listening).start()
            say(f"The control center is at {server.public_url} for browsers on this machine; Ctrl-C ends it")
            await stop.wait()
        finally:
            await runner.cleanup()
