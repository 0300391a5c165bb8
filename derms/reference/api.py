"""docs/api-reference.md, made of the API's own OpenAPI document."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from derms import __version__
from derms.api.app import routes_of
from derms.api.openapi import document
from derms.api.services import Services
from derms.reference.schemas import cell, table, words

_HEAD = """\
<!-- Made by `make docs` of the API's own OpenAPI document. Not to be edited. -->
# The API, every address

What a controller says of itself at `/api/docs` and, for programs, at `/api/openapi.json`. How to use it, with examples
and the rules for all addresses: [the HTTP API](api.md).

A field without *yes* may be left out. Beside what is listed every address may answer 500, and each refusal is a
[Problem](#problem) whose codes are in [errors](errors.md).
"""


class _Unasked:
    """Stands where services are: routes look something up in them when a request comes, and none does."""

    def __getattr__(self, name: str) -> "_Unasked":
        return _Unasked()


def own_document() -> dict[str, Any]:
    """The OpenAPI document, as a controller with everything switched on serves it."""
    return document(routes_of(cast(Services, _Unasked())), version=__version__)


def page() -> str:
    """docs/api-reference.md."""
    return "\n".join(_page(own_document())) + "\n"


def _page(told: Mapping[str, Any]) -> Iterator[str]:
    yield _HEAD
    yield f"{told['info']['description']}\n"
    operations = [
        (f"{method.upper()} {path}", one) for path, methods in told["paths"].items() for method, one in methods.items()
    ]
    schemas = told["components"]["schemas"]
    yield from ("| address | role | what |", "|---|---|---|")
    for title, one in operations:
        yield f"| [`{title}`](#{_anchor(title)}) | {_role(one)} | {cell(one['summary'])} |"
    for tag in told["tags"]:
        yield f"\n## {tag['name']}"
        for title, one in operations:
            if tag["name"] in one["tags"]:
                yield from _operation(title, one, schemas)
    yield "\n## Shapes"
    for name, schema in schemas.items():
        # A closed set is written out wherever it is used.
        if "enum" not in schema:
            yield f"\n### {name}\n"
            if schema.get("description"):
                yield f"{cell(schema['description'])}\n"
            yield from table(schema, schemas, linked=True)


def _operation(title: str, one: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### `{title}`\n"
    yield f"{cell(one['summary'])}. Role: {_role(one)}.\n"
    if "requestBody" in one:
        body = one["requestBody"]["content"]["application/json"]["schema"]
        yield f"Body: {words(body, schemas, linked=True)}.\n"
    if parameters := one.get("parameters"):
        yield from ("| parameter | in | required | type and range | what |", "|---|---|---|---|---|")
        for each in parameters:
            yield (
                f"| `{each['name']}` | {each['in']} | {'yes' if each['required'] else ''} "
                f"| {words(each['schema'], schemas, linked=True)} | {cell(each.get('description', ''))} |"
            )
        yield ""
    yield f"{'. '.join(_answers(one['responses'], schemas))}."


def _answers(responses: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    refused = []
    for status, response in responses.items():
        content = response.get("content", {})
        if "application/problem+json" in content:
            refused.append(status)
        else:
            shapes = " or ".join(_content(media, told, schemas) for media, told in content.items())
            yield f"Answers {status} {response['description']}{shapes and ', '}{shapes}"
    if refused:
        yield f"Refuses with {', '.join(refused)}"


def _content(media: str, content: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    schema = content["schema"]
    return words(schema, schemas, linked=True) if "$ref" in schema else f"`{media}`"


def _role(operation: Mapping[str, Any]) -> str:
    return operation["x-role"] or "none"


def _anchor(title: str) -> str:
    """What GitHub, and the site, make of such a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in "-_ ")
    return kept.replace(" ", "-")
