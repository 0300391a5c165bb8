"""`/api/openapi.json` and `/api/docs`: what the API can do, told by itself."""

from collections.abc import Sequence
from functools import cache

import msgspec
from aiohttp import web

from derms import __version__
from derms.api.docs_page import STYLE, page_of
from derms.api.openapi import document
from derms.api.routes import Route

_PAGE_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'"


def routes(others: Sequence[Route]) -> list[Route]:
    """The document and its page; open to all, since they tell nothing about this controller.

    Args:
        others: The routes to describe; these are added.
    """

    @cache
    def described() -> tuple[bytes, bytes]:
        told = document([*others, *own], version=__version__)
        return msgspec.json.encode(told), page_of(told).encode()

    async def get_document(_: web.Request) -> web.Response:
        return web.Response(body=described()[0], content_type="application/json")

    async def get_page(_: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _PAGE_POLICY}
        return web.Response(body=described()[1], content_type="text/html", charset="utf-8", headers=headers)

    async def get_style(_: web.Request) -> web.Response:
        return web.Response(text=STYLE, content_type="text/css")

    own = [
        Route(
            method="GET", path="/api/openapi.json", handler=get_document, role=None,
            summary="This API as an OpenAPI 3.1 document",
        ),
        Route(
            method="GET", path="/api/docs", handler=get_page, role=None, summary="This API as a page to read",
            media="text/html",
        ),
        Route(
            method="GET", path="/api/docs.css", handler=get_style, role=None, summary="How that page looks",
            media="text/css",
        ),
    ]  # fmt: skip
    return own
