"""Lists a page at a time. Pure.

A cursor says where the page before ended: the value it was sorted by, and the id. So a page begins right after it even
when rows came or went in between.
"""

import base64
import binascii
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from derms.errors import UsageError

MAX_PAGE = 10_000

T = TypeVar("T")


class PageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 1000
    """At most so many."""
    cursor: Annotated[str, msgspec.Meta(max_length=1000, pattern="^[A-Za-z0-9_-]*$")] | None = None
    """`next_cursor` of the page before; null: from the beginning."""
    sort: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """A field to sort by, with a minus in front for the largest first; where it is null comes last."""


def page_of(
    items: Iterable[T],
    query: PageQuery,
    keys: Mapping[str, Callable[[T], Any]],
    id_of: Callable[[T], str],
) -> tuple[list[T], str | None]:
    """Sort, and take the page that is asked for.

    Args:
        items: The whole list, filtered, in any order.
        query: Which part.
        keys: What it may be sorted by: name -> value; the first one is the default.
        id_of: Unique; settles ties.

    Returns:
        The page, and the cursor of the next one; None: this was the last.

    Raises:
        UsageError: No such field to sort by, or a cursor that is none of ours.
    """
    return cut(sorted(items, key=id_of), query, keys, id_of, lambda rows, name, down: _sorted(rows, keys[name], down))


def cut(
    items: Sequence[T],
    query: PageQuery,
    keys: Mapping[str, Callable[[T], Any]],
    id_of: Callable[[T], str],
    ordered: Callable[[Sequence[T], str, bool], Sequence[T]],
) -> tuple[list[T], str | None]:
    """As `page_of`, for a list that has a faster way to be sorted.

    Args:
        items: The whole list, filtered, by id.
        query: Which part.
        keys: As `page_of`.
        id_of: Unique; settles ties.
        ordered: Sorts by a name of `keys`, the largest first where asked; null comes last, equals stay by id.

    Raises:
        UsageError: As `page_of`.
    """
    asked = query.sort or next(iter(keys))
    name, down = asked.removeprefix("-"), asked.startswith("-")
    if name not in keys:
        raise UsageError(f"sort is {asked!r}", why=f"this list sorts by {', '.join(keys)}", next_step="choose one")
    rows = ordered(items, name, down)
    start = 0
    if query.cursor is not None:
        last = _opened(query.cursor, asked)
        first = _rank(keys[name](rows[0])) if rows else (True, None)
        if not last[0] and not first[0] and isinstance(first[1], str) != isinstance(last[1], str):
            raise _stranger(query.cursor)
        start = bisect_left(
            range(len(rows)), True, key=lambda at: _after(_rank(keys[name](rows[at])), id_of(rows[at]), last, down)
        )
    page = list(rows[start : start + query.limit])
    more = start + query.limit < len(rows)
    return page, _closed(asked, _rank(keys[name](page[-1])), id_of(page[-1])) if more else None


def _sorted(rows: Sequence[T], key: Callable[[T], Any], down: bool) -> list[T]:
    ranked = [(_rank(key(row)), row) for row in rows]
    known = sorted((pair for pair in ranked if not pair[0][0]), key=lambda pair: pair[0][1], reverse=down)
    return [row for _, row in known] + [row for rank, row in ranked if rank[0]]


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is None, msgspec.to_builtins(value))


def _after(rank: tuple[bool, Any], item_id: str, last: tuple[bool, Any, str], down: bool) -> bool:
    """Whether a row comes after where the page before ended."""
    unknown, value, last_id = last
    if rank[0] != unknown:
        return rank[0]
    if unknown or rank[1] == value:
        return item_id > last_id
    return bool(rank[1] < value) if down else bool(rank[1] > value)


def _closed(asked: str, rank: tuple[bool, Any], item_id: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((asked, *rank, item_id))).decode().rstrip("=")


def _opened(cursor: str, asked: str) -> tuple[bool, Any, str]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        of, unknown, value, item_id = msgspec.json.decode(raw, type=tuple[str, bool, str | float | bool | None, str])
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise _stranger(cursor) from error
    if of != asked or unknown is not (value is None):
        raise _stranger(cursor)
    return unknown, value, item_id


def _stranger(cursor: str) -> UsageError:
    return UsageError(
        f"cursor is {cursor[:80]!r}",
        why="it is not the next_cursor of a page of this list in this order",
        next_step="leave it out to begin at the beginning",
    )


def sorting(asked: str | None, names: Sequence[str]) -> tuple[str, bool]:
    """What a list is sorted by, for one that the store sorts.

    Args:
        asked: `PageQuery.sort`.
        names: What it may be sorted by; the first one is the default.

    Returns:
        The name, and whether the largest comes first.

    Raises:
        UsageError: No such field to sort by.
    """
    chosen = asked or names[0]
    name = chosen.removeprefix("-")
    if name not in names:
        raise UsageError(f"sort is {asked!r}", why=f"this list sorts by {', '.join(names)}", next_step="choose one")
    return name, chosen.startswith("-")


def place_in(query: PageQuery, names: Sequence[str]) -> tuple[datetime, str] | None:
    """Where the page before ended, in a list sorted by an instant: the instant, and the id.

    Raises:
        UsageError: The cursor is none of ours.
    """
    if query.cursor is None:
        return None
    _, value, item_id = _opened(query.cursor, query.sort or names[0])
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _stranger(query.cursor) from error
    if at.tzinfo is None or not item_id.isprintable():
        raise _stranger(query.cursor)
    return at, item_id


def cursor_at(query: PageQuery, names: Sequence[str], at: datetime, item_id: str) -> str:
    """The cursor of the page after a row that has this instant and id."""
    return _closed(query.sort or names[0], (False, at.isoformat()), item_id)
