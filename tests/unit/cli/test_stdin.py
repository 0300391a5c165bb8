"""What another command wrote, read back."""

import pytest

from derms.cli.stdin import ids_in, things_in
from derms.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "ev-1\nev-2\n",
        "\n  ev-1  \nev-2\nev-1\n",
        '{"schema_version": 1, "devices": [{"device_id": "ev-1"}, {"device_id": "ev-2"}]}',
        '[{"device_id": "ev-1"}, {"device_id": "ev-2", "more": [1]}]',
    ],
)
def test_ids_are_lines_or_stand_in_json(text: str) -> None:
    assert ids_in(text, "device_id") == ["ev-1", "ev-2"]


def test_one_thing_is_a_list_of_one() -> None:
    assert ids_in('{"schema_version": 1, "device_id": "ev-1", "tags": ["a"]}', "device_id") == ["ev-1"]


@pytest.mark.parametrize("text", ["", "\n\n", "{}", '{"devices": []}', '[{"event_id": "dr-1"}]', '[{"device_id": 3}]'])
def test_nothing_named_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names nothing"):
        ids_in(text, "device_id")


@pytest.mark.parametrize(("text", "said"), [("{", "is no JSON"), ("[1]", "no list of objects"), ("3", "no list")])
def test_what_is_no_list_of_objects_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        things_in(text)
