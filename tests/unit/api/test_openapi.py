"""The document that the API gives of itself, and the page made of it."""

import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import aiohttp
import msgspec
import pytest

from derms.model import Role
from derms.reference.api import own_document
from tests.fakes_api import Api, running_api

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


@pytest.fixture
async def told(api: Api) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{api.served.url}/api/openapi.json") as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        answer: dict[str, Any] = json.loads(await response.read())
        return answer


async def test_the_reference_page_is_made_of_the_same_document(told: dict[str, Any]) -> None:
    assert json.loads(msgspec.json.encode(own_document())) == told


async def test_routes_and_document_agree(api: Api, told: dict[str, Any]) -> None:
    served = {(route.method, route.resource.canonical) for route in api.app.router.routes() if route.resource}
    described = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert {one for one in served if one[0] in METHODS} == described


async def test_the_role_in_the_document_is_the_one_that_is_asked_for(api: Api, told: dict[str, Any]) -> None:
    ranks: dict[str | None, int] = {None: 0, **{role.value: rank for rank, role in enumerate(Role, start=1)}}
    async with aiohttp.ClientSession() as http:
        for path, methods in told["paths"].items():
            for method, operation in methods.items():
                url = api.served.url + re.sub(r"{\w+}", "nobody", path)
                for role in (None, *Role):
                    headers = api.headers(role) if role else {}
                    async with http.request(method, url, headers=headers) as response:
                        refused = response.status in {401, 403} and operation["operationId"] != "post_auth_login"
                        may = ranks[role.value if role else None] >= ranks[operation["x-role"]]
                        assert refused is not may, (method, path, role, await response.text())


async def test_every_reference_leads_somewhere_and_every_shape_is_used(told: dict[str, Any]) -> None:
    text = json.dumps(told)
    used = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert used == set(told["components"]["schemas"])


async def test_what_stands_under_a_field_is_its_description(told: dict[str, Any]) -> None:
    fields = told["components"]["schemas"]["DeviceOut"]["properties"]
    assert fields["soc"]["description"] == "State of charge, 0..1."
    assert told["components"]["schemas"]["EventIn"]["properties"]["shed_kw"]["description"].startswith("To be taken")


async def test_every_operation_has_a_name_of_its_own_and_says_how_it_refuses(api: Api, told: dict[str, Any]) -> None:
    operations = [operation for methods in told["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["summary"]
        assert ("401" in operation["responses"]) >= (operation["x-role"] is not None)
        assert ("422" in operation["responses"]) >= ("requestBody" in operation)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")


async def test_the_page_names_every_path_and_needs_nothing_from_elsewhere(api: Api, told: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{api.served.url}/api/docs") as response:
            page = await response.text()
            assert response.content_type == "text/html"
            assert "style-src 'self'" in response.headers["Content-Security-Policy"]
        async with http.get(f"{api.served.url}/api/docs.css") as response:
            assert response.content_type == "text/css"
            assert "http" not in await response.text()
    seen = _Links()
    seen.feed(page)
    assert "script" not in seen.tags
    assert len(set(seen.ids)) == len(seen.ids)
    for link in seen.links:
        assert link.startswith(("#", "/api/")), link
        if link.startswith("#"):
            assert link[1:] in seen.ids, link
    for path in told["paths"]:
        assert f"<code>{path}</code>" in page


async def test_what_is_no_json_says_what_it_is(told: dict[str, Any]) -> None:
    answered = {
        path: list(told["paths"][path]["get"]["responses"]["200"]["content"])
        for path in ("/metrics", "/api/docs", "/api/docs.css", "/api/devices")
    }
    assert answered == {
        "/metrics": ["text/plain"],
        "/api/docs": ["text/html"],
        "/api/docs.css": ["text/css"],
        "/api/devices": ["application/json"],
    }
