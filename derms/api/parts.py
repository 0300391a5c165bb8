"""The variable parts of a path."""

import re

from aiohttp import web

from derms.errors import NotFoundError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._*:-]{0,127}")


def id_in(request: web.Request, name: str, what: str) -> str:
    """An id in the path, that could be one.

    Raises:
        NotFoundError: Nothing has such an id.
    """
    value = request.match_info[name]
    if not _ID.fullmatch(value):
        raise NotFoundError(
            f"there is no {what} {value[:64]!r}",
            why="an id is made of letters, digits, `.`, `_` and `-`",
            next_step="list them, and name one",
        )
    return value
