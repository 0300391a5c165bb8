"""Each file beside this one is a scenario: a fleet, limits, events, faults, and what must come of them."""

from pathlib import Path

import pytest

from tests.fakes_contract import run_virtually
from tests.scenarios.expect import misses
from tests.scenarios.stage import Stage
from tests.scenarios.story import read

FILES = sorted(Path(__file__).parent.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_scenario_comes_out_as_its_file_expects(path: Path, tmp_path: Path) -> None:
    async def main() -> None:
        stage = Stage(read(path), tmp_path)
        await stage.play()
        assert misses(stage) == []

    run_virtually(main())
