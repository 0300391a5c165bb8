"""What a preview says, against what then happens; with the real engine."""

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from derms.api.schemas.events import PreviewBasis
from derms.model import DrEvent, DrProgram, Feeder, FeederMode, ProgramKind
from derms.view.previews import LivePreviews
from tests.fakes_contract import run_virtually
from tests.plant import PARAMS, Rig, Site, running_rig

FEEDER = Feeder(feeder_id="feeder-1", import_limit_kw=40.0)


def previews(rig: Rig) -> LivePreviews:
    return LivePreviews(fleet=rig.fleet, loop=rig.loop, clock=rig.clock, params=PARAMS)


def event(rig: Rig, *, in_s: float = 0.0, import_limit_kw: float) -> DrEvent:
    now = datetime.fromtimestamp(rig.clock.now_ms() / 1000, UTC)
    start = now + timedelta(seconds=in_s)
    return DrEvent(
        event_id="dr-1",
        feeder_ids=("feeder-1",),
        start=start,
        end=start + timedelta(hours=1),
        created_at=now,
        import_limit_kw=import_limit_kw,
    )


def live_state(rig: Rig) -> bytes:
    tree = rig.loop.trees[0]
    return pickle.dumps((tree.memory, tree.picture, rig.loop.events, rig.fleet.leases, rig.loop.programs))


def test_what_is_previewed_is_what_then_happens_and_nothing_live_changes(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.background_kw = 4.0
            rig.sites = [Site(f"ev-{n}", 7.0) for n in range(4)]
            await rig.live(60)
            assert rig.head_kw == pytest.approx(32.0, abs=0.1)  # 4 + 4 x 7
            before = live_state(rig)
            asked = event(rig, import_limit_kw=18.0)
            seen = previews(rig).of_event(asked)
            assert live_state(rig) == before
            (feeder,) = seen.feeders
            assert (seen.feasible, feeder.basis, feeder.sends) == (True, PreviewBasis.DECISION, True)
            assert (feeder.import_limit_kw, feeder.shortfall_kw) == (18.0, 0.0)
            assert feeder.load_before_kw == pytest.approx(32.0, abs=0.1)
            assert feeder.load_after_kw == pytest.approx(32.0 - seen.relief_kw, abs=0.1)
            rig.loop.add_event(asked)
            await rig.live(12)
            assert rig.head_kw == pytest.approx(feeder.load_after_kw, abs=0.5)

    run_virtually(main())


def test_what_cannot_be_held_says_by_how_much(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.background_kw = 10.0
            rig.sites = [Site("ev-0", 7.0)]
            await rig.live(60)
            seen = previews(rig).of_event(event(rig, import_limit_kw=6.0))
            assert seen.feasible is False
            assert seen.shortfall_kw == pytest.approx(4.0, abs=0.1)  # 10 cannot be told, 6 are allowed
            (device,) = seen.devices
            assert (device.device_id, device.expected_kw) == ("ev-0", 0.0)
            assert device.relief_kw == pytest.approx(7.0, abs=0.1)

    run_virtually(main())


def test_a_later_start_and_a_silent_mode_are_said(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(
            tmp_path, Feeder(feeder_id="feeder-1", import_limit_kw=40.0, mode=FeederMode.ADVISE)
        ) as rig:
            rig.sites = [Site("ev-0", 7.0)]
            await rig.live(20)
            seen = previews(rig).of_event(event(rig, in_s=3600, import_limit_kw=6.0))
            assert [one.basis for one in seen.feeders] == [PreviewBasis.DECISION_AHEAD]
            assert [one.sends for one in seen.feeders] == [False]
            assert len(seen.notes) == 2

    run_virtually(main())


def test_before_any_tick_readings_are_all_there_is(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(
            tmp_path, Feeder(feeder_id="feeder-1", import_limit_kw=40.0, mode=FeederMode.OFF)
        ) as rig:
            rig.sites = [Site("ev-0", 7.0)]
            await rig.live(5)
            seen = previews(rig).of_event(event(rig, import_limit_kw=6.0))
            assert [one.basis for one in seen.feeders] == [PreviewBasis.READINGS]
            assert (seen.feasible, seen.shortfall_kw, seen.feeders[0].load_after_kw) == (None, None, None)

    run_virtually(main())


def test_a_price_tells_its_share_and_sheds_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_rig(tmp_path, FEEDER) as rig:
            rig.sites = [Site(f"ev-{n}", 7.0) for n in range(4)]
            await rig.live(60)
            now = datetime.fromtimestamp(rig.clock.now_ms() / 1000, UTC)
            program = DrProgram(
                program_id="p", name="P", kind=ProgramKind.PRICE_ELASTIC, start=now, end=now + timedelta(hours=1),
                incentive_per_kwh=0.15,
            )  # fmt: skip
            seen = previews(rig).of_program(program)
            # 0.5 x 0.15 / 0.30 = 0.25 of 28 kW
            assert seen.shed_fraction == pytest.approx(0.25)
            assert seen.relief_kw == pytest.approx(7.0, abs=0.2)

    run_virtually(main())
