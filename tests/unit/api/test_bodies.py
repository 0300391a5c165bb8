"""Queries, read strictly."""

import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from derms.api.bodies import read_query
from derms.errors import UsageError


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: int | None = None
    text: str | None = None
    flag: bool = False


def read(query: str) -> Query:
    return read_query(make_mocked_request("GET", f"/x?{query}"), Query)


def test_a_query_is_read_in_its_types() -> None:
    assert read("number=3&text=a%20b&flag=true") == Query(number=3, text="a b", flag=True)
    assert read("") == Query()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("number=x", "the query is refused"),
        ("number=1.5", "the query is refused"),
        ("colour=red", "unknown field"),
        ("text=a&text=b", "text stands twice"),
        ("number=null", "number is null"),
        ("number=NULL", "number is null"),
        ("number=null&number=null", "number stands twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(query: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(query)
