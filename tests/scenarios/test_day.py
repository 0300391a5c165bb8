"""A day of 500 devices with every fault there is; what may be excused is told in `excuse`.

Its first hour always; the whole day, and hours of other days that begin at other times, by `make test-slow`.
"""

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.fakes_contract import run_virtually
from tests.scenarios.expect import misses
from tests.scenarios.stage import Stage
from tests.scenarios.story import Story, read

DAY = Path(__file__).parent / "days" / "feeder_of_500.toml"
HOUR_S = 3600.0


def _misses(story: Story, spool: Path) -> list[str]:
    found: list[str] = []

    async def main() -> None:
        stage = Stage(story, spool, keep_all=False)
        await stage.play()
        assert len(stage.devices.ids) == 500
        found.extend(misses(stage))

    run_virtually(main())
    return found


def _hour(seed: int, from_h: float) -> Story:
    return replace(read(DAY), seconds=HOUR_S, seed=seed, from_h=from_h, expect=[])


@pytest.mark.timeout(600)
def test_no_limit_is_broken_for_longer_than_a_tick_in_an_hour_of_500_devices_with_every_fault(tmp_path: Path) -> None:
    told = read(DAY)
    assert _misses(_hour(told.seed, told.from_h), tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 14))
def test_nor_in_an_hour_of_another_day(seed: int, tmp_path: Path) -> None:
    assert _misses(_hour(seed, 2.0 * seed), tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_nor_in_a_whole_day(tmp_path: Path) -> None:
    assert _misses(read(DAY), tmp_path) == []
