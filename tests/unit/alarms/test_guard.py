"""Alarms put together: from a condition to the store and to a webhook, and what is told of the address."""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import ValidationError

from derms.alarms.guard import Alerts, raised_before
from derms.alarms.watch import Watched
from derms.metrics import Metrics
from derms.model import Feeder
from derms.runtime import running
from derms.settings import IsolatedSettings
from tests.fakes_contract import run_virtually
from tests.fakes_store import FakeStore
from tests.plant import PARAMS, running_rig

SECRET = "https://alerts.example/t0ken"


def test_the_address_of_the_webhook_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = IsolatedSettings(alert_webhook_url=SECRET)  # type: ignore[arg-type]  # as it comes from outside
    assert settings.alert_webhook_url is not None
    assert settings.alert_webhook_url.get_secret_value() == SECRET
    assert "t0ken" not in f"{settings} {settings!r} {settings.describe()}"
    assert "t0ken" not in repr(Alerts(url=SECRET, source="c", cooldown_s=1.0))


@pytest.mark.parametrize(
    "url", ["ftp://alerts.example/t0ken", "https:///t0ken", "t0ken", "http://alerts.example:0/t0ken"]
)
def test_an_address_that_cannot_be_one_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        IsolatedSettings(alert_webhook_url=url)  # type: ignore[arg-type]  # as it comes from outside
    assert "t0ken" not in str(refused.value)


def test_what_a_broker_away_leaves_in_the_store_and_is_recalled(tmp_path: Path) -> None:
    async def main() -> None:
        store, away = FakeStore(), [True]
        async with running_rig(tmp_path, Feeder(feeder_id="feeder-1")) as rig:
            watched = Watched(
                loop=rig.loop, recorder=rig.recorder, spool_max_bytes=1 << 20, broker_away=lambda: away[0],
                interval_s=PARAMS.interval_s,
            )  # fmt: skip
            guard = await raised_before(store, watched, None, clock=rig.clock, metrics=Metrics(version="1"))
            async with running(guard.tasks):
                await rig.live(9)
                assert guard.desk.records() == []
                await rig.live(4)
                assert [one.alarm_id for one in guard.desk.records()] == ["broker-away.broker"]
                assert list(store.alarms) == ["broker-away.broker"]
            again = await raised_before(store, watched, None, clock=rig.clock, metrics=Metrics(version="1"))
            away[0] = False
            async with running(again.tasks):
                await rig.live(20)
                assert [one.state.value for one in again.desk.records()] == ["unacknowledged"]
                await rig.live(20)
                assert [one.state.value for one in again.desk.records()] == ["returned_unacknowledged"]
            assert [line.change.value for line in store.alarm_lines] == ["raised", "returned"]

    run_virtually(main())


def test_who_guards_no_more_counts_none_of_the_alarms_it_had_raised(tmp_path: Path) -> None:
    async def main() -> None:
        guarding, metrics = [True], Metrics(version="1")
        async with running_rig(tmp_path, Feeder(feeder_id="feeder-1")) as rig:
            watched = Watched(
                loop=rig.loop, recorder=rig.recorder, spool_max_bytes=1 << 20, broker_away=lambda: True,
                interval_s=PARAMS.interval_s, guards=lambda: guarding[0],
            )  # fmt: skip
            guard = await raised_before(FakeStore(), watched, None, clock=rig.clock, metrics=metrics)
            counted = []
            async with running(guard.tasks):
                for guarding[0] in (True, False, True):
                    await rig.live(13)
                    counted.append(metrics.registry.get_sample_value("derms_alarms", {"kind": "broker-away"}))
            assert counted == [1.0, 0.0, 1.0]

    run_virtually(main())


async def test_the_watchdogs_word_reaches_the_webhook(tmp_path: Path) -> None:
    got: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        async with running_rig(tmp_path, Feeder(feeder_id="feeder-1")) as rig:
            watched = Watched(
                loop=rig.loop, recorder=rig.recorder, spool_max_bytes=1 << 20, broker_away=lambda: False,
                interval_s=PARAMS.interval_s,
            )  # fmt: skip
            metrics = Metrics(version="1")
            alerts = Alerts(url=url, source="c-1", cooldown_s=300.0)
            guard = await raised_before(FakeStore(), watched, alerts, clock=rig.clock, metrics=metrics)
            assert set(guard.tasks) == {"alarms", "alarm-keeper", "webhook"}
            await asyncio.to_thread(guard.watchdog._on_stall, 42.0)
    finally:
        await runner.cleanup()
    (body,) = [json.loads(one) for one in got]
    assert (body["source"], body["change"], body["alarm"]["alarm_id"]) == ("c-1", "raised", "loop-stalled.process")
    assert "has not moved for 42 s" in body["alarm"]["cause"]
    sent = metrics.registry.get_sample_value("derms_webhook_deliveries_total", {"result": "delivered"})
    assert sent == 1.0
