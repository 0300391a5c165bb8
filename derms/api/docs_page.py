"""The documentation page: the OpenAPI document as HTML, without a script and without anything from elsewhere. Pure."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_HEAD = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<title>derms API</title><link rel="stylesheet" href="/api/docs.css"></head><body>'
)

STYLE = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
nav a { margin-right: 1rem; }
h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; border-radius: 4px; }
.method { display: inline-block; min-width: 4.2rem; font-weight: 700; }
.role { float: right; opacity: .75; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); }
:target { outline: 2px solid #06c; }
"""


def page_of(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: As `derms.api.openapi.document` makes it.
    """
    return "".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    schemas = document["components"]["schemas"]
    nouns = [tag["name"] for tag in document["tags"]]
    yield _HEAD
    yield f"<h1>derms API <small>{escape(info['version'])}</small></h1><p>{escape(info['description'])}</p>"
    yield '<p>The same for programs: <a href="/api/openapi.json">openapi.json</a>.</p><nav>'
    yield from (f'<a href="#{escape(noun)}">{escape(noun)}</a>' for noun in nouns)
    yield '<a href="#shapes">shapes</a></nav>'
    for noun in nouns:
        yield f'<h2 id="{escape(noun)}">{escape(noun)}</h2>'
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if noun in operation["tags"]:
                    yield from _operation(method.upper(), path, operation)
    yield '<h2 id="shapes">Shapes</h2>'
    for name, schema in schemas.items():
        yield from _shape(name, schema)
    yield "</body></html>\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    role = operation["x-role"] or "open to all"
    yield (
        f'<details id="{escape(operation["operationId"])}"><summary><span class="method">{method}</span>'
        f'<code>{escape(path)}</code> {escape(operation["summary"])}<span class="role">{escape(role)}</span></summary>'
    )
    yield f"<pre>{escape(_curl(method, path, operation))}</pre>"
    if parameters := operation.get("parameters"):
        yield "<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>"
        for one in parameters:
            yield _row(
                f"<code>{escape(one['name'])}</code>{' *' if one['required'] else ''}",
                escape(one["in"]),
                _type(one["schema"]),
                escape(one.get("description", "")),
            )
        yield "</table>"
    if body := operation.get("requestBody"):
        yield f"<p>Body: {_type(body['content']['application/json']['schema'])}</p>"
    yield "<table><tr><th>answer</th><th></th><th>shape</th></tr>"
    for status, response in operation["responses"].items():
        shapes = [_type(content["schema"]) for content in response.get("content", {}).values()]
        yield _row(escape(status), escape(response["description"]), ", ".join(shapes))
    yield "</table></details>"


def _shape(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<details id="shape-{escape(name)}"><summary><code>{escape(name)}</code> '
    yield f"{escape(schema.get('description', ''))}</summary>"
    if "enum" in schema:
        yield f"<p>One of <code>{escape(', '.join(str(value) for value in schema['enum']))}</code>.</p>"
    if properties := schema.get("properties"):
        required = schema.get("required", [])
        yield "<table><tr><th>field</th><th>type</th><th></th></tr>"
        for field, shape in properties.items():
            star = " *" if field in required else ""
            yield _row(f"<code>{escape(field)}</code>{star}", _type(shape), escape(shape.get("description", "")))
        yield "</table>"
    yield "</details>"


def _curl(method: str, path: str, operation: Mapping[str, Any]) -> str:
    words = ["curl"]
    if method != "GET":
        words.append(f"-X {method}")
    if operation["x-role"] is not None:
        words.append('-H "Authorization: Bearer $TOKEN"')
    if "requestBody" in operation:
        words.append("-H 'Content-Type: application/json' -d @body.json")
    return " ".join([*words, f'"$DERMS_URL{path}"'])


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#shape-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"by name: {_type(schema['additionalProperties'])}"
    rules = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    told = [f"{sign} {schema[key]:g}" for key, sign in rules.items() if key in schema]
    if "format" in schema:
        told.append(escape(schema["format"]))
    if schema.get("default") is not None:
        told.append(f"default {escape(str(schema['default']))}")
    return escape(str(kind)) + (f" ({', '.join(told)})" if told else "")


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
