"""What goes in and out: strict JSON bodies, strict queries, JSON answers."""

import asyncio
import json
from datetime import datetime
from typing import TypeVar

import msgspec
from aiohttp import web

from derms.errors import UsageError

MAX_BODY_BYTES = 1024 * 1024
BODY_TIMEOUT_S = 10.0
"""How long a client may take to send a body [s]."""

T = TypeVar("T")


class MalformedBodyError(UsageError):
    """The body is not JSON at all, or says something twice."""


def nothing() -> web.Response:
    """204: it is done, and there is nothing to say."""
    return web.Response(status=204)


def read_query(request: web.Request, type_: type[T]) -> T:
    """Read the query strictly: the right types, no unknown and no repeated name, no null.

    Raises:
        UsageError: It is not this.
    """
    names = [name for name, _ in request.query.items()]  # its keys() tell each name once
    for name, value in request.query.items():
        if names.count(name) > 1:
            raise UsageError(
                f"{name} stands twice in the query", why="it is not clear which counts", next_step="send it once"
            )
        if value.lower() == "null":
            # The library would take it for nothing where the field may be left out.
            raise UsageError(f"{name} is null", why="a query says nothing by silence", next_step=f"leave {name} out")
    try:
        asked = msgspec.convert(dict(request.query), type_, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError("the query is refused", why=str(error), next_step="correct it; see docs/api.md") from error
    for name in names:
        if isinstance(getattr(asked, name), datetime) and ":" not in request.query[name]:
            # The library takes a number for seconds since 1970.
            raise UsageError(
                f"{name} is {request.query[name][:80]!r}", why="an instant is RFC 3339", next_step="correct it"
            )
    return asked


def answer(body: msgspec.Struct, *, status: int = 200) -> web.Response:
    """A struct as JSON."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


async def read_body(request: web.Request, type_: type[T]) -> T:
    """Read a JSON body strictly: the right types, no unknown and no repeated field.

    Raises:
        MalformedBodyError: It is not JSON, or a field stands there twice.
        UsageError: It is JSON, but not this.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            raw = await request.read()
    except TimeoutError as error:
        raise web.HTTPRequestTimeout from error
    try:
        body = msgspec.json.decode(raw, type=type_)
        json.loads(raw, object_pairs_hook=_refuse_repeated)
    except msgspec.ValidationError as error:
        raise UsageError(
            "the body is refused", why=str(error), next_step="correct that field; see docs/api.md"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBodyError("the body is not JSON", why=str(error), next_step="send one JSON object") from error
    return body


def _refuse_repeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedBodyError(
            f"the field {twice!r} stands there twice", why="it is not clear which counts", next_step="send it once"
        )
    return fields
