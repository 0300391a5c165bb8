"""Two executables as a driver: real processes, good ones and others."""

import asyncio
import json
import math
import os
import random
import stat
from pathlib import Path
from typing import Any

import pytest

from agent.driver import Capabilities, Driver, Reading
from agent.drivers import open_driver
from derms.errors import ConfigError, DeviceError, DeviceFaultError
from derms.model import DeviceKind, DeviceStatus
from tests.brokers import until
from tests.processes import alive

BATTERY = Capabilities(kind=DeviceKind.BATTERY, p_import_max_kw=5, p_export_max_kw=5)


class Hand:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.s = 100.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.s


def program(directory: Path, name: str, body: str, *, executable: bool = True) -> None:
    file = directory / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    if executable:
        file.chmod(file.stat().st_mode | stat.S_IXUSR)


def driver(
    directory: Path, read: str = "echo '{\"p_actual_kw\": 1.5}'", apply: str | None = None, **options: Any
) -> Driver:
    program(directory, "read", read)
    table = {"kind": "command", "read": ["./read"], "timeout_s": 5.0, **options}
    if apply is not None:
        program(directory, "apply", apply)
        table["apply"] = ["./apply", "--unit", "7"]
    clock = table.pop("clock", Hand())
    return open_driver(table, BATTERY, clock=clock, rng=random.Random(1), directory=directory)


async def test_what_the_first_program_prints_is_the_reading(tmp_path: Path) -> None:
    said = {"p_actual_kw": -1.25, "soc": 0.5, "status": "local", "ready_by": 1767250800000, "p_max_kw": 4,
            "capacity_kwh": 9.5, "energy_needed_kwh": 2}  # fmt: skip
    reading = await driver(tmp_path, f"echo '{json.dumps(said)}'").read()
    assert reading == Reading(
        p_actual_kw=-1.25, soc=0.5, status=DeviceStatus.LOCAL, ready_by_ms=1767250800000, p_max_kw=4.0,
        capacity_kwh=9.5, energy_needed_kwh=2.0,
    )  # fmt: skip
    turned = driver(tmp_path, "echo '{\"p_actual_w\": 2500}'", unit="W", sign="generation")
    assert (await turned.read()).p_actual_kw == -2.5


async def test_the_second_program_is_told_power_and_seconds_when_something_changed(tmp_path: Path) -> None:
    clock = Hand()
    device = driver(tmp_path, apply='echo "$@" >> told; cat >> given', clock=clock, sign="generation", unit="W")
    await device.apply(-2.5, 90.0)
    clock.s += 2
    await device.apply(-2.5, 88.0)  # the same lease
    clock.s += 1
    await device.apply(-2.5, 90.0)  # renewed
    clock.s += 31
    await device.apply(-2.5, 59.0)  # told again, since it is long ago
    await device.apply(None, math.inf)
    await device.apply(None, math.inf)
    assert (tmp_path / "told").read_text().splitlines() == [
        "--unit 7 2500.0 90.0",
        "--unit 7 2500.0 90.0",
        "--unit 7 2500.0 59.0",
        "--unit 7 none none",
    ]
    given = [json.loads(line) for line in (tmp_path / "given").read_text().splitlines()]
    assert given[0] == {"p": 2500.0, "seconds": 90.0}
    assert given[-1] == {"p": None, "seconds": None}


async def test_an_order_that_failed_is_told_again(tmp_path: Path) -> None:
    device = driver(tmp_path, apply='echo "$@" >> told; [ -e good ] || { echo "no bus" >&2; exit 3; }')
    for _ in range(2):
        with pytest.raises(DeviceFaultError, match="failed with exit code 3; no bus; run it by hand"):
            await device.apply(1.0, 60.0)
    (tmp_path / "good").touch()
    await device.apply(1.0, 60.0)
    await device.apply(1.0, 60.0)
    assert len((tmp_path / "told").read_text().splitlines()) == 3


async def test_a_device_that_is_only_measured_takes_no_orders(tmp_path: Path) -> None:
    device = driver(tmp_path)
    await device.apply(None, math.inf)
    with pytest.raises(DeviceFaultError, match="only measures"):
        await device.apply(1.0, 60.0)


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("", "prints nothing"),
        ("1.5", "Expected `object`"),
        ("{}", "prints no power, or not in kW"),
        ('{"p_actual_w": 1.5}', "prints no power, or not in kW"),
        ('{"p_actual_kw": 1.5, "p_actual_w": 1500}', "prints no power, or not in kW"),
        ('{"p_actual_kw": "1.5"}', "Expected `float`, got `str`"),
        ('{"p_actual_kw": true}', "Expected `float`, got `bool`"),
        ('{"p_actual_kw": NaN}', "NaN is not JSON"),
        ('{"p_actual_kw": 1e999}', "beyond the range of a double"),
        ('{"p_actual_kw": 1e12}', "Expected `float` <= 1000000000.0"),
        ('{"p_actual_kw": 1, "p_actual_kw": 2}', "a key stands twice"),
        ('{"p_actual_kw": 1, "soc": 42}', "Expected `float` <= 1.0"),
        ('{"p_actual_kw": 1, "state": "ok"}', "unknown field `state`"),
        ('{"p_actual_kw": 1} trailing', "Extra data"),
        ('{"p_actual_kw": 1', "Expecting"),
    ],
)
async def test_garbage_is_refused_and_shown(printed: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceFaultError) as caught:
        await driver(tmp_path, f"cat <<'EOF'\n{printed}\nEOF").read()
    assert said in str(caught.value)


@pytest.mark.parametrize("body", ["sleep 60", "sleep 60 & sleep 60", "sleep 60 &", "trap '' TERM; while :; do :; done"])
async def test_a_program_that_does_not_end_is_killed_with_its_children(body: str, tmp_path: Path) -> None:
    device = driver(tmp_path, f"echo $$ > pid; {body}", timeout_s=0.4)
    with pytest.raises(DeviceError, match=r"ran for more than timeout_s = 0\.4 s") as caught:
        await device.read()
    assert not isinstance(caught.value, DeviceFaultError)
    group = int((tmp_path / "pid").read_text())
    await until(lambda: not members(group))


async def test_children_left_behind_by_a_good_program_are_ended_too(tmp_path: Path) -> None:
    device = driver(tmp_path, "sleep 60 > /dev/null 2>&1 < /dev/null & echo $! > pid; echo '{\"p_actual_kw\": 1}'")
    assert (await device.read()).p_actual_kw == 1.0
    child = int((tmp_path / "pid").read_text())
    await until(lambda: not alive(child))


async def test_a_run_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    device = driver(tmp_path, "echo $$ > pid; sleep 60")
    at_once = asyncio.create_task(device.read())
    await asyncio.sleep(0)
    at_once.cancel()  # while the program is being started
    await asyncio.wait([at_once])
    assert at_once.cancelled()
    (tmp_path / "pid").unlink(missing_ok=True)
    running = asyncio.create_task(device.read())
    await until(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    group = int((tmp_path / "pid").read_text())
    await until(lambda: not members(group))


async def test_a_flood_of_output_is_cut_off(tmp_path: Path) -> None:
    with pytest.raises(DeviceFaultError, match="prints more than 65536 bytes"):
        await driver(tmp_path, "exec yes").read()
    # a flood of complaints stops nobody who answers
    device = driver(tmp_path, "head -c 10000000 /dev/zero >&2 || :; echo '{\"p_actual_kw\": 1}'")
    assert (await device.read()).p_actual_kw == 1.0


async def test_it_gets_a_small_environment_and_the_configurations_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMS_SECRET", "not for it")
    device = driver(tmp_path, "env > seen; pwd > where; echo '{\"p_actual_kw\": 1}'", environment={"BUS": "1"})
    await device.read()
    names = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "TZ", "BUS", "PWD", "OLDPWD", "SHLVL", "_"}
    assert "BUS" in names
    assert (tmp_path / "where").read_text().strip() == os.fspath(tmp_path)


def test_a_program_that_cannot_be_run_is_told_at_the_start(tmp_path: Path) -> None:
    program(tmp_path, "plain", "true", executable=False)
    for word, said in (("./none", "there is no such program"), ("./plain", "plain is not executable; chmod +x")):
        with pytest.raises(ConfigError) as caught:
            open_driver(
                {"kind": "command", "read": [word]}, BATTERY, clock=Hand(), rng=random.Random(1), directory=tmp_path
            )
        assert said in str(caught.value)


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, _, pgrp, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(pgrp) == group and state != "Z":
                found.append(int(entry.name))
    return found
