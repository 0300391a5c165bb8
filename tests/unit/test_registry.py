"""What stands in the registry after a start, and what the fleet knows then."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derms.columns import Override
from derms.errors import ConfigError
from derms.fleet import Fleet
from derms.model import Author, Device, DeviceKind, Feeder, FeederMode, OverrideKind, Policy
from derms.ports import RecordBatch
from derms.registry import restore
from derms.settings import Settings
from derms.settings_load import load_settings
from tests.fakes_store import T0_MS, FakeStore, override, setpoint


class Stopped:
    """A clock at the hour the fakes live at."""

    at_s = 100.0

    def now_ms(self) -> int:
        return T0_MS + round((self.at_s - 100.0) * 1000)

    def monotonic_s(self) -> float:
        return self.at_s


def told(**flags: Any) -> Settings:
    return load_settings(isolated=True, **flags)


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "feeders.toml"
    path.write_text(text)
    return path


TREE = """
[[feeder]]
id = "feeder-1"
import_limit_kw = 100
policy = "fair"
[[feeder]]
id = "garage"
parent = "feeder-1"
import_limit_kw = 40
"""


async def feeders_after(store: FakeStore, settings: Settings) -> list[Feeder]:
    _, feeders = await restore(store, settings, [], Stopped())
    assert {feeder.feeder_id: feeder for feeder in feeders} == store.feeders
    return feeders


async def test_the_default_feeder_is_made_once_and_then_only_changed_by_what_is_said_outright() -> None:
    store = FakeStore()
    first = Feeder(feeder_id="feeder-1", import_limit_kw=250.0)
    assert await feeders_after(store, told()) == [first]
    store.feeders["feeder-1"] = Feeder(feeder_id="feeder-1", import_limit_kw=90.0, mode=FeederMode.OFF)
    assert await feeders_after(store, told()) == [store.feeders["feeder-1"]]
    changed = await feeders_after(store, told(feeder_mode="advise", feeder_policy="fair", feeder_margin_kw=2.0))
    assert changed == [
        Feeder(
            feeder_id="feeder-1", import_limit_kw=90.0, margin_kw=2.0, mode=FeederMode.ADVISE, policy=Policy.FAIR
        )
    ]  # fmt: skip


async def test_a_tree_is_written_from_its_file_and_what_is_not_in_it_stays(tmp_path: Path) -> None:
    store = FakeStore()
    await store.save_feeders([Feeder(feeder_id="old"), Feeder(feeder_id="garage", parent_id="old", name="Garage")])
    settings = told(feeders_file=file(tmp_path, TREE))
    expected = [
        Feeder(feeder_id="feeder-1", import_limit_kw=100.0, policy=Policy.FAIR),
        Feeder(feeder_id="old"),
        Feeder(feeder_id="garage", parent_id="feeder-1", name="Garage", import_limit_kw=40.0),
    ]
    assert await feeders_after(store, settings) == expected
    assert await feeders_after(store, settings) == expected


async def test_a_file_without_the_default_feeder_is_refused_unless_that_is_there_already(tmp_path: Path) -> None:
    path = file(tmp_path, "[[feeder]]\nid = 'a'\n[[feeder]]\nid = 'b'\n")
    store = FakeStore()
    with pytest.raises(
        ConfigError, match=r"feeder_id is feeder-1, which .* does not declare.*set DERMS_FEEDER_ID.*a, b"
    ):
        await restore(store, told(feeders_file=path), [], Stopped())
    assert store.feeders == {}
    found = await feeders_after(store, told(feeders_file=path, feeder_id="a"))
    assert [feeder.feeder_id for feeder in found] == ["a", "b"]
    await store.save_feeders([Feeder(feeder_id="feeder-1")])
    assert len(await feeders_after(store, told(feeders_file=path))) == 3


async def test_a_setting_and_the_file_may_not_say_two_things_of_one_feeder(tmp_path: Path) -> None:
    path = file(tmp_path, TREE)
    with pytest.raises(ConfigError, match=r"feeder_import_limit_kw is 30.*says 100.* of feeder-1"):
        await restore(FakeStore(), told(feeders_file=path, feeder_import_limit_kw=30.0), [], Stopped())
    agreed = await feeders_after(
        FakeStore(), told(feeders_file=path, feeder_import_limit_kw=100.0, feeder_margin_kw=5.0)
    )
    assert (agreed[0].import_limit_kw, agreed[0].margin_kw) == (100.0, 5.0)


def overridden(fleet: Fleet, clock: Stopped) -> dict[str, tuple[int, float]]:
    rows = fleet.rows_of("feeder-1")
    seen = fleet.columns(rows, np.zeros_like(rows), now_s=clock.monotonic_s(), now_ms=clock.now_ms())
    ids = [fleet.devices[row].device_id for row in rows.tolist()]
    return {one: (int(code), float(kw)) for one, code, kw in zip(ids, seen.override, seen.override_kw, strict=True)}


async def test_leases_and_overrides_that_still_live_are_resumed_and_end_in_time() -> None:
    store, clock = FakeStore(), Stopped()
    await store.save_feeders([Feeder(feeder_id="feeder-1")])
    await store.save_devices(
        [Device(device_id=one, kind=DeviceKind.EV, feeder_id="feeder-1") for one in ("a", "b", "c")]
    )
    await store.put_override(override("a", until_h=1, p_kw=3.5), by=Author("x", "r"))
    await store.put_override(override("b", until_h=2, kind=OverrideKind.BLOCK, p_kw=None), by=Author("x", "r"))
    await store.put_override(override("c", until_h=0), by=Author("x", "r"))
    await store.write(
        RecordBatch(setpoints=[setpoint(1, device_id="a"), setpoint(2, device_id="b", p_setpoint_kw=1.0)])
    )
    fleet, _ = await restore(store, told(), [], clock)
    assert [lease.p_setpoint_kw for lease in fleet.leases if lease is not None] == [2.0, 1.0]
    assert overridden(fleet, clock) == {
        "a": (Override.HOLD, 3.5),
        "b": (Override.BLOCK, pytest.approx(np.nan, nan_ok=True)),
        "c": (Override.NONE, pytest.approx(np.nan, nan_ok=True)),
    }
    clock.at_s += 3600.0
    assert [code for code, _ in overridden(fleet, clock).values()] == [Override.NONE, Override.BLOCK, Override.NONE]
    clock.at_s += 3600.0
    assert [code for code, _ in overridden(fleet, clock).values()] == [Override.NONE] * 3
