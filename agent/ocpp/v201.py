"""A station that speaks OCPP 2.0.1. What is a connector elsewhere is an EVSE here.

Source: Open Charge Alliance, Open Charge Point Protocol 2.0.1 edition 3.
"""

import asyncio
from datetime import datetime
from typing import Any

from ocpp.routing import on
from ocpp.v201 import ChargePoint, call, call_result
from ocpp.v201.datatypes import (
    ChargingProfileType,
    ChargingSchedulePeriodType,
    ChargingScheduleType,
    ComponentType,
    IdTokenInfoType,
    SetVariableDataType,
    VariableType,
)
from ocpp.v201.enums import (
    Action,
    AuthorizationStatusEnumType,
    ChargingProfileKindEnumType,
    ChargingProfilePurposeEnumType,
    ChargingRateUnitEnumType,
    DataTransferStatusEnumType,
    GenericStatusEnumType,
    NotifyEVChargingNeedsStatusEnumType,
    RegistrationStatusEnumType,
)

from agent.ocpp.profiles import Profile, Purpose
from agent.ocpp.session import CALL_TIMEOUT_S, Desk, SessionBase, Socket, wire_log
from agent.ocpp.station import Connector, Station
from derms.errors import DeviceError

SUBPROTOCOL = "ocpp2.0.1"

_PURPOSES: dict[Purpose, ChargingProfilePurposeEnumType] = {
    "transaction": ChargingProfilePurposeEnumType.tx_profile,
    "default": ChargingProfilePurposeEnumType.tx_default_profile,
    "station": ChargingProfilePurposeEnumType.charging_station_max_profile,
}
_MEASURANDS = "Power.Active.Import,Energy.Active.Import.Register,SoC"


class Session201(SessionBase, ChargePoint):
    """Implements `agent.ocpp.station.Session`."""

    def __init__(self, station: Station, socket: Socket, desk: Desk) -> None:
        super().__init__(station.station_id, socket, CALL_TIMEOUT_S, wire_log())
        self.station = station
        self.desk = desk
        self.started = asyncio.Event()

    async def install(self, connector: int, profile: Profile, *, start: str) -> None:
        """See `Session.install`."""
        in_amps = profile.unit == "A"
        schedule = ChargingScheduleType(
            id=profile.profile_id,
            charging_rate_unit=ChargingRateUnitEnumType.amps if in_amps else ChargingRateUnitEnumType.watts,
            charging_schedule_period=[
                ChargingSchedulePeriodType(start_period=0, limit=profile.limit, number_phases=profile.phases)
            ],
            start_schedule=start,
            duration=profile.seconds,
        )
        wanted = ChargingProfileType(
            id=profile.profile_id,
            stack_level=profile.stack_level,
            charging_profile_purpose=_PURPOSES[profile.purpose],
            charging_profile_kind=ChargingProfileKindEnumType.absolute,
            charging_schedule=[schedule],
            transaction_id=profile.transaction,
        )
        await self.ask(call.SetChargingProfile(evse_id=connector, charging_profile=wanted), "charging profile")

    async def clear(self, profile_id: int) -> None:
        """See `Session.clear`."""
        wanted = call.ClearChargingProfile(charging_profile_id=profile_id)
        await self.ask(wanted, "cleared profile", fine=("Accepted", "Unknown"))

    async def configure(self) -> None:
        """Ask for measurements often enough; a station that does not take that is listened to as it is."""
        await self.wait_started()
        component = ComponentType(name="SampledDataCtrlr")
        wanted = [
            SetVariableDataType(attribute_value=value, component=component, variable=VariableType(name=name))
            for name, value in (("TxUpdatedMeasurands", _MEASURANDS), ("TxUpdatedInterval", str(self.desk.sample_s)))
        ]
        try:
            await self.ask(call.SetVariables(set_variable_data=wanted), "sampling interval")
        except DeviceError:
            return

    @on(Action.boot_notification)
    def _boot(self, **_: Any) -> call_result.BootNotification:
        self.station.boot()
        self.started.set()
        self.desk.changed()
        accepted, pending = RegistrationStatusEnumType.accepted, RegistrationStatusEnumType.pending
        status = pending if self.desk.quarantined else accepted
        return call_result.BootNotification(self.now(), self.desk.heartbeat_s, status)

    @on(Action.heartbeat)
    def _heartbeat(self, **_: Any) -> call_result.Heartbeat:
        return call_result.Heartbeat(current_time=self.now())

    @on(Action.authorize)
    def _authorize(self, id_token: dict[str, Any], **_: Any) -> call_result.Authorize:
        return call_result.Authorize(id_token_info=self._verdict(id_token))

    @on(Action.status_notification)
    def _status(self, connector_status: str, evse_id: int, **_: Any) -> call_result.StatusNotification:
        connector = self.connector(evse_id)
        if connector is not None:
            # Occupied says that a car is there; what it does is in the transaction's events
            busy = connector_status == "Occupied"
            if not busy or connector.status in ("", "Available", "Reserved", "Faulted", "Unavailable"):
                connector.hear_status("Preparing" if busy else connector_status)
            self.desk.changed()
        return call_result.StatusNotification()

    @on(Action.transaction_event)
    def _transaction(
        self,
        event_type: str,
        transaction_info: dict[str, Any],
        evse: dict[str, Any] | None = None,
        meter_value: list[dict[str, Any]] | None = None,
        id_token: dict[str, Any] | None = None,
        **_: Any,
    ) -> call_result.TransactionEvent:
        transaction = str(transaction_info.get("transaction_id", ""))
        connector = self._of(evse, transaction)
        if connector is not None and not self.desk.quarantined:
            connector.transaction = None if event_type == "Ended" else transaction
            state = "Finishing" if event_type == "Ended" else transaction_info.get("charging_state")
            if state is not None:
                connector.hear_status(str(state))
            if meter_value:
                connector.hear_meter(meter_value, now_s=self.desk.clock.monotonic_s())
            self.desk.changed()
        return call_result.TransactionEvent(id_token_info=None if id_token is None else self._verdict(id_token))

    @on(Action.meter_values)
    def _meter(self, evse_id: int, meter_value: list[dict[str, Any]], **_: Any) -> call_result.MeterValues:
        connector = self.connector(evse_id)
        if connector is not None:
            connector.hear_meter(meter_value, now_s=self.desk.clock.monotonic_s())
            self.desk.changed()
        return call_result.MeterValues()

    @on(Action.notify_ev_charging_needs)
    def _needs(self, evse_id: int, charging_needs: dict[str, Any], **_: Any) -> call_result.NotifyEVChargingNeeds:
        connector = self.connector(evse_id)
        if connector is not None:
            ac, dc = charging_needs.get("ac_charging_parameters"), charging_needs.get("dc_charging_parameters")
            energy_wh = (ac or dc or {}).get("energy_amount")
            connector.needs_kwh = energy_wh / 1000 if isinstance(energy_wh, int) and energy_wh >= 0 else None
            capacity_wh = (dc or {}).get("ev_energy_capacity")
            connector.capacity_kwh = capacity_wh / 1000 if isinstance(capacity_wh, int) and capacity_wh > 0 else None
            connector.ready_by_ms = _epoch_ms(charging_needs.get("departure_time"))
            self.desk.changed()
        return call_result.NotifyEVChargingNeeds(status=NotifyEVChargingNeedsStatusEnumType.accepted)

    @on(Action.notify_ev_charging_schedule)
    def _schedule(self, **_: Any) -> call_result.NotifyEVChargingSchedule:
        return call_result.NotifyEVChargingSchedule(status=GenericStatusEnumType.accepted)

    @on(Action.notify_event)
    def _event(self, **_: Any) -> call_result.NotifyEvent:
        return call_result.NotifyEvent()

    @on(Action.notify_report)
    def _report(self, **_: Any) -> call_result.NotifyReport:
        return call_result.NotifyReport()

    @on(Action.security_event_notification)
    def _security(self, **_: Any) -> call_result.SecurityEventNotification:
        return call_result.SecurityEventNotification()

    @on(Action.firmware_status_notification)
    def _firmware(self, **_: Any) -> call_result.FirmwareStatusNotification:
        return call_result.FirmwareStatusNotification()

    @on(Action.log_status_notification)
    def _log(self, **_: Any) -> call_result.LogStatusNotification:
        return call_result.LogStatusNotification()

    @on(Action.data_transfer)
    def _data(self, **_: Any) -> call_result.DataTransfer:
        return call_result.DataTransfer(status=DataTransferStatusEnumType.unknown_vendor_id)

    def _of(self, evse: dict[str, Any] | None, transaction: str) -> Connector | None:
        """Whose a transaction is: later events need not name the EVSE, and it may have begun before this side did."""
        if evse is not None:
            return self.connector(evse.get("id"))
        connectors = list(self.station.connectors.values())
        known = next((c for c in connectors if c.transaction == transaction), None)
        return connectors[0] if known is None and len(connectors) == 1 else known

    def _verdict(self, id_token: dict[str, Any]) -> IdTokenInfoType:
        known = self.desk.may_charge(id_token.get("id_token"))
        return IdTokenInfoType(
            status=AuthorizationStatusEnumType.accepted if known else AuthorizationStatusEnumType.invalid
        )


def _epoch_ms(text: object) -> int | None:
    try:
        at = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return None if at.tzinfo is None else round(at.timestamp() * 1000)
