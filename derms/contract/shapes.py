"""What messages are decoded with, by the names that people give the shapes. Pure; for the pages made of it."""

import msgspec

from derms.contract import envelope, presence, setpoint, telemetry

SHAPES: dict[str, type[msgspec.Struct]] = {
    "Telemetry v1": telemetry._V1,
    "Telemetry, plain shape": telemetry._Plain,
    "Telemetry, envelope shape": envelope._Envelope,
    "Setpoint v1 and plain": setpoint._V1,
    "Setpoint, envelope shape": setpoint._Envelope,
    "Controller presence": presence._Controller,
}
"""Title -> struct."""
