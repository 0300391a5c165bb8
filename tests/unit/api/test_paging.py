"""Lists a page at a time."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derms.api.paging import PageQuery, page_of
from derms.errors import UsageError


@dataclass(frozen=True)
class Thing:
    name: str
    size: float | None
    kind: str


KEYS = {"name": lambda one: one.name, "size": lambda one: one.size, "kind": lambda one: one.kind}
THINGS = [Thing("a", 3.0, "x"), Thing("b", None, "y"), Thing("c", 1, "x"), Thing("d", 3.0, "y")]


def names(query: PageQuery) -> tuple[str, str | None]:
    page, cursor = page_of(THINGS, query, KEYS, lambda one: one.name)
    return "".join(one.name for one in page), cursor


@pytest.mark.parametrize(
    ("sort", "expected"), [(None, "abcd"), ("-name", "dcba"), ("size", "cadb"), ("-size", "adcb"), ("kind", "acbd")]
)
def test_a_list_is_sorted_and_what_is_null_comes_last(sort: str | None, expected: str) -> None:
    assert names(PageQuery(sort=sort)) == (expected, None)


@given(
    things=st.dictionaries(st.text("abc", min_size=1, max_size=3), st.none() | st.integers(0, 3), max_size=12),
    limit=st.integers(1, 5),
    sort=st.sampled_from(["name", "-name", "size", "-size"]),
)
def test_the_pages_one_after_another_are_the_whole_list(things: dict[str, int | None], limit: int, sort: str) -> None:
    items = [Thing(name, size, "x") for name, size in things.items()]
    whole, _ = page_of(items, PageQuery(sort=sort), KEYS, lambda one: one.name)
    pages: list[Thing] = []
    cursor = None
    for _ in range(len(items) + 1):
        page, cursor = page_of(items, PageQuery(sort=sort, limit=limit, cursor=cursor), KEYS, lambda one: one.name)
        pages += page
        if cursor is None:
            break
    assert pages == whole
    assert cursor is None


def test_a_page_goes_on_after_its_cursor_when_the_row_it_ended_at_is_gone() -> None:
    _, cursor = names(PageQuery(limit=2))
    page, _ = page_of(THINGS[2:], PageQuery(limit=2, cursor=cursor), KEYS, lambda one: one.name)
    assert [one.name for one in page] == ["c", "d"]


@pytest.mark.parametrize("cursor", ["x", "", "e30", "W10", "!!!", "WyJzaXplIixmYWxzZSwieCIsImEiXQ"])
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    # The last one says: sorted by size, which was the text "x".
    with pytest.raises(UsageError, match="cursor is"):
        names(PageQuery(cursor=cursor, sort="size"))


def test_an_unknown_field_to_sort_by_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="sorts by name, size, kind"):
        names(PageQuery(sort="colour"))
