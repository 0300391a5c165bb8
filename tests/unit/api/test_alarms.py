"""Listing, acknowledging and shelving alarms over a real server."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from derms.alarms.machine import Condition
from derms.model import AlarmChange, AlarmLine, Role
from tests.fakes_api import NOW, Api, running_api
from tests.fakes_dr import ROUTES


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        look(api, 0.0, "store-away.store", "import-over.feeder-1", "disobedient.ev-1", "disobedient.ev-2")
        look(api, 20.0, "store-away.store", "import-over.feeder-1", "disobedient.ev-1", "disobedient.ev-2")
        yield api


def look(api: Api, second: float, *alarm_ids: str) -> None:
    found = [one.partition(".") for one in alarm_ids]
    conditions = [Condition(kind=kind, subject=subject, cause="it is") for kind, _, subject in found]
    api.dr.desk.take(conditions, NOW + timedelta(seconds=second), second)


async def ask(
    api: Api, method: str, path: str, body: object = None, role: Role | None = Role.OPERATOR
) -> tuple[int, dict[str, Any]]:
    headers = {} if role is None else api.headers(role)
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{api.served.url}/api/alarms{path}", json=body, headers=headers) as response,
    ):
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize(("method", "path", "needed"), [one for one in ROUTES if "alarms" in one[1]])
async def test_each_route_is_open_to_its_role_and_those_above(
    method: str, path: str, needed: Role, role: Role | None, api: Api
) -> None:
    rank = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
    alarm_id = "disobedient.ev-1"
    if path.endswith("unshelve"):
        await ask(api, "POST", f"/{alarm_id}/shelve", {"reason": "x", "duration_s": 60})
    before = (api.dr.desk.records(), list(api.events.audit))
    body = {"reason": "x", "duration_s": 60} if path.endswith("/shelve") else None
    status, _ = await ask(api, method, path.removeprefix("/api/alarms").format(alarm_id=alarm_id), body, role)
    if role is not None and rank[role] >= rank[needed]:
        assert status == 200
    else:
        assert status == (401 if role is None else 403)
        assert (api.dr.desk.records(), list(api.events.audit)) == before


async def test_alarms_come_the_most_urgent_first_and_are_filtered_and_paged(api: Api) -> None:
    async def listed(query: str = "") -> list[str]:
        status, body = await ask(api, "GET", query, role=Role.VIEWER)
        assert status == 200, body
        return [one["alarm_id"] for one in body["alarms"]]

    assert await listed() == ["import-over.feeder-1", "disobedient.ev-1", "disobedient.ev-2", "store-away.store"]
    assert await listed("?kind=disobedient") == ["disobedient.ev-1", "disobedient.ev-2"]
    assert await listed("?subject=store") == ["store-away.store"]
    await ask(api, "POST", "/disobedient.ev-1/acknowledge")
    assert await listed("?state=acknowledged") == ["disobedient.ev-1"]
    assert len(await listed("?state=unacknowledged&sort=-subject")) == 3
    _, first = await ask(api, "GET", "?limit=3")
    assert await listed(f"?limit=3&cursor={first['next_cursor']}") == ["store-away.store"]
    assert await listed("?subject=*") == []


@pytest.mark.parametrize(
    "query", ["state=gone", "state=null", "kind=a%00", "sort=cause", "limit=0", "subject=" + "x" * 65, "a=1"]
)
@pytest.mark.parametrize("path", ["", "/history"])
async def test_a_query_that_cannot_be_meant_is_refused(query: str, path: str, api: Api) -> None:
    assert (await ask(api, "GET", f"{path}?{query}"))[0] == 422


async def test_an_acknowledgement_is_stored_with_a_name_and_then_shown(api: Api) -> None:
    status, said = await ask(api, "POST", "/store-away.store/acknowledge")
    assert (status, said["state"], said["acknowledged_by"]) == (200, "acknowledged", "a-operator")
    assert api.events.alarms["store-away.store"].acknowledged_by == "a-operator"
    assert [(actor, subject) for actor, subject, _ in api.events.audit] == [("a-operator", "store-away.store")]
    status, problem = await ask(api, "POST", "/store-away.store/acknowledge")
    assert (status, problem["code"]) == (409, "conflict")
    assert (await ask(api, "GET", "/store-away.store"))[1] == said


async def test_what_is_not_stored_is_not_said(api: Api) -> None:
    api.events.away = True
    assert (await ask(api, "POST", "/store-away.store/acknowledge"))[0] == 503
    assert (await ask(api, "POST", "/store-away.store/shelve", {"reason": "x", "duration_s": 9}))[0] == 503
    assert (await ask(api, "GET", "/store-away.store"))[1]["state"] == "unacknowledged"


async def test_an_alarm_is_shelved_for_a_while_and_comes_back(api: Api) -> None:
    path = "/disobedient.ev-1"
    _, said = await ask(api, "POST", f"{path}/shelve", {"reason": "being repaired", "duration_s": 3600})
    assert (said["state"], said["shelved_until"], said["shelved_by"], said["shelved_reason"]) == (
        "shelved", "2026-01-01T01:00:00Z", "a-operator", "being repaired"
    )  # fmt: skip
    look(api, 3599.0, "disobedient.ev-1")
    assert (await ask(api, "GET", path))[1]["state"] == "shelved"
    look(api, 3600.0, "disobedient.ev-1")
    assert (await ask(api, "GET", path))[1]["state"] == "unacknowledged"
    _, again = await ask(api, "POST", f"{path}/shelve", {"reason": "x", "until": "2026-01-02T01:00:00+01:00"})
    assert again["shelved_until"] == "2026-01-02T00:00:00Z"
    assert (await ask(api, "POST", f"{path}/unshelve"))[1]["state"] == "unacknowledged"
    assert (await ask(api, "POST", f"{path}/unshelve"))[0] == 409


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"duration_s": 60}, 422, "missing required field `reason`"),
        ({"reason": "", "duration_s": 60}, 422, "the reason is empty"),
        ({"reason": "  ", "duration_s": 60}, 422, "the reason is empty"),
        ({"reason": "a\x00b", "duration_s": 60}, 422, "the reason is refused"),
        ({"reason": "x"}, 422, "it has no end"),
        ({"reason": "x", "duration_s": 60, "until": "2026-01-02T00:00:00Z"}, 422, "both until and duration_s"),
        ({"reason": "x", "duration_s": 0}, 422, "duration_s is 0"),
        ({"reason": "x", "duration_s": 1e308}, 422, "duration_s is 1e+308"),
        ({"reason": "x", "until": "2026-01-01T00:00:00Z"}, 422, "that is past"),
        ({"reason": "x", "until": "2026-01-08T00:00:01Z"}, 422, "at most 7 days"),
        ({"reason": "x", "until": "9999-12-31T23:59:59-10:00"}, 422, "outside of time"),
        ({"reason": "x", "until": "2026-01-02T00:00:00"}, 422, "$.until"),
        ({"reason": "x", "duration_s": 60, "acknowledged": True}, 422, "unknown field"),
    ],
)
async def test_a_shelving_that_cannot_be_meant_is_refused(
    body: dict[str, Any], status: int, text: str, api: Api
) -> None:
    got, problem = await ask(api, "POST", "/disobedient.ev-1/shelve", body)
    assert got == status, problem
    assert text in f"{problem['detail']}; {problem['rule']}"
    assert api.events.audit == []


@pytest.mark.parametrize(
    "alarm_id", ["nope", "disobedient.ev-9", "disobedient", "disobedient.", "%00", "a%2Fb", "x.%2A"]
)
async def test_an_alarm_that_is_not_there_is_not_found(alarm_id: str, api: Api) -> None:
    assert (await ask(api, "GET", f"/{alarm_id}"))[0] == 404
    for verb, body in (("acknowledge", None), ("shelve", {"reason": "x", "duration_s": 9}), ("unshelve", None)):
        assert (await ask(api, "POST", f"/{alarm_id}/{verb}", body))[0] == 404


async def test_the_history_is_told_the_newest_first_a_page_at_a_time(api: Api) -> None:
    lines = [
        AlarmLine(at=NOW + timedelta(seconds=n), kind="store-away", subject="store", change=change, cause="c", by=by)
        for n, (change, by) in enumerate([(AlarmChange.RAISED, ""), (AlarmChange.ACKNOWLEDGED, "alice"),
                                          (AlarmChange.RETURNED, "")])
    ]  # fmt: skip
    await api.events.keep_alarms([], lines)
    _, first = await ask(api, "GET", "/history?limit=2", role=Role.VIEWER)
    assert [(one["change"], one["by"]) for one in first["lines"]] == [("returned", None), ("acknowledged", "alice")]
    _, second = await ask(api, "GET", f"/history?limit=2&cursor={first['next_cursor']}")
    assert ([one["change"] for one in second["lines"]], second["next_cursor"]) == (["raised"], None)
    assert (await ask(api, "GET", "/history?kind=spool-filling"))[1]["lines"] == []
