"""What another command of this program wrote, read from stdin. Pure."""

import json
from typing import Any

from derms.errors import UsageError


def ids_in(text: str, field_name: str) -> list[str]:
    """Ids, a line each, or of a JSON document with a list of things.

    Args:
        text: What `-o name` or `-o json` wrote.
        field_name: What the id is called in JSON.

    Raises:
        UsageError: There are none.
    """
    if text.lstrip().startswith(("{", "[")):
        found = [one.get(field_name) for one in things_in(text)]
        ids = [one for one in found if isinstance(one, str)]
    else:
        ids = [line.strip() for line in text.splitlines() if line.strip()]
    if not ids:
        raise UsageError(
            "stdin names nothing",
            why=f"it holds ids, a line each, or JSON with {field_name!r}",
            next_step="pipe a list into it: -o name, or -o json",
        )
    return list(dict.fromkeys(ids))


def things_in(text: str) -> list[dict[str, Any]]:
    """The objects of a JSON document: a list of them, one, or one that holds a list of them under its kind.

    Raises:
        UsageError: It is none of these.
    """
    try:
        read = json.loads(text)
    except ValueError as error:
        raise UsageError(
            "what was read is no JSON", why=str(error), next_step="write it with -o json, or with `derms dr export`"
        ) from error
    if isinstance(read, dict):
        lists = [part for name, part in read.items() if name != "schema_version" and isinstance(part, list)]
        others = [name for name, part in read.items() if name != "schema_version" and not isinstance(part, list)]
        read = lists[0] if len(lists) == 1 and not others else [read]
    if not isinstance(read, list) or not all(isinstance(one, dict) for one in read):
        raise UsageError(
            "what was read is no list of objects",
            why="it is JSON: a list of objects, one object, or an object with such a list",
            next_step="write it with -o json, or with `derms dr export`",
        )
    return read
