"""Lists that come a page at a time."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec


class Page(Protocol):
    """One page."""

    @property
    def next_cursor(self) -> str | int | None:
        """For the next page; None: this was the last."""


Q = TypeVar("Q", bound=msgspec.Struct)
P = TypeVar("P", bound=Page)


async def pages(ask: Callable[[Q], Awaitable[P]], query: Q, *, most: int | None = None) -> list[P]:
    """All pages, one after the other.

    Args:
        ask: Gets the page of a query.
        query: For the first one.
        most: No more pages than this; None: all.
    """
    got = [await ask(query)]
    while (cursor := got[-1].next_cursor) is not None and (most is None or len(got) < most):
        got.append(await ask(msgspec.structs.replace(query, cursor=cursor)))
    return got
