"""What every list and every thing looks like in every format, byte for byte: tests/golden/cli.

`make golden` writes them anew; read the difference before it is committed.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from derms.model import DeviceKind, Origin, Role
from tests.asking import Asker
from tests.fakes_api import Api, running_api
from tests.shell import Shell
from tests.stage import Backstage

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"
ASKED = {
    "devices": "device list",
    "devices-sorted": "device list --type ev --sort -p_actual_kw",
    "devices-in-watts": "device list --units w",
    "device": "device show ev-1",
    "feeders": "feeder list",
    "feeder": "feeder show feeder-1",
    "events": "dr list --state all",
    "event": "dr show dr-1",
    "programs": "program list",
    "program": "program show drp-2",
    "nobody": "device list --match nobody",
}
FORMATS = ("table", "json", "yaml", "csv", "name")


@contextlib.asynccontextmanager
async def _served() -> AsyncIterator[Api]:
    async with running_api(lively=True) as api:
        live = api.live
        live.register("ev-2", feeder_id="feeder-2", site_id="Car park", priority=9)
        live.register("ev-1", site_id="Zürich", origin=Origin.PHYSICAL, p_min_kw=1.4)
        live.register("bat-1", DeviceKind.BATTERY, "feeder-3", p_export_max_kw=5.0, capacity_kwh=10.0)
        live.register("pv-1", DeviceKind.PV)
        live.hear("bat-1", -2.0, soc=0.5)
        api.clock.now += 10_000  # stale after 6 s
        live.hear("ev-1", 3.456, soc=0.25, p_setpoint_kw=3.6, seq=1)
        live.hear("ev-2", 0.0, soc=0.75)
        async with aiohttp.ClientSession() as http:
            ask = Asker(api, http)
            for path, body in (
                ("/api/events", {"feeder_id": "feeder-1", "start": "2026-01-02T17:00:00Z", "duration_s": 7200,
                                 "import_limit_kw": 12.5, "reason": "evening, 'peak'"}),
                ("/api/programs", {"name": "Evening", "kind": "fixed_cap", "start": "2026-01-02T17:00:00Z",
                                   "end": "2026-03-02T19:00:00Z", "target_shed_kw": 4.0, "active": True}),
            ):  # fmt: skip
                status, told = await ask("POST", path, body)
                assert status == 201, told
        yield api


@pytest.fixture(scope="module")
def shell(backstage: Backstage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Somebody at a controller in which time stands still."""
    stack = contextlib.AsyncExitStack()
    api = backstage.run(stack.enter_async_context(_served()))
    token = api.authenticator.issue("ann", Role.OPERATOR).token
    try:
        yield Shell(tmp_path_factory.mktemp("home"), api.served.url, {"DERMS_TOKEN": token, "DERMS_UTC": "1"})
    finally:
        backstage.run(stack.aclose())


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize("name", ASKED)
def test_it_is_written_so(shell: Shell, name: str, how: str) -> None:
    ran = shell.derms(*ASKED[name].split(), "-o", how)
    assert ran.code == 0, ran.err
    path = GOLDEN / f"{name}.{'txt' if how == 'table' else how}"
    if os.environ.get("DERMS_TEST_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(ran.out, encoding="utf-8")
    assert ran.out == path.read_text(encoding="utf-8")


def test_every_golden_file_has_its_reader() -> None:
    wanted = {f"{name}.{'txt' if how == 'table' else how}" for name in ASKED for how in FORMATS}
    assert {path.name for path in GOLDEN.iterdir()} == wanted
