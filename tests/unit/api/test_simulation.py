"""Which hour the simulators play, over a real server."""

import pytest

from derms.model import Role
from tests.asking import Asker
from tests.live import LiveController

PATH = "/api/simulation/mode"


async def test_a_mode_is_put_on_record_and_published_where_simulators_listen(ask: Asker, live: LiveController) -> None:
    assert await ask("GET", PATH, role=Role.VIEWER) == (200, {"mode": None})
    assert await ask("POST", PATH, {"mode": "night"}, role=Role.OPERATOR) == (200, {"mode": "night"})
    assert live.published == [("der/simulation/profile", b"night")]
    assert live.store.audit == [("a-operator", "simulation", "r-1")]
    assert await ask("GET", PATH) == (200, {"mode": "night"})


async def test_a_broker_that_is_away_is_said_and_nothing_is_pretended(ask: Asker, live: LiveController) -> None:
    live.broker_away = True
    status, problem = await ask("POST", PATH, {"mode": "day"})
    assert (status, problem["code"]) == (503, "broker-unavailable")
    assert await ask("GET", PATH) == (200, {"mode": None})


@pytest.mark.parametrize("body", [{"mode": "noon"}, {}, {"mode": "day", "speed": 2}])
async def test_what_cannot_be_meant_is_refused(body: object, ask: Asker) -> None:
    assert (await ask("POST", PATH, body))[0] == 422


async def test_a_viewer_may_not(ask: Asker, live: LiveController) -> None:
    assert (await ask("POST", PATH, {"mode": "day"}, role=Role.VIEWER))[0] == 403
    assert live.published == []
