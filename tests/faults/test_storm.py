"""One fault after another upon a running pair; an observer on the wire and the tables judges what was lost."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.rig import FAULTS, NEEDS_ROOT, Rig
from tests.processes import ROOT, Programs
from tests.stage import Broker, Database

pytestmark = pytest.mark.faults

_TIMES = int(os.environ.get("FAULT_TIMES", "3"))
_MARK = "<!-- written by `make faults` -->\n"
_SHORT = (
    "the controller that commands is killed (-9)",
    "the broker is killed (-9)",
    "the database is killed (-9)",
)


@pytest.fixture
def rig(
    programs: Programs, stage_broker: Broker, database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Rig]:
    seed = int(os.environ.get("FAULT_SEED", "1"))
    with Rig(programs, stage_broker, database, tmp_path, random.Random(seed)) as rig:
        yield rig


@pytest.mark.timeout(300)
def test_kills_one_after_another_lose_nothing_and_break_no_limit(rig: Rig) -> None:
    for fault in _SHORT:
        rig.do(fault)
    rig.judge()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_fault_again_and_again_in_any_order_loses_nothing_and_breaks_no_limit(rig: Rig) -> None:
    faults = [fault for fault in FAULTS if fault not in NEEDS_ROOT or os.geteuid() == 0]
    todo = [fault for fault in faults if os.environ.get("FAULT_ONLY", "") in fault] * _TIMES
    rig.rng.shuffle(todo)
    for fault in todo:
        rig.do(fault)
    rig.judge()
    page = os.environ.get("FAULT_PAGE")
    if page:
        path = ROOT / page
        path.write_text(path.read_text(encoding="utf-8").split(_MARK)[0] + _MARK + rig.book.page(), encoding="utf-8")
