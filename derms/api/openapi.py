"""The OpenAPI 3.1 document, built from the routes and their structs; there is no other copy. Pure."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, get_args

import msgspec

from derms.api.routes import Route
from derms.api.schemas.common import Problem

_REF = "#/components/schemas/{name}"
_BEARER: list[dict[str, list[str]]] = [{"bearer": []}]


def document(routes: Sequence[Route], *, version: str) -> dict[str, Any]:
    """Describe the API.

    Args:
        routes: Every route there is.
        version: The program's.

    Returns:
        An OpenAPI 3.1 document, as plain values.
    """
    structs = _structs(routes)
    _, components = msgspec.json.schema_components(structs, ref_template=_REF)
    for struct in _nested(structs):
        _describe(components.get(struct.__name__, {}), struct)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    queries = {route.query.__name__ for route in routes if route.query is not None}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "derms",
            "version": version,
            "summary": "Keeps a feeder within its power limit.",
            "description": (
                "Power in kW, energy in kWh, SOC 0..1. Load convention: drawn from the feeder positive, pushed into it "
                "negative; limits are magnitudes. Instants are RFC 3339. Errors are RFC 9457 problems."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(noun_of(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in sorted(components.items()) if name not in queries},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def noun_of(route: Route) -> str:
    """What a route is about: the second part of its path."""
    parts = route.path.strip("/").split("/")
    noun = parts[1] if parts[0] == "api" and len(parts) > 1 else parts[0]
    return noun.split(".")[0]


def operation_id(route: Route) -> str:
    """A name for a route that no other has."""
    words = route.path.strip("/").removeprefix("api/").replace("{", "").replace("}", "").replace("-", "_")
    return f"{route.method.lower()}_{words.replace('/', '_').replace('.', '_')}"


def _operation(route: Route, components: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [noun_of(route)],
        "operationId": operation_id(route),
        "summary": route.summary,
        "x-role": None if route.role is None else route.role.value,
    }
    if route.role is not None:
        operation["security"] = _BEARER
        operation["description"] = f"Needs the role {route.role.value}."
    if parameters := [*_path(route), *_query(route, components), *_headers(route)]:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(route.body)}}}
    operation["responses"] = _responses(route)
    return operation


def _path(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in route.parts]


def _query(route: Route, components: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    shape = components[route.query.__name__]
    parameters = []
    for name, schema in shape["properties"].items():
        told = {key: value for key, value in schema.items() if key != "description"}
        # A query cannot say null; it leaves the field out.
        kinds = [kind for kind in told.get("anyOf", []) if kind != {"type": "null"}]
        if kinds:
            told.pop("anyOf")
            told |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        if told.get("default", "") is None:
            told.pop("default")
        parameter = {"name": name, "in": "query", "required": name in shape.get("required", []), "schema": told}
        if "description" in schema:
            parameter["description"] = schema["description"]
        parameters.append(parameter)
    return parameters


def _headers(route: Route) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"}
    return [{"name": name, "in": "header", "required": False, "schema": schema} for name in route.headers]


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    done: dict[str, Any] = {}
    if route.answer is not None:
        done["content"] = {route.media: {"schema": _ref(route.answer)}}
    elif route.status != HTTPStatus.NO_CONTENT:
        done["content"] = {route.media: {"schema": {"type": "object" if route.media.endswith("json") else "string"}}}
    for status in (route.status, *route.also):
        responses[str(status)] = {"description": HTTPStatus(status).phrase, **done}
    problem = {"application/problem+json": {"schema": _ref(Problem)}}
    for status in route.refusals:
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    return responses


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=struct.__name__)}


def _structs(routes: Iterable[Route]) -> list[type[msgspec.Struct]]:
    named = [struct for route in routes for struct in (route.body, route.query, route.answer) if struct is not None]
    return list(dict.fromkeys([*named, Problem]))


def _nested(structs: Iterable[type[msgspec.Struct]]) -> list[type[msgspec.Struct]]:
    """These structs and all that stand in their fields."""
    found: dict[type[msgspec.Struct], None] = {}
    todo: list[Any] = list(structs)
    while todo:
        one = todo.pop()
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            if one not in found:
                found[one] = None
                todo += [field.type for field in msgspec.structs.fields(one)]
        else:
            todo += get_args(one)
    return list(found)


def _describe(schema: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Put the docstrings under the fields into their descriptions."""
    for base in reversed(struct.__mro__):
        if base is msgspec.Struct or not issubclass(base, msgspec.Struct):
            continue
        for name, text in _field_docs(base).items():
            if name in schema.get("properties", {}):
                schema["properties"][name] = {**schema["properties"][name], "description": text}


@cache
def _field_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The string literal after each field of a class, by the field's name."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(tree, ast.ClassDef)
    docs = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            docs[field.target.id] = inspect.cleandoc(after.value.value)
    return docs
