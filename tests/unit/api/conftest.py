"""A served API on a real fleet and loop, and someone who asks it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.asking import Asker
from tests.fakes_api import Api, running_api
from tests.live import LiveController


@pytest.fixture
async def lively() -> AsyncIterator[Api]:
    async with running_api(lively=True) as api:
        yield api


@pytest.fixture
def live(lively: Api) -> LiveController:
    return lively.live


@pytest.fixture
async def ask(lively: Api) -> AsyncIterator[Asker]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield Asker(lively, session)
