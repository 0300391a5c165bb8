"""Asking a served API in tests: one call, its status and its JSON."""

from typing import Any

import aiohttp

from derms.model import Role
from tests.fakes_api import Api


class Asker:
    """One client of one API."""

    def __init__(self, api: Api, http: aiohttp.ClientSession) -> None:
        self._api = api
        self._http = http

    async def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        role: Role = Role.ADMIN,
        query: dict[str, Any] | None = None,
    ) -> tuple[int, Any]:
        headers = self._api.headers(role) | {"X-Request-ID": "r-1"}
        url = self._api.served.url + path
        async with self._http.request(method, url, json=body, headers=headers, params=query) as response:
            return response.status, await response.json(content_type=None) if response.status != 204 else None
