"""Charging stations by the `ocpp` library, in both versions, over real websockets: the other side of the endpoint."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call as call16
from ocpp.v16 import call_result as result16
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call as call201
from ocpp.v201 import call_result as result201
from websockets.asyncio.client import connect

from agent.ocpp.session import wire_log


@dataclass(slots=True)
class Installed:
    """One profile, as a station keeps it."""

    purpose: str
    stack_level: int
    limit: float
    unit: str
    duration: int | None
    ends_s: float
    transaction: str | None
    target: int


@dataclass(slots=True)
class Hardware:
    """What a station does by itself, whichever version it speaks. Its profiles end on its own clock."""

    profiles: dict[int, Installed] = field(default_factory=dict)
    configured: dict[str, str] = field(default_factory=dict)
    refuses: bool = False
    transaction: str | None = None

    def install(self, own_id: int, target: int, said: dict[str, Any], schedule: dict[str, Any]) -> str:
        if self.refuses:
            return "Rejected"
        (period,) = schedule["charging_schedule_period"]
        start = datetime.fromisoformat(schedule["start_schedule"].replace("Z", "+00:00"))
        assert abs(start.timestamp() - time.time()) < 5
        assert said["charging_profile_kind"] == "Absolute"
        duration = schedule.get("duration")
        transaction = said.get("transaction_id")
        self.profiles[own_id] = Installed(
            purpose=said["charging_profile_purpose"],
            stack_level=said["stack_level"],
            limit=period["limit"],
            unit=schedule["charging_rate_unit"],
            duration=duration,
            ends_s=float("inf") if duration is None else time.monotonic() + duration,
            transaction=None if transaction is None else str(transaction),
            target=target,
        )
        return "Accepted"

    def clear(self, own_id: int | None) -> str:
        if own_id not in self.profiles:
            return "Unknown"
        del self.profiles[own_id]
        return "Accepted"

    @property
    def limit(self) -> float | None:
        """What it would let a car draw now: the transaction's own profile first, then the higher level."""
        alive = [p for p in self.profiles.values() if p.ends_s > time.monotonic()]
        own = [p for p in alive if p.purpose == "TxProfile" and p.transaction == self.transaction]
        leading = own or [p for p in alive if p.purpose != "TxProfile"]
        return max(leading, key=lambda p: p.stack_level).limit if leading else None


class Charger16(ChargePoint16):
    """OCPP 1.6."""

    def __init__(self, station_id: str, socket: Any, hardware: Hardware) -> None:
        super().__init__(station_id, socket, 5, wire_log())
        self.hardware = hardware

    async def boot(self) -> str:
        answer = await self.call(call16.BootNotification(charge_point_model="M", charge_point_vendor="V"))
        return str(answer.status)

    async def says(self, status: str) -> None:
        await self.call(call16.StatusNotification(connector_id=1, error_code="NoError", status=status))

    async def begins(self, token: str = "tag") -> str:
        said = await self.call(call16.Authorize(id_tag=token))
        if said.id_tag_info["status"] == "Accepted":
            started = await self.call(
                call16.StartTransaction(connector_id=1, id_tag=token, meter_start=0, timestamp="2026-01-01T00:00:00Z")
            )
            self.hardware.transaction = str(started.transaction_id)
            await self.says("Charging")
        return str(said.id_tag_info["status"])

    async def ends(self) -> None:
        transaction, self.hardware.transaction = self.hardware.transaction, None
        await self.call(
            call16.StopTransaction(meter_stop=1, timestamp="2026-01-01T00:00:00Z", transaction_id=int(transaction or 0))
        )
        await self.says("Available")

    async def measures(self, power_w: float, soc: float | None = None, energy_wh: float = 0.0) -> None:
        values = [
            {"value": str(power_w), "measurand": "Power.Active.Import", "unit": "W"},
            {"value": str(energy_wh), "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
        ]
        if soc is not None:
            values.append({"value": str(soc), "measurand": "SoC", "unit": "Percent"})
        moment = {"timestamp": "2026-01-01T00:00:00Z", "sampled_value": values}
        await self.call(
            call16.MeterValues(
                connector_id=1, meter_value=[moment], transaction_id=int(self.hardware.transaction or 0) or None
            )
        )

    @on("SetChargingProfile")
    def _install(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> Any:
        said = cs_charging_profiles
        status = self.hardware.install(said["charging_profile_id"], connector_id, said, said["charging_schedule"])
        return result16.SetChargingProfile(status=status)

    @on("ClearChargingProfile")
    def _clear(self, id: int | None = None, **_: Any) -> Any:
        return result16.ClearChargingProfile(status=self.hardware.clear(id))

    @on("ChangeConfiguration")
    def _configure(self, key: str, value: str) -> Any:
        self.hardware.configured[key] = value
        return result16.ChangeConfiguration(status="Accepted")


class Charger201(ChargePoint201):
    """OCPP 2.0.1."""

    def __init__(self, station_id: str, socket: Any, hardware: Hardware) -> None:
        super().__init__(station_id, socket, 5, wire_log())
        self.hardware = hardware
        self._seq = 0

    async def boot(self) -> str:
        station = {"model": "M", "vendor_name": "V"}
        answer = await self.call(call201.BootNotification(charging_station=station, reason="PowerUp"))
        return str(answer.status)

    async def says(self, status: str) -> None:
        free = ("Available", "Reserved", "Unavailable", "Faulted")
        await self.call(
            call201.StatusNotification(
                timestamp="2026-01-01T00:00:00Z",
                connector_status=status if status in free else "Occupied",
                evse_id=1,
                connector_id=1,
            )
        )

    async def begins(self, token: str = "tag") -> str:
        said = await self.call(call201.Authorize(id_token={"id_token": token, "type": "ISO14443"}))
        if said.id_token_info["status"] == "Accepted":
            self.hardware.transaction = f"tx-{time.monotonic_ns()}"
            await self.says("Occupied")
            await self._event("Started", "Authorized", state="Charging", evse={"id": 1, "connector_id": 1})
        return str(said.id_token_info["status"])

    async def ends(self) -> None:
        await self._event("Ended", "EVDeparted")
        self.hardware.transaction = None
        await self.says("Available")

    async def measures(self, power_w: float, soc: float | None = None, energy_wh: float = 0.0) -> None:
        values: list[dict[str, Any]] = [
            {"value": power_w, "measurand": "Power.Active.Import", "unit_of_measure": {"unit": "W"}},
            {"value": energy_wh, "measurand": "Energy.Active.Import.Register", "unit_of_measure": {"unit": "Wh"}},
        ]
        if soc is not None:
            values.append({"value": soc, "measurand": "SoC", "unit_of_measure": {"unit": "Percent"}})
        moment = {"timestamp": "2026-01-01T00:00:00Z", "sampled_value": values}
        await self._event("Updated", "MeterValuePeriodic", meter_value=[moment])

    async def needs(self, energy_wh: int, departure: str) -> None:
        """What a car says by ISO 15118."""
        ac = {"energy_amount": energy_wh, "ev_min_current": 6, "ev_max_current": 16, "ev_max_voltage": 230}
        await self.call(
            call201.NotifyEVChargingNeeds(
                evse_id=1,
                charging_needs={
                    "requested_energy_transfer": "AC_three_phase",
                    "departure_time": departure,
                    "ac_charging_parameters": ac,
                },
            )
        )

    async def _event(self, kind: str, reason: str, *, state: str | None = None, **more: Any) -> None:
        self._seq += 1
        info: dict[str, Any] = {"transaction_id": self.hardware.transaction}
        if state is not None:
            info["charging_state"] = state
        await self.call(
            call201.TransactionEvent(
                event_type=kind,
                timestamp="2026-01-01T00:00:00Z",
                trigger_reason=reason,
                seq_no=self._seq,
                transaction_info=info,
                **more,
            )
        )

    @on("SetChargingProfile")
    def _install(self, evse_id: int, charging_profile: dict[str, Any]) -> Any:
        (schedule,) = charging_profile["charging_schedule"]
        status = self.hardware.install(charging_profile["id"], evse_id, charging_profile, schedule)
        return result201.SetChargingProfile(status=status)

    @on("ClearChargingProfile")
    def _clear(self, charging_profile_id: int | None = None, **_: Any) -> Any:
        return result201.ClearChargingProfile(status=self.hardware.clear(charging_profile_id))

    @on("SetVariables")
    def _configure(self, set_variable_data: list[dict[str, Any]]) -> Any:
        for one in set_variable_data:
            self.hardware.configured[one["variable"]["name"]] = one["attribute_value"]
        results = [
            {"attribute_status": "Accepted", "component": one["component"], "variable": one["variable"]}
            for one in set_variable_data
        ]
        return result201.SetVariables(set_variable_result=results)


KINDS: dict[str, Any] = {"ocpp1.6": Charger16, "ocpp2.0.1": Charger201}


def basic(station_id: str, password: str) -> dict[str, str]:
    """The header that proves who a station is."""
    return {"Authorization": "Basic " + base64.b64encode(f"{station_id}:{password}".encode()).decode()}


@contextlib.asynccontextmanager
async def charging(
    port: int,
    station_id: str,
    version: str,
    *,
    hardware: Hardware | None = None,
    password: str | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """A station that is connected while the body runs."""
    headers = None if password is None else basic(station_id, password)
    url = options.pop("url", f"ws://127.0.0.1:{port}/{station_id}")
    async with connect(url, subprotocols=[version], additional_headers=headers, **options) as socket:  # type: ignore[list-item]  # a str
        charger = KINDS[version](station_id, socket, hardware or Hardware())
        listening = asyncio.create_task(charger.start())
        try:
            yield charger
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            if not listening.cancelled():
                listening.exception()  # that it was hung up on is for the test to see
