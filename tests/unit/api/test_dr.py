"""DR events and programs from their creation to their end, over a real server."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from derms.errors import ConflictError, StoreError
from derms.model import Author, Role
from tests.fakes_api import NOW_MS, Api, running_api
from tests.fakes_dr import ROUTES
from tests.fakes_store import event, program

EVENT = {"duration_s": 600, "import_limit_kw": 30.0}
PROGRAM = {
    "name": "Evening",
    "kind": "fixed_cap",
    "target_shed_kw": 20,
    "start": "2026-01-01T00:00:00Z",
    "end": "2026-02-01T00:00:00Z",
}
BY = Author("someone", "r")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


class Caller:
    """Asks, as one role or another."""

    def __init__(self, api: Api, http: aiohttp.ClientSession) -> None:
        self._api, self._http = api, http

    async def __call__(
        self, method: str, path: str, body: object = None, role: Role = Role.ADMIN, key: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        headers = self._api.headers(role) | ({} if key is None else {"Idempotency-Key": key})
        async with self._http.request(method, self._api.served.url + path, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None) if response.status != 204 else {}


@pytest.fixture
def ask(api: Api, http: aiohttp.ClientSession) -> Caller:
    return Caller(api, http)


def body_of(method: str, path: str) -> object:
    if path.startswith("/api/events"):
        return EVENT if path.endswith("preview") else {"reason": "longer"} if method == "PATCH" else None
    return (
        PROGRAM
        if path in ("/api/programs", "/api/programs/preview") and method == "POST"
        else ({"name": "Later"} if method == "PATCH" else None)
    )


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize(("method", "path", "needed"), [one for one in ROUTES if "alarms" not in one[1]])
async def test_each_route_is_open_to_its_role_and_those_above(
    method: str, path: str, needed: Role, role: Role | None, api: Api, http: aiohttp.ClientSession
) -> None:
    await api.events.add_event(event("dr-9", start_h=1, end_h=2), by=BY)
    await api.events.add_program(program("p-9"), by=BY)
    before = (dict(api.events.events), dict(api.events.programs))
    rank = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
    headers = api.headers(role) if role else {}
    url = api.served.url + path.format(event_id="dr-9", program_id="p-9")
    async with http.request(method, url, json=body_of(method, path), headers=headers) as response:
        if role is None or rank[role] < rank[needed]:
            assert response.status == (401 if role is None else 403)
            assert (api.events.events, api.events.programs) == before
        else:
            assert response.status in (200, 201, 204), await response.text()


async def test_the_same_key_and_body_of_one_user_are_one_event(api: Api, ask: Caller) -> None:
    first = await ask("POST", "/api/events", EVENT, Role.OPERATOR, key="k-1")
    api.clock.now += 120_000  # its start, which was now, is past what a new event may have
    again = await ask("POST", "/api/events", EVENT, Role.OPERATOR, key="k-1")
    assert (first[0], again[0]) == (201, 201)
    assert again[1] == first[1]
    assert len(api.events.events) == len(api.told) == 1
    other = await ask("POST", "/api/events", EVENT | {"import_limit_kw": 31}, Role.OPERATOR, key="k-1")
    assert (other[0], other[1]["code"]) == (409, "conflict")
    elsewhere = await ask("POST", "/api/events", EVENT, Role.ADMIN, key="k-1")
    assert elsewhere[1]["event_id"] != first[1]["event_id"]  # another user's key is another key


async def test_of_two_requests_at_once_with_one_key_the_later_gets_the_answer_of_the_first(
    api: Api, ask: Caller
) -> None:
    first = await ask("POST", "/api/events", EVENT, Role.OPERATOR, key="k-1")
    held, api.events.once = api.events.once, {}  # as the later one sees it before the first commits

    async def late(*_: object, **__: object) -> None:
        api.events.once = held
        raise ConflictError("the key was used")

    api.events.add_event = late  # type: ignore[method-assign]  # commits between look and write
    assert await ask("POST", "/api/events", EVENT, Role.OPERATOR, key="k-1") == first


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "a\tb"])
async def test_a_key_that_cannot_be_one_is_refused(key: str, api: Api, ask: Caller) -> None:
    status, problem = await ask("POST", "/api/events", EVENT, key=key)
    assert (status, problem["code"]) == (422, "usage")
    assert api.events.events == {}


async def test_an_event_is_named_read_amended_cancelled_and_each_time_told(api: Api, ask: Caller) -> None:
    _, made = await ask("POST", "/api/events", EVENT | {"name": "Peak"})
    path = f"/api/events/{made['event_id']}"
    assert await ask("GET", path, role=Role.VIEWER) == (200, made)
    _, after = await ask(
        "PATCH", path, {"end": "2026-01-01T02:00:00+01:00", "export_limit_kw": 5, "import_limit_kw": None}
    )
    assert (after["end"], after["import_limit_kw"], after["export_limit_kw"]) == ("2026-01-01T01:00:00Z", None, 5.0)
    assert (after["name"], after["start"]) == ("Peak", made["start"])
    api.clock.now += 60_000
    _, ended = await ask("POST", f"{path}/cancel")
    assert (ended["state"], ended["cancelled_at"]) == ("cancelled", "2026-01-01T00:01:00Z")
    assert [one.cancelled_at is not None for one in api.told] == [False, False, True]
    for method, more, body in (("PATCH", "", {"reason": "x"}), ("POST", "/cancel", None)):
        status, problem = await ask(method, path + more, body)
        assert (status, problem["code"]) == (409, "conflict")
        assert "was cancelled at" in problem["rule"]
    assert (await ask("DELETE", path))[0] == 409  # it had begun
    assert len(api.told) == 3


@pytest.mark.parametrize(
    ("body", "status", "text"),
    # of an event from 01:00 to 02:00 that limits import to 30 kW; it is 00:00
    [
        ({}, 422, "changes nothing"),
        ({"import_limit_kw": None}, 422, "limits nothing"),
        ({"import_limit_kw": -1}, 422, "is a magnitude"),
        ({"import_limit_kw": 1e300}, 422, "at most 1e+09 kW"),
        ({"shed_kw": 0}, 422, "sheds nothing"),
        ({"end": "2026-01-01T01:00:00Z"}, 422, "must be after start"),
        ({"end": "2026-03-01T00:00:00Z"}, 422, "at most 31 days"),
        ({"end": "9999-12-31T23:59:59-10:00"}, 422, "outside of time"),
        ({"end": None}, 422, "$.end"),
        ({"start": "2026-01-01T00:30:00Z"}, 422, "unknown field"),
        ({"event_id": "dr-2"}, 422, "unknown field"),
        ({"cancelled_at": None}, 422, "unknown field"),
        ({"reason": "a\nb"}, 422, "the reason is refused"),
        ({"name": "x" * 121}, 422, "the name is refused"),
    ],
)
async def test_an_amendment_that_cannot_be_meant_changes_nothing(
    body: dict[str, Any], status: int, text: str, api: Api, ask: Caller
) -> None:
    await api.events.add_event(event("dr-9"), by=BY)
    got, problem = await ask("PATCH", "/api/events/dr-9", body)
    assert got == status, problem
    assert text in f"{problem['detail']}; {problem['rule']}"
    assert api.events.events == {"dr-9": event("dr-9")}
    assert api.told == []


async def test_a_shed_that_has_been_taken_is_not_taken_anew(api: Api, ask: Caller) -> None:
    _, made = await ask("POST", "/api/events", {"duration_s": 600, "shed_kw": 5})
    path = f"/api/events/{made['event_id']}"
    status, problem = await ask("PATCH", path, {"shed_kw": 9})
    assert (status, problem["code"]) == (409, "conflict")
    assert (await ask("PATCH", path, {"import_limit_kw": 9}))[0] == 200


async def test_only_an_event_that_never_began_can_be_removed(api: Api, ask: Caller) -> None:
    hour_ms = 3_600_000
    await api.events.add_event(event("a", start_h=1, end_h=2), by=BY)
    await api.events.add_event(event("b", start_h=1, end_h=2), by=BY)
    await ask("POST", "/api/events/b/cancel")  # before its start
    api.clock.now = NOW_MS + hour_ms
    assert (await ask("DELETE", "/api/events/a"))[0] == 409  # it begins at this instant
    assert (await ask("DELETE", "/api/events/b"))[0] == 204
    assert (await ask("DELETE", "/api/events/b"))[0] == 404
    assert (api.dr.events_gone, list(api.events.events)) == (["b"], ["a"])


async def test_events_are_listed_by_state_and_feeder_a_page_at_a_time(api: Api, ask: Caller) -> None:
    # at 00:00: over, active, scheduled at 1 h and at 2 h, cancelled
    await api.events.add_event(event("over", start_h=-2, end_h=0), by=BY)
    await api.events.add_event(event("active", start_h=-1, end_h=1), by=BY)
    for n in (1, 2):
        await api.events.add_event(event(f"later-{n}", start_h=n, end_h=9), by=BY)
    await api.events.add_event(event("cancelled", start_h=-3, end_h=9, cancelled=True), by=BY)

    async def listed(query: str) -> list[str]:
        found, cursor = [], ""
        while True:
            status, body = await ask("GET", f"/api/events?limit=1{query}{cursor}", role=Role.VIEWER)
            assert status == 200, body
            found += [one["event_id"] for one in body["events"]]
            if body["next_cursor"] is None:
                return found
            cursor = f"&cursor={body['next_cursor']}"

    assert await listed("") == ["active", "later-1", "later-2"]
    assert await listed("&state=scheduled&sort=-start") == ["later-2", "later-1"]
    assert await listed("&state=over") == ["over"]
    assert await listed("&state=cancelled") == ["cancelled"]
    assert await listed("&state=all") == ["cancelled", "over", "active", "later-1", "later-2"]
    assert await listed("&state=all&sort=-end&feeder_id=feeder-1") == [
        "later-2",
        "later-1",
        "cancelled",
        "active",
        "over",
    ]
    assert await listed("&feeder_id=feeder-2") == []


@pytest.mark.parametrize(
    "query",
    ["state=gone", "limit=0", "limit=10001", "sort=reason", "cursor=x", "cursor=WyJzdGFydCIsZmFsc2UsIngiLCJhIl0", "a=1",
     "feeder_id=a%00b", "state=open&state=all", "cursor=null"],
)  # fmt: skip
async def test_a_query_that_cannot_be_meant_is_refused(query: str, ask: Caller) -> None:
    status, problem = await ask("GET", f"/api/events?{query}")
    assert (status, problem["code"]) == (422, "usage")


@pytest.mark.parametrize("event_id", ["nope", "%00", "..%2F..", "%ff%fe", "a%20b", "x" * 500, "dr-1%00", "%2A"])
@pytest.mark.parametrize("noun", ["events", "programs"])
async def test_an_id_that_nothing_has_is_not_found(noun: str, event_id: str, ask: Caller) -> None:
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        status, problem = await ask(method, f"/api/{noun}/{event_id}", body)
        assert (status, problem["code"]) == (404, "not-found")
    for verb in ("cancel",) if noun == "events" else ("activate", "deactivate"):
        assert (await ask("POST", f"/api/{noun}/{event_id}/{verb}"))[0] == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/events/preview", "POST"),
        ("/api/programs/preview", "POST"),
        ("/api/events/dr-1", "DELETE,GET,PATCH"),
        ("/api/events/preview-1", "DELETE,GET,PATCH"),
        ("/api/alarms/history", "GET"),
    ],
)
async def test_an_address_that_does_not_take_a_method_says_what_it_takes(
    path: str, allowed: str, api: Api, http: aiohttp.ClientSession
) -> None:
    async with http.put(api.served.url + path, headers=api.headers(Role.ADMIN)) as response:
        assert (response.status, response.headers["Allow"].replace("HEAD,", "")) == (405, allowed)


async def test_what_is_not_committed_is_not_told(api: Api, ask: Caller) -> None:
    await api.events.add_event(event("dr-9"), by=BY)
    api.events.error = StoreError("the database is away", next_step="start it")
    for method, path, body in (("PATCH", "", {"reason": "x"}), ("POST", "/cancel", None)):
        assert (await ask(method, f"/api/events/dr-9{path}", body))[0] == 503
    assert api.told == []


async def test_a_program_is_made_switched_amended_and_removed_and_each_time_told(api: Api, ask: Caller) -> None:
    status, made = await ask("POST", "/api/programs", PROGRAM | {"feeder_ids": ["feeder-2", "feeder-2"]})
    assert (status, made["state"], made["feeder_ids"], made["active"]) == (201, "inactive", ["feeder-2"], False)
    path = f"/api/programs/{made['program_id']}"
    assert (await ask("POST", f"{path}/activate"))[1]["state"] == "bearing"
    status, problem = await ask("PATCH", path, {"target_shed_kw": 30})
    assert (status, problem["code"]) == (409, "conflict")  # what it sheds was taken
    assert (await ask("PATCH", path, {"name": "Night", "end": "2026-03-01T00:00:00Z"}))[0] == 200
    assert (await ask("POST", f"{path}/deactivate"))[1]["state"] == "inactive"
    _, after = await ask("PATCH", path, {"target_shed_kw": 30})
    assert (await ask("GET", path, role=Role.VIEWER)) == (200, after)
    assert (after["name"], after["target_shed_kw"]) == ("Night", 30.0)
    assert (await ask("DELETE", path))[0] == 204
    assert (await ask("GET", path))[0] == 404
    assert [one.active for one in api.dr.programs] == [False, True, True, False, False]
    assert api.dr.programs_gone == [made["program_id"]]


async def test_a_program_that_is_over_cannot_be_activated(api: Api, ask: Caller) -> None:
    _, made = await ask("POST", "/api/programs", PROGRAM)
    api.clock.now += 31 * 86_400_000
    status, problem = await ask("POST", f"/api/programs/{made['program_id']}/activate")
    assert (status, problem["code"]) == (409, "conflict")
    assert len(api.dr.programs) == 1


PRICED = {"kind": "price_elastic", "target_shed_kw": 0, "incentive_per_kwh": 0.3}


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"name": " "}, 422, "the name is empty"),
        ({"name": "a\nb"}, 422, "the name is refused"),
        ({"kind": "other"}, 422, "$.kind"),
        ({"end": "2026-01-01T00:00:00Z"}, 422, "must be after start"),
        ({"start": "2025-01-01T00:00:00Z", "end": "2025-12-31T00:00:00Z"}, 422, "that is past"),
        ({"end": "2050-01-01T00:00:00Z"}, 422, "at most 3660 days"),
        ({"end": "9999-12-31T23:59:59-10:00"}, 422, "outside of time"),
        ({"target_shed_kw": 0}, 422, "says how much"),
        ({"target_shed_kw": -1}, 422, "is a magnitude"),
        ({"incentive_per_kwh": -1}, 422, "must be 0 to"),
        (PRICED | {"incentive_per_kwh": 0}, 422, "has no price"),
        (PRICED | {"target_shed_kw": 1}, 422, "follows from its price"),
        ({"feeder_ids": ["nope"]}, 404, "does not exist"),
        ({"program_id": "p"}, 422, "unknown field"),
    ],
)
async def test_a_program_that_cannot_be_meant_is_refused(
    body: dict[str, Any], status: int, text: str, api: Api, ask: Caller
) -> None:
    got, problem = await ask("POST", "/api/programs", PROGRAM | body)
    assert got == status, problem
    assert text in f"{problem['detail']}; {problem['rule']}"
    assert api.events.programs == {}


async def test_programs_are_filtered_and_paged(ask: Caller) -> None:
    kinds: list[dict[str, object]] = [{}, {"active": True}, PRICED, {"active": True, "start": "2026-01-02T00:00:00Z"}]
    for n, more in enumerate(kinds):
        await ask("POST", "/api/programs", PROGRAM | {"name": f"p{n}", "feeder_ids": ["feeder-1"] * (n == 0)} | more)

    async def names(query: str) -> list[str]:
        return [one["name"] for one in (await ask("GET", f"/api/programs?sort=name{query}"))[1]["programs"]]

    assert await names("") == ["p0", "p1", "p2", "p3"]
    assert await names("&state=bearing") == ["p1"]
    assert await names("&state=waiting") == ["p3"]
    assert await names("&kind=price_elastic") == ["p2"]
    assert await names("&feeder_id=feeder-2") == ["p1", "p2", "p3"]
    _, first = await ask("GET", "/api/programs?sort=name&limit=3")
    assert await names(f"&limit=3&cursor={first['next_cursor']}") == ["p3"]
