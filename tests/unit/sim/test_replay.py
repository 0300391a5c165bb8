"""Replayed files: what is in them happens, and what is wrong with them is named with its line."""

import shutil
from pathlib import Path

import pytest

from derms.errors import UsageError
from derms.model import DeviceKind, DeviceStatus
from sim.replay import replay_scenario
from sim.world import SimWorld
from tests.unit.sim.fakes import VirtualClock

SERIES = "ts,device_id,p_kw,soc\n2024-05-01T12:00:00Z,ev-1,7.2,0.5\n2024-05-01T12:00:00Z,pv-1,-3,\n"
SERIES += "2024-05-01T12:10:00Z,ev-1,3.6,0.6\n2024-05-01T12:20:00Z,ev-1,0,0.65\n"
SESSIONS = "arrival,departure,energy_kwh,station_id\n2024-05-01T08:00,2024-05-01T16:00,20,CA-1\n"
SESSIONS += "2024-05-01T09:00,2024-05-01T10:00,10,CA-2\n2024-05-01T17:00,2024-05-01T18:00,5,CA-1\n"


def written(directory: Path, text: str | bytes) -> Path:
    path = directory / "file.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return path


def test_devices_follow_a_recorded_series_and_the_meter_sums_it(tmp_path: Path) -> None:
    scenario = replay_scenario(written(tmp_path, SERIES))
    physics = scenario.physics()
    shown = []
    for _ in range(5):
        physics.step(300.0)
        shown.append((physics.steps["ev-1"].p_kw, physics.steps["pv-1"].p_kw, physics.head_kw))
    # Five-minute steps: the car changes at 10 and 20 minutes, the array was only heard once.
    expected = [(7.2, -3.0, 4.2), (7.2, -3.0, 4.2), (3.6, -3.0, 0.6), (3.6, -3.0, 0.6), (0.0, -3.0, -3.0)]
    assert shown == [pytest.approx(row) for row in expected]
    assert scenario.duration_s == 1800.0
    assert scenario.feeder.import_limit_kw is None
    assert {device.device_id: device.kind for device in scenario.devices} == {
        "meter-feeder-1": DeviceKind.METER,
        "ev-1": DeviceKind.EV,
        "pv-1": DeviceKind.PV,
    }


def test_a_replayed_device_does_what_was_recorded_whatever_it_is_told(tmp_path: Path) -> None:
    scenario = replay_scenario(written(tmp_path, SERIES))
    clock = VirtualClock()
    world = SimWorld(scenario, clock=clock, speed=60.0)
    drivers = {member.device.device_id: world.driver(member) for member in scenario.members}
    drivers["ev-1"].apply(0.0, 1.0)
    clock.at_s += 11.0
    world.advance()
    reading = drivers["ev-1"].read()
    assert (reading.p_actual_kw, reading.soc, reading.status) == (3.6, 0.6, DeviceStatus.LOCAL)
    assert not world.over
    # The last row is at 20 minutes, and is held for 10 more: until 30 s after the start.
    clock.at_s += 18.0
    world.advance()
    assert drivers["ev-1"].read().p_actual_kw == 0.0
    assert not world.over
    clock.at_s += 2.0
    world.advance()
    assert world.over


def test_two_looks_at_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    scenario = replay_scenario(written(tmp_path, SERIES))
    late, early = scenario.physics(), scenario.physics()
    late.step(1000.0)
    late.step(1000.0)
    early.step(10.0)
    assert early.steps["ev-1"].p_kw == 7.2


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + SERIES,
        SERIES.replace("\n", "\r\n"),
        SERIES.replace(",", ";"),
        SERIES.replace(",", ";").replace("7.2", "7,2").replace("0.5", "0,5").replace("3.6", "3,6"),
        '"ts","device_id","p_kw","soc"\n' + SERIES.split("\n", 1)[1].replace("ev-1", '"ev-1"'),
        " TS , Device_ID , P_kW , soc , note\n" + SERIES.split("\n", 1)[1].replace("\n", ",x\n"),
        "\n\n" + SERIES.replace("\n", "\n\n"),
        SERIES.rstrip("\n"),
        SERIES.replace("2024-05-01T12:00:00Z", "1714564800")
        .replace("2024-05-01T12:10:00Z", "1714565400.0")
        .replace("2024-05-01T12:20:00Z", "1714566000000"),
        SERIES.replace("Z,", "+00:00,"),
        SERIES.replace("2024-05-01T12:10:00Z", "2024-05-01T14:10:00+02:00"),
        SERIES.replace("Z,", ","),
    ],
    ids=[
        "bom",
        "crlf",
        "semicolon",
        "comma",
        "quoted",
        "header",
        "blank",
        "no-end",
        "epoch",
        "offset",
        "zone",
        "naive",
    ],
)
def test_the_same_file_is_understood_in_many_hands(tmp_path: Path, text: str) -> None:
    scenario = replay_scenario(written(tmp_path, text))
    assert scenario.duration_s == 1800.0
    physics = scenario.physics()
    physics.step(660.0)
    physics.step(60.0)
    assert (physics.steps["ev-1"].p_kw, physics.steps["pv-1"].p_kw) == (3.6, -3.0)


def test_the_type_is_the_columns_else_the_ids_else_a_load(tmp_path: Path) -> None:
    ids = {"pv-9": "", "EV-9": "", "battery_9": "", "load9": "", "meter-9": "", "kettle": "", "pv-8": "load", "x": "PV"}
    rows = "".join(f"0,{device_id},0,{kind}\n" for device_id, kind in ids.items())
    scenario = replay_scenario(written(tmp_path, "ts,device_id,p_kw,type\n" + rows))
    # It has a meter of its own, so none is added.
    assert [str(device.kind) for device in scenario.devices] == [
        "pv", "ev", "battery", "load", "meter", "load", "load", "pv",
    ]  # fmt: skip


HEAD = "ts,device_id,p_kw,soc\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("\ufeff", "is empty"),
        (HEAD, "no rows"),
        ("time,device_id,p_kw\n0,a,1\n", "line 1: no column 'ts'"),
        ("ts,deviceid,p_kw\n0,a,1\n", "rename 'deviceid' to 'device_id'"),
        ("ts,device_id,power_kw\n0,a,1\n", "rename 'power_kw' to 'p_kw'"),
        ("arival,departure,energy_kwh,station_id\n", "rename 'arival' to 'arrival'"),
        ("0,ev-1,3\n1,ev-1,3\n", "no column 'ts', 'device_id', 'p_kw'"),
        ("ts,ts,device_id,p_kw\n0,0,a,1\n", "'ts' is there twice"),
        (HEAD + "0,a,1\n", "line 2: 3 cells; the header has 4"),
        (HEAD + "0,a,1,,\n", "line 2: 5 cells"),
        (HEAD + "0,a,,\n", "line 2: p_kw is empty"),
        (HEAD + "0,a,much,\n", "line 2: p_kw is 'much'; it is a number"),
        (HEAD + "0,a,nan,\n", "line 2: p_kw is 'nan'"),
        (HEAD + "0,a,1e999,\n", "line 2: p_kw is '1e999'"),
        (HEAD + "0,a,1_0,\n", "line 2: p_kw is '1_0'"),
        (HEAD + "0,a,2e6,\n", "line 2: p_kw is 2e6; it lies between -1e+06 and 1e+06"),
        (HEAD + "0,a,1,\n\n0,a,1,42\n", "line 4: soc is 42; it lies between 0 and 1"),
        (HEAD + "noon,a,1,\n", "line 2: ts is 'noon'"),
        (HEAD + "-5,a,1,\n", "line 2: ts is '-5'"),
        (HEAD + "0,a/b,1,\n", "line 2: device_id is 'a/b'"),
        (HEAD + "0,#,1,\n", "line 2: device_id is '#'"),
        (HEAD + "60,a,1,\n59,a,1,\n", "line 3: ts 59 is before the row above"),
        ("ts,device_id,p_kw,type\n0,a,1,boiler\n", "line 2: type is 'boiler'; it is one of pv, battery, ev"),
        ("ts,device_id,p_kw,type\n0,a,1,ev\n1,a,1,load\n", "line 3: a is now a load; it was a ev above"),
        (HEAD + "0,pv-1,4,\n", "pv-1 is an array that draws up to 4 kW"),
        (HEAD + '0,"a,1,\n', "not CSV"),
        (HEAD.encode() + b"0,a,1,\n\xff\xfe,a,1,\n", "not UTF-8"),
        (b"\xff\xfe\x00\x01", "not UTF-8"),
        (HEAD.encode() + b"0,a\x00b,1,\n", "line 2"),
        (SESSIONS + "2024-05-01T08:00,2024-05-01T08:00,1,CA-3\n", "line 5: departure 2024-05-01T08:00 is not after"),
        (
            SESSIONS + "2024-05-01T15:00,2024-05-01T16:30,1,CA-1\n",
            "line 5: a car arrives at CA-1 before",
        ),
        (SESSIONS + "2024-05-01T08:00,2024-05-01T09:00,-1,CA-3\n", "line 5: energy_kwh is -1"),
        (SESSIONS + "2024-05-01T08:00,2024-05-01T09:00,800,CA-3\n", "line 5: 800 kWh in that time"),
        (SESSIONS + "2024-05-01T08:00,2024-05-01T09:00,5,\n", "line 5: station_id is ''"),
        (SESSIONS.split("\n")[0] + "\n", "no rows"),
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_a_reason(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        replay_scenario(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            replay_scenario(path)


def test_too_many_devices_for_one_process_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"0,d{number},1\n" for number in range(5001))
    with pytest.raises(UsageError, match="line 5002: device number 5001"):
        replay_scenario(written(tmp_path, "ts,device_id,p_kw\n" + rows))


def test_the_cars_of_a_session_table_come_charge_and_go(tmp_path: Path) -> None:
    scenario = replay_scenario(written(tmp_path, SESSIONS))
    physics = scenario.physics()
    assert scenario.duration_s == 10 * 3600.0
    # 10 kWh in an hour need more than 7.4 kW on one phase: an 11 kW charger.
    ratings = {device.device_id: (device.p_import_max_kw, device.p_min_kw) for device in scenario.devices}
    assert ratings == {"meter-feeder-1": (0.0, 0.0), "CA-1": (7.4, 1.4), "CA-2": (11.0, 4.1)}
    energy_kwh = dict.fromkeys(("CA-1", "CA-2"), 0.0)
    for _ in range(10 * 240):
        physics.step(15.0)
        for station in energy_kwh:
            energy_kwh[station] += physics.steps[station].p_kw * 15.0 / 3600.0
    assert energy_kwh["CA-1"] == pytest.approx(25.0, abs=0.05)
    assert 7.0 < energy_kwh["CA-2"] <= 10.0  # an hour is not quite enough with the taper


def test_a_long_series_is_replayed_second_by_second(tmp_path: Path) -> None:
    lines = (f"{second},load-{number},{number + second % 7}\n" for second in range(2000) for number in range(10))
    scenario = replay_scenario(written(tmp_path, "ts,device_id,p_kw\n" + "".join(lines)))
    physics = scenario.physics()
    for second in range(0, 1999, 3):
        physics.step(3.0)
        # 0 + ... + 9 is 45, and ten times the second's own.
        assert physics.head_kw == pytest.approx(45.0 + 10 * (second % 7))
    assert scenario.release is not None
    scenario.release()


def test_a_file_that_went_away_between_reading_and_replaying_is_said_so(tmp_path: Path) -> None:
    scenario = replay_scenario(written(tmp_path, SERIES))
    shutil.rmtree(tmp_path)
    with pytest.raises(UsageError, match="cannot read"):
        scenario.physics().step(1.0)
