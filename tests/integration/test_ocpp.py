"""Charging stations as devices: the `ocpp` library's charge points, real websockets, a real broker."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.ocpp.config import parse_ocpp_config
from agent.ocpp.process import serve_ocpp
from agent.ocpp.server import BURST, OcppServer
from derms.errors import AddressInUseError
from derms.model import DeviceKind
from tests.brokers import RunningBroker, until
from tests.controller import controlling
from tests.processes import Programs
from tests.stations import Hardware, basic, charging

PASSWORD = "a-password-of-20-cha"
VERSIONS = ("ocpp1.6", "ocpp2.0.1")


def table(port: int, **changes: Any) -> dict[str, Any]:
    station = {"password": PASSWORD, "p_max_kw": 11.04}
    return {
        "listen_port": 0,
        "broker_port": port,
        "publish_interval_seconds": 0.5,
        "station": {"CP-1": station},
        **changes,
    }


@contextlib.asynccontextmanager
async def serving(port: int, **changes: Any) -> AsyncIterator[tuple[int, "asyncio.Task[OcppServer]"]]:
    """The endpoint; its port, and its task."""
    stop, listening = asyncio.Event(), asyncio.get_running_loop().create_future()
    options = parse_ocpp_config(table(port, **changes), name="ocpp.toml")
    running = asyncio.create_task(serve_ocpp(options, stop=stop, listening=listening.set_result))
    try:
        await asyncio.wait([running, listening], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        yield listening.result(), running
    finally:
        stop.set()
        await running


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_station_is_a_device_that_reports_and_obeys(version: str, any_broker: RunningBroker) -> None:
    async with controlling(any_broker, DeviceKind.EV) as controller, serving(any_broker.port) as (port, _):
        async with charging(port, "CP-1", version, password=PASSWORD) as charger:
            assert await charger.boot() == "Accepted"
            await until(lambda: len(charger.hardware.configured) == 2)
            assert "10" in charger.hardware.configured.values()
            await charger.says("Available")
            said = await controller.until_it_says(
                "CP-1", status="ok", p_actual_kw=0.0, p_max_kw=0.0, p_setpoint_kw=None
            )
            assert said["type"] == "ev"
            # default control: the smallest power, 6 A over three phases
            await until(lambda: charger.hardware.limit == 6.0)

            assert await charger.begins() == "Accepted"
            await charger.measures(4100, soc=42)
            said = await controller.until_it_says("CP-1", p_actual_kw=4.1, soc=0.42, p_max_kw=11.04)

            granted = await controller.lease("CP-1", 6.9, 4.0)
            await controller.until_it_says("CP-1", applied=granted, p_setpoint_kw=6.9)
            profile = charger.hardware.profiles[3001]
            assert (profile.purpose, profile.limit, profile.unit) == ("TxProfile", 10.0, "A")
            assert profile.duration is not None
            assert 1 <= profile.duration <= 4
            assert (profile.transaction, profile.target) == (charger.hardware.transaction, 1)
            assert charger.hardware.limit == 10.0

            await controller.until_it_says("CP-1", p_setpoint_kw=None)  # the lease is over
            await until(lambda: charger.hardware.limit == 6.0 and 3001 not in charger.hardware.profiles)

            await charger.measures(0, soc=80)
            await charger.ends()
            said = await controller.until_it_says("CP-1", p_actual_kw=0.0, p_max_kw=0.0)
            assert "soc" not in said  # the car is gone
            await charger.says("Faulted")
            await controller.until_it_says("CP-1", status="fault")
            await charger.says("Unavailable")
            await controller.until_it_says("CP-1", status="unavailable")
            await charger.says("Available")
            await controller.until_it_says("CP-1", status="ok")
        await controller.until_it_says("CP-1", status="unavailable")  # it hung up


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_lease_outlives_a_lost_connection_and_is_told_again(version: str, any_broker: RunningBroker) -> None:
    hardware = Hardware()
    async with controlling(any_broker, DeviceKind.EV) as controller, serving(any_broker.port) as (port, _):
        async with charging(port, "CP-1", version, hardware=hardware, password=PASSWORD) as charger:
            await charger.boot()
            await charger.says("Available")
            granted = await controller.lease("CP-1", 8.28, 60.0)
            await controller.until_it_says("CP-1", applied=granted)
            assert hardware.limit == 12.0  # before a car is there
        await controller.until_it_says("CP-1", status="unavailable", p_setpoint_kw=None)
        hardware.profiles.clear()  # it lost power
        async with charging(port, "CP-1", version, hardware=hardware, password=PASSWORD) as charger:
            await charger.boot()
            await charger.says("Available")
            await controller.until_it_says("CP-1", status="ok", applied=granted)
            assert hardware.limit == 12.0


async def test_a_station_that_refuses_a_profile_is_not_said_to_follow_it(any_broker: RunningBroker) -> None:
    async with (
        controlling(any_broker, DeviceKind.EV) as controller,
        serving(any_broker.port) as (port, _),
        charging(port, "CP-1", "ocpp1.6", password=PASSWORD) as charger,
    ):
        charger.hardware.refuses = True
        await charger.boot()
        await charger.says("Available")
        granted = await controller.lease("CP-1", 6.9, 60.0)
        await controller.until_it_says("CP-1", status="ok", p_setpoint_kw=None)
        charger.hardware.refuses = False
        await controller.until_it_says("CP-1", applied=granted)
        assert charger.hardware.limit == 10.0


async def test_a_car_that_says_what_it_needs_is_heard(any_broker: RunningBroker) -> None:
    async with (
        controlling(any_broker, DeviceKind.EV) as controller,
        serving(any_broker.port) as (port, _),
        charging(port, "CP-1", "ocpp2.0.1", password=PASSWORD) as charger,
    ):
        await charger.boot()
        await charger.begins()
        await charger.measures(7000, energy_wh=1000)
        await charger.needs(20_000, "2026-11-30T06:00:00Z")
        said = await controller.until_it_says("CP-1", energy_needed_kwh=20.0)
        assert said["ready_by"] == 1_796_018_400_000
        await charger.measures(7000, energy_wh=3500)
        await controller.until_it_says("CP-1", energy_needed_kwh=17.5)


async def test_each_connector_of_a_station_is_a_device_and_a_whole_station_is_limited_as_one(
    any_broker: RunningBroker,
) -> None:
    stations = {
        "CP-1": {"connectors": 2, "device_id": "garage"},
        "CP-2": {"profile": "station", "rate_unit": "W"},
    }
    async with (
        controlling(any_broker, DeviceKind.EV) as controller,
        serving(any_broker.port, station=stations) as (port, _),
        charging(port, "CP-1", "ocpp1.6") as charger,
        charging(port, "CP-2", "ocpp1.6") as whole,
    ):
        for one in (charger, whole):
            await one.boot()
        await charger.says("Preparing")
        granted = await controller.lease("garage.1", 6.9, 60.0)
        await whole.says("Preparing")
        other = await controller.lease("CP-2", 5.0, 60.0)
        await controller.until_it_says("garage.1", applied=granted)
        await controller.until_it_says("CP-2", applied=other)
        assert controller.last("garage.2") == {}  # of that one nothing is known
        found = charger.hardware.profiles[2001]
        assert (found.target, found.purpose, found.limit, found.unit) == (1, "TxDefaultProfile", 10.0, "A")
        found = whole.hardware.profiles[2001]
        assert (found.target, found.purpose, found.limit, found.unit) == (0, "ChargePointMaxProfile", 5000.0, "W")


async def test_only_who_is_known_and_proves_it_is_let_in() -> None:
    async with serving(1) as (port, _):
        good = basic("CP-1", PASSWORD)
        cases = [
            ("CP-1", None, 401),
            ("CP-1", basic("CP-1", "a-wrong-password-of"), 401),
            ("CP-1", basic("CP-2", PASSWORD), 401),
            ("CP-1", {"Authorization": "Basic !!!"}, 401),
            ("CP-1", {"Authorization": f"Bearer {PASSWORD}"}, 401),
            ("CP-2", good, 404),
            ("", good, 404),
            ("CP-1%2F..%2Fx", good, 404),
        ]
        for station_id, headers, status in cases:
            with pytest.raises(InvalidStatus) as caught:
                async with connect(f"ws://127.0.0.1:{port}/{station_id}", additional_headers=headers):
                    raise AssertionError(station_id)
            assert caught.value.response.status_code == status, station_id
        for station_id in ("CP-1", "ocpp/v1/CP-1", "CP-1/", "CP%2D1"):
            url = f"ws://127.0.0.1:{port}/{station_id}"
            async with connect(url, additional_headers=good, subprotocols=["ocpp1.6"]) as socket:  # type: ignore[list-item]  # a str
                assert socket.subprotocol == "ocpp1.6"
        for offered in (None, ["ocpp1.5"]):  # it speaks neither version
            with pytest.raises(InvalidStatus) as caught:
                async with connect(url, additional_headers=good, subprotocols=offered):  # type: ignore[arg-type]  # a str
                    raise AssertionError
            assert caught.value.response.status_code == 400


async def test_an_unknown_station_may_wait_in_quarantine_and_nothing_comes_of_it(any_broker: RunningBroker) -> None:
    async with controlling(any_broker, DeviceKind.EV) as controller:
        async with (
            serving(any_broker.port, unknown="quarantine") as (port, _),
            charging(port, "CP-9", "ocpp1.6") as stranger,
        ):
            assert await stranger.boot() == "Pending"
            await stranger.says("Available")
            assert await stranger.begins() == "Invalid"
            await stranger.measures(7000)
            async with charging(port, "CP-1", "ocpp1.6", password=PASSWORD) as known:
                await known.boot()
                await known.says("Available")
                await controller.until_it_says("CP-1", status="ok")
        assert {said["device_id"] for said in controller.heard} == {"CP-1"}


async def test_who_may_charge_is_a_list(any_broker: RunningBroker) -> None:
    async with serving(any_broker.port, tokens=["family"]) as (port, _):
        for version in VERSIONS:
            async with charging(port, "CP-1", version, password=PASSWORD) as charger:
                await charger.boot()
                assert await charger.begins("stranger") == "Invalid"
                assert await charger.begins("family") == "Accepted"


async def test_the_newer_of_two_connections_of_a_station_counts(any_broker: RunningBroker) -> None:
    async with (
        controlling(any_broker, DeviceKind.EV) as controller,
        serving(any_broker.port) as (port, _),
        charging(port, "CP-1", "ocpp1.6", password=PASSWORD) as old,
    ):
        await old.boot()
        await old.says("Available")
        await controller.until_it_says("CP-1", status="ok")
        async with charging(port, "CP-1", "ocpp1.6", password=PASSWORD) as new:
            await new.boot()
            granted = await controller.lease("CP-1", 6.9, 60.0)
            await controller.until_it_says("CP-1", status="ok", applied=granted)
            assert new.hardware.limit == 10.0
            with pytest.raises((ConnectionClosed, asyncio.TimeoutError, OSError)):
                await old.says("Available")


GARBAGE = [
    "", "nonsense", "[]", "{}", "null", "[2]", '[2,"1"]', '[2,"1","Nothing",{}]', '[2,"1","BootNotification",[]]',
    '[2,"1","BootNotification",{"chargePointModel":7}]', '[2,"1",{"a":1},{}]', "[9,1,1,1]", '[4,"x","y","z",{}]',
    '[3,"x",{}]', '[2,"1","Heartbeat",{"x":NaN}]', "[" * 20_000, "\x00" * 100, '[2,[],[],[]]',
    '[2,"1","MeterValues",{"connectorId":1,"meterValue":[1]}]',
    '[2,"1","StatusNotification",{"connectorId":-1,"errorCode":"NoError","status":"Odd"}]',
    '[2,"1","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"x","sampledValue":[{"value":"1e999"}]}]}]',
]  # fmt: skip


async def test_garbage_is_outlived_and_too_much_of_anything_is_cut_off(any_broker: RunningBroker) -> None:
    async with controlling(any_broker, DeviceKind.EV) as controller, serving(any_broker.port) as (port, running):
        url, headers = f"ws://127.0.0.1:{port}/CP-1", basic("CP-1", PASSWORD)

        async def ends_with(*messages: str | bytes) -> int:
            """The code that a connection ends with."""
            async with connect(url, additional_headers=headers, subprotocols=["ocpp1.6"]) as socket:  # type: ignore[list-item]  # a str

                async def read() -> None:
                    async for _ in socket:
                        pass

                reading = asyncio.create_task(read())
                with contextlib.suppress(ConnectionClosed):
                    for message in messages:
                        await socket.send(message)
                await socket.wait_closed()
                with contextlib.suppress(ConnectionClosed):
                    await reading
                assert socket.close_code is not None
                return int(socket.close_code)

        async with charging(port, "CP-1", "ocpp1.6", password=PASSWORD) as charger:
            for message in GARBAGE:
                await charger._connection.send(message)
            assert await charger.boot() == "Accepted"  # on the same connection
        assert await ends_with("x" * 70_000) == 1009
        assert await ends_with(b"\x00\x01") == 1003
        assert await ends_with(*['[2,"1","Heartbeat",{}]'] * int(BURST + 50)) == 1008
        assert await ends_with(*['[3,"x",{}]'] * 60) == 1008
        async with charging(port, "CP-1", "ocpp1.6", password=PASSWORD) as charger:
            assert await charger.boot() == "Accepted"
            await charger.says("Available")
            await controller.until_it_says("CP-1", status="ok")
        assert not running.done()
    server = await running
    assert server.cut_off == 3


async def test_strangers_cannot_take_all_the_places(any_broker: RunningBroker) -> None:
    async with serving(any_broker.port, max_connections=5) as (port, _):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        with pytest.raises(InvalidStatus) as caught:
            async with charging(port, "CP-1", "ocpp1.6", password=PASSWORD):
                raise AssertionError
        assert caught.value.response.status_code == 503
        for _, writer in idle:
            writer.close()


async def test_a_station_is_reached_by_tls(any_broker: RunningBroker, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    async with serving(any_broker.port, tls_cert_file=str(cert), tls_key_file=str(key)) as (port, _):
        trust = ssl.create_default_context(cafile=str(cert))
        url = f"wss://127.0.0.1:{port}/CP-1"
        async with charging(port, "CP-1", "ocpp2.0.1", password=PASSWORD, url=url, ssl=trust) as charger:
            assert await charger.boot() == "Accepted"


async def test_a_port_that_is_taken_is_told(any_broker: RunningBroker) -> None:
    with pytest.raises(AddressInUseError, match="cannot be listened on"):
        async with serving(any_broker.port, listen_port=any_broker.port):
            raise AssertionError


@pytest.mark.parametrize("version", ["ocpp1.6", pytest.param("ocpp2.0.1", marks=pytest.mark.slow)])
async def test_a_station_whose_endpoint_is_killed_falls_to_default_control_by_itself(
    version: str, any_broker: RunningBroker, programs: Programs, tmp_path: Path
) -> None:
    file = tmp_path / "ocpp.toml"
    file.write_text(
        f"listen_port = 0\nbroker_port = {any_broker.port}\npublish_interval_seconds = 0.5\n[station.CP-1]\n"
        f'password = "{PASSWORD}"\n'
    )
    async with controlling(any_broker, DeviceKind.EV) as controller:
        program = programs.derms("ocpp", "serve", "--config", file)
        said = await asyncio.to_thread(program.wait_logged, "Stations can connect")
        port = int(said["url"].rstrip("/").rpartition(":")[2])
        hardware = Hardware()
        with contextlib.suppress(ConnectionClosed):
            async with charging(port, "CP-1", version, hardware=hardware, password=PASSWORD) as charger:
                await charger.boot()
                assert await charger.begins() == "Accepted"
                await charger.measures(7000)
                granted = await controller.lease("CP-1", 6.9, 5.0)
                await controller.until_it_says("CP-1", applied=granted)
                assert hardware.limit == 10.0
                await asyncio.to_thread(program.kill)
        assert hardware.limit == 10.0  # until the end of the lease
        await until(lambda: hardware.limit == 6.0)
        assert PASSWORD not in program.stderr
