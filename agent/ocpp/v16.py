"""A station that speaks OCPP 1.6J.

Source: Open Charge Alliance, Open Charge Point Protocol 1.6 edition 2.
"""

import asyncio
from typing import Any

from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.datatypes import ChargingProfile, ChargingSchedule, ChargingSchedulePeriod, IdTagInfo
from ocpp.v16.enums import (
    Action,
    AuthorizationStatus,
    ChargingProfileKindType,
    ChargingProfilePurposeType,
    ChargingRateUnitType,
    DataTransferStatus,
    RegistrationStatus,
)

from agent.ocpp.profiles import Profile, Purpose
from agent.ocpp.session import CALL_TIMEOUT_S, Desk, SessionBase, Socket, wire_log
from agent.ocpp.station import Station
from derms.errors import DeviceError, DeviceFaultError

SUBPROTOCOL = "ocpp1.6"

_PURPOSES: dict[Purpose, ChargingProfilePurposeType] = {
    "transaction": ChargingProfilePurposeType.tx_profile,
    "default": ChargingProfilePurposeType.tx_default_profile,
    "station": ChargingProfilePurposeType.charge_point_max_profile,
}
_MEASURANDS = "Power.Active.Import,Energy.Active.Import.Register,SoC"


class Session16(SessionBase, ChargePoint):
    """Implements `agent.ocpp.station.Session`."""

    def __init__(self, station: Station, socket: Socket, desk: Desk) -> None:
        super().__init__(station.station_id, socket, CALL_TIMEOUT_S, wire_log())
        self.station = station
        self.desk = desk
        self.started = asyncio.Event()
        self._next_transaction = desk.clock.now_ms() // 1000 % 2**31

    async def install(self, connector: int, profile: Profile, *, start: str) -> None:
        """See `Session.install`."""
        schedule = ChargingSchedule(
            charging_rate_unit=ChargingRateUnitType.amps if profile.unit == "A" else ChargingRateUnitType.watts,
            charging_schedule_period=[
                ChargingSchedulePeriod(start_period=0, limit=profile.limit, number_phases=profile.phases)
            ],
            duration=profile.seconds,
            start_schedule=start,
        )
        wanted = ChargingProfile(
            charging_profile_id=profile.profile_id,
            stack_level=profile.stack_level,
            charging_profile_purpose=_PURPOSES[profile.purpose],
            charging_profile_kind=ChargingProfileKindType.absolute,
            charging_schedule=schedule,
            transaction_id=None if profile.transaction is None else int(profile.transaction),
        )
        await self.ask(call.SetChargingProfile(connector_id=connector, cs_charging_profiles=wanted), "charging profile")

    async def clear(self, profile_id: int) -> None:
        """See `Session.clear`."""
        await self.ask(call.ClearChargingProfile(id=profile_id), "cleared profile", fine=("Accepted", "Unknown"))

    async def configure(self) -> None:
        """Ask for measurements often enough; a station that does not take that is listened to as it is."""
        await self.wait_started()
        for key, value in (
            ("MeterValuesSampledData", _MEASURANDS),
            ("MeterValueSampleInterval", str(self.desk.sample_s)),
        ):
            try:
                await self.ask(call.ChangeConfiguration(key=key, value=value), key, fine=("Accepted", "RebootRequired"))
            except DeviceFaultError:
                continue
            except DeviceError:
                return

    @on(Action.boot_notification)
    def _boot(self, **_: Any) -> call_result.BootNotification:
        self.station.boot()
        self.started.set()
        self.desk.changed()
        status = RegistrationStatus.pending if self.desk.quarantined else RegistrationStatus.accepted
        return call_result.BootNotification(self.now(), self.desk.heartbeat_s, status)

    @on(Action.heartbeat)
    def _heartbeat(self, **_: Any) -> call_result.Heartbeat:
        return call_result.Heartbeat(current_time=self.now())

    @on(Action.authorize)
    def _authorize(self, id_tag: str, **_: Any) -> call_result.Authorize:
        return call_result.Authorize(id_tag_info=self._verdict(id_tag))

    @on(Action.start_transaction)
    def _start(self, connector_id: int, id_tag: str, **_: Any) -> call_result.StartTransaction:
        verdict = self._verdict(id_tag)
        self._next_transaction += 1
        connector = self.connector(connector_id)
        if connector is not None and verdict.status is AuthorizationStatus.accepted:
            connector.transaction = str(self._next_transaction)
            self.desk.changed()
        return call_result.StartTransaction(transaction_id=self._next_transaction, id_tag_info=verdict)

    @on(Action.stop_transaction)
    def _stop(self, transaction_id: int, **_: Any) -> call_result.StopTransaction:
        for connector in self.station.connectors.values():
            if connector.transaction == str(transaction_id):
                connector.transaction = None
                self.desk.changed()
        return call_result.StopTransaction()

    @on(Action.status_notification)
    def _status(self, connector_id: int, status: str, **_: Any) -> call_result.StatusNotification:
        connectors = self.station.connectors
        # 0 speaks for the station as a whole, and of its connectors only when it is broken or shut
        whole = connector_id == 0 and status in ("Faulted", "Unavailable")
        for number, connector in connectors.items():
            if number == connector_id or whole:
                connector.hear_status(status)
                self.desk.changed()
        return call_result.StatusNotification()

    @on(Action.meter_values)
    def _meter(
        self, connector_id: int, meter_value: list[dict[str, Any]], transaction_id: int | None = None, **_: Any
    ) -> call_result.MeterValues:
        connector = self.connector(connector_id)
        if connector is not None:
            if transaction_id is not None:
                connector.continues(str(transaction_id))
            connector.hear_meter(meter_value, now_s=self.desk.clock.monotonic_s())
            self.desk.changed()
        return call_result.MeterValues()

    @on(Action.data_transfer)
    def _data(self, **_: Any) -> call_result.DataTransfer:
        return call_result.DataTransfer(status=DataTransferStatus.unknown_vendor_id)

    @on(Action.firmware_status_notification)
    def _firmware(self, **_: Any) -> call_result.FirmwareStatusNotification:
        return call_result.FirmwareStatusNotification()

    @on(Action.diagnostics_status_notification)
    def _diagnostics(self, **_: Any) -> call_result.DiagnosticsStatusNotification:
        return call_result.DiagnosticsStatusNotification()

    def _verdict(self, id_tag: str) -> IdTagInfo:
        known = self.desk.may_charge(id_tag)
        return IdTagInfo(status=AuthorizationStatus.accepted if known else AuthorizationStatus.invalid)
