import asyncio
from collections.abc import Sequence

import pytest

from derms.model import Device, DeviceKind, Feeder
from derms.registrar import Registrar
from derms.runtime import running
from tests.fakes_contract import run_virtually
from tests.fakes_store import FakeStore


def _device(priority: int = 5, *, device_id: str = "ev-1", feeder_id: str = "feeder-1") -> Device:
    return Device(device_id=device_id, kind=DeviceKind.EV, feeder_id=feeder_id, priority=priority)


def _store() -> FakeStore:
    store = FakeStore()
    store.feeders["feeder-1"] = Feeder(feeder_id="feeder-1")
    return store


def test_registrations_are_written_behind_and_the_newest_counts() -> None:
    async def main() -> None:
        store = _store()
        registrar = Registrar(store)
        async with running({"registrar": registrar.run}):
            registrar.put(_device(1))
            registrar.put(_device(2))
            await asyncio.sleep(1.0)
        assert store.devices["ev-1"].priority == 2

    run_virtually(main())


def test_a_store_that_is_away_is_tried_again_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = _store()
        store.away = True
        registrar = Registrar(store)
        async with running({"registrar": registrar.run}):
            registrar.put(_device())
            await asyncio.sleep(30.0)
            assert not store.devices
            store.away = False
            await asyncio.sleep(10.0)
            assert "ev-1" in store.devices
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1

    run_virtually(main())


def test_a_fleet_that_appears_at_once_is_written_in_parts() -> None:
    async def main() -> None:
        store, sizes = _store(), []
        save = store.save_devices

        async def counted(devices: Sequence[Device]) -> None:
            sizes.append(len(devices))
            await save(devices)

        store.save_devices = counted  # type: ignore[method-assign]  # to see how many come at once
        registrar = Registrar(store)
        async with running({"registrar": registrar.run}):
            for number in range(4_500):
                registrar.put(_device(device_id=f"ev-{number}"))
            await asyncio.sleep(10.0)
        assert (len(store.devices), sizes) == (4_500, [2_000, 2_000, 500])

    run_virtually(main())


def test_one_that_can_never_be_stored_is_said_and_does_not_hold_up_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = _store()
        registrar = Registrar(store)
        async with running({"registrar": registrar.run}):
            registrar.put(_device(device_id="bad", feeder_id="no-such"))
            registrar.put(_device())
            await asyncio.sleep(10.0)
        assert list(store.devices) == ["ev-1"]
        assert "no feeder no-such" in caplog.text

    run_virtually(main())
