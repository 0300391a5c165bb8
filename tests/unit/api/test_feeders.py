"""Feeders over a real server, on a real fleet and loop: what they come to, and what may be changed."""

from typing import Any

import pytest

from derms.model import DeviceKind, Feeder, Policy, Role
from tests.asking import Asker
from tests.live import LiveController


async def test_a_summary_counts_and_sums_all_that_lies_below(ask: Asker, live: LiveController) -> None:
    live.register("ev-1")
    live.register("ev-2", feeder_id="feeder-2")
    live.register("pv-2", DeviceKind.PV, feeder_id="feeder-2")
    live.register("bat-3", DeviceKind.BATTERY, feeder_id="feeder-3")
    live.hear("ev-1", 3.0)
    live.hear("ev-2", 4.0)
    live.hear("pv-2", -2.5)
    _, body = await ask("GET", "/api/feeder/summary")
    before = {one["feeder_id"]: one for one in body["feeders"]}
    assert (before["feeder-1"]["at"], before["feeder-1"]["envelope_import_kw"]) == (None, None)
    live.loop.tick()
    _, body = await ask("GET", "/api/feeder/summary")
    first, second, third = body["feeders"]
    assert (first["ev_kw"], first["pv_kw"], first["devices_total"]) == (7.0, -2.5, 3)
    assert (second["ev_kw"], second["pv_kw"], second["devices_by_type"]) == (4.0, -2.5, {"ev": 1, "pv": 1})
    assert (third["battery_kw"], third["freshness"], third["policy"]) == (0.0, {"never": 1}, "deficit")
    assert (first["parent_id"], second["parent_id"], first["margin_kw"]) == (None, "feeder-1", 1.0)
    assert (first["export_limit_source"], first["export_headroom_kw"]) == ("static", None)
    assert first["load_kw"] == pytest.approx(4.5)
    assert first["envelope_import_kw"] is not None
    assert (first["export_shortfall_kw"], first["default_over_kw"]) == (0.0, 0.0)


async def test_feeders_are_listed_a_page_at_a_time_with_what_a_file_says_of_them(ask: Asker) -> None:
    _, body = await ask("GET", "/api/feeders", query={"limit": "2"}, role=Role.VIEWER)
    assert [one["feeder_id"] for one in body["feeders"]] == ["feeder-1", "feeder-2"]
    assert body["feeders"][0]["declared"] == ["import_limit_kw"]
    _, rest = await ask("GET", "/api/feeders", query={"limit": "2", "cursor": body["next_cursor"]})
    assert ([one["feeder_id"] for one in rest["feeders"]], rest["next_cursor"]) == (["feeder-3"], None)
    _, below = await ask("GET", "/api/feeders", query={"parent_id": "feeder-1"})
    assert [one["feeder_id"] for one in below["feeders"]] == ["feeder-2"]
    assert (await ask("GET", "/api/feeders/feeder-3"))[1]["import_limit_kw"] is None
    assert (await ask("GET", "/api/feeders/nope"))[0] == 404


async def test_a_change_is_committed_then_told_and_touches_only_what_was_sent(ask: Asker, live: LiveController) -> None:
    patch = {"import_limit_kw": 9.0, "export_limit_kw": 4.0, "policy": "fair", "name": "Nord"}
    status, feeder = await ask("PATCH", "/api/feeders/feeder-1", patch, role=Role.OPERATOR)
    assert status == 200, feeder
    assert (feeder["import_limit_kw"], feeder["margin_kw"], feeder["declared"]) == (9.0, 1.0, ["import_limit_kw"])
    assert live.store.feeders["feeder-1"].policy is Policy.FAIR
    assert live.store.audit == [("a-operator", "feeder-1", "r-1")]
    assert (await ask("GET", "/api/feeders/feeder-2"))[1]["policy"] == "fair"  # its root's
    live.loop.tick()
    view = live.loop.feeders["feeder-1"].view
    assert view is not None
    assert (view.import_limit_kw, view.export_limit_kw) == (9.0, 4.0)
    status, feeder = await ask("PATCH", "/api/feeders/feeder-1", {"import_limit_kw": None})
    assert feeder["import_limit_kw"] is None
    await ask("PATCH", "/api/feeders/feeder-1", {})
    assert len(live.store.audit) == 2  # nothing was sent, nothing is written


async def test_a_change_that_the_next_start_undoes_is_said_in_the_log(
    ask: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    await ask("PATCH", "/api/feeders/feeder-1", {"margin_kw": 2.0})
    assert caplog.records == []
    await ask("PATCH", "/api/feeders/feeder-1", {"import_limit_kw": 9.0})
    (record,) = caplog.records
    assert vars(record)["fields"] == ["import_limit_kw"]


async def test_a_change_that_is_not_committed_is_not_told(ask: Asker, live: LiveController) -> None:
    live.store.away = True
    assert (await ask("PATCH", "/api/feeders/feeder-1", {"import_limit_kw": 9.0}))[0] == 503
    assert live.registry.feeders()["feeder-1"].import_limit_kw == 20.0


async def test_feeders_are_created_and_moved_and_the_tree_follows(ask: Asker, live: LiveController) -> None:
    status, feeder = await ask(
        "POST", "/api/feeders", {"feeder_id": "garage", "parent_id": "feeder-2", "import_limit_kw": 5.0}
    )
    assert (status, feeder["policy"], feeder["mode"], feeder["declared"]) == (201, "deficit", "auto", [])
    assert live.store.feeders["garage"] == Feeder(feeder_id="garage", parent_id="feeder-2", import_limit_kw=5.0)
    assert [one.feeder_id for one in live.loop.trees[0].feeders] == ["feeder-1", "feeder-2", "garage"]
    assert (await ask("POST", "/api/feeders", {"feeder_id": "garage"}))[0] == 409
    assert (await ask("PATCH", "/api/feeders/feeder-2", {"parent_id": None}))[0] == 200
    assert [tree.feeders[0].feeder_id for tree in live.loop.trees] == ["feeder-1", "feeder-2", "feeder-3"]
    live.loop.tick()
    assert live.loop.feeders["garage"].view is not None


REFUSED: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("PATCH", "/feeder-1", {"parent_id": "feeder-2"}, 422, "feeder-1 -> feeder-2 -> feeder-1"),
    ("PATCH", "/feeder-1", {"parent_id": "feeder-1"}, 422, "feeder-1 -> feeder-1"),
    ("PATCH", "/feeder-1", {"parent_id": "nope"}, 404, "the feeder 'nope' does not exist"),
    ("PATCH", "/feeder-1", {"margin_kw": 20.0}, 422, "it must leave something of the limit, which is 20"),
    ("PATCH", "/feeder-1", {"import_limit_kw": 1.0}, 422, "margin_kw is 1"),
    ("PATCH", "/feeder-2", {"policy": "equal"}, 422, "has the parent feeder-1"),
    ("PATCH", "/feeder-1", {"import_limit_kw": -1.0}, 422, "$.import_limit_kw"),
    ("PATCH", "/feeder-1", {"mode": "on"}, 422, "$.mode"),
    ("PATCH", "/feeder-1", {"mode": None}, 422, "$.mode"),
    ("PATCH", "/feeder-1", {"name": "a\tb"}, 422, "name is refused"),
    ("PATCH", "/feeder-1", {"feeder_id": "x"}, 422, "unknown field"),
    ("PATCH", "/nope", {"mode": "off"}, 404, "does not exist"),
    ("POST", "", {"feeder_id": "a b"}, 422, "$.feeder_id"),
    ("POST", "", {"feeder_id": "a", "parent_id": "a"}, 422, "a -> a"),
    ("POST", "", {"feeder_id": "a", "parent_id": "feeder-1", "policy": "fair"}, 422, "has the parent feeder-1"),
    ("POST", "", {"feeder_id": "a", "parent_id": "nope"}, 404, "does not exist"),
    ("POST", "", {"feeder_id": "a", "export_limit_kw": 2.0, "margin_kw": 2.0}, 422, "which is 2"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "text"), REFUSED)
async def test_what_would_make_no_forest_or_leaves_nothing_is_refused(
    method: str, path: str, body: dict[str, Any], status: int, text: str, ask: Asker, live: LiveController
) -> None:
    got, problem = await ask(method, f"/api/feeders{path}", body)
    assert got == status, problem
    assert text in f"{problem['detail']}; {problem['rule']}"
    assert live.store.audit == []


@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", "/api/feeders", {"feeder_id": "a"}), ("PATCH", "/api/feeders/feeder-1", {})]
)
async def test_a_viewer_may_not(method: str, path: str, body: object, ask: Asker) -> None:
    assert (await ask(method, path, body, role=Role.VIEWER))[0] == 403
