"""What people say of devices, checked and made into registrations. Pure."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from msgspec import UNSET

from derms.api.checks import ahead, check_feeder, check_line
from derms.api.schemas.devices import DeviceIn, DevicePatch
from derms.errors import UsageError
from derms.model import Device, DeviceKind

_LEAST_STEP_KW = 0.001
"""A finer one is meant as a unit of its own [kW]."""
_TOLD = (DeviceKind.PV, DeviceKind.BATTERY, DeviceKind.EV)


def to_device(asked: DeviceIn, *, feeder_ids: Collection[str], now: datetime) -> Device:
    """Check a registration made beforehand.

    Raises:
        UsageError: It cannot be meant.
        NotFoundError: The feeder does not exist.
    """
    said = {name: getattr(asked, name) for name in asked.__struct_fields__}
    said["kind"] = said.pop("type")
    device = Device(**_whole(said, feeder_ids, now))
    _check(device, said)
    return device


def changes_of(device: Device, patch: DevicePatch, *, feeder_ids: Collection[str], now: datetime) -> dict[str, Any]:
    """Check what is to be changed of a registration.

    Args:
        device: As it is.
        patch: What was sent.
        feeder_ids: The feeders there are.
        now: This instant.

    Returns:
        The fields that were sent and what they are to be.

    Raises:
        UsageError: It cannot be meant.
        NotFoundError: The feeder does not exist.
    """
    said = {name: getattr(patch, name) for name in patch.__struct_fields__ if getattr(patch, name) is not UNSET}
    changes = _whole(said, feeder_ids, now)
    values = {name: getattr(device, name) for name in device.__dataclass_fields__} | changes
    _check(Device(**values), changes)
    return changes


def _whole(said: dict[str, Any], feeder_ids: Collection[str], now: datetime) -> dict[str, Any]:
    """Each value for itself."""
    values = dict(said)
    if "feeder_id" in values:
        check_feeder(values["feeder_id"], feeder_ids)
    if values.get("site_id") is not None:
        check_line("site_id", values["site_id"])
    if values.get("ready_by") is not None:
        values["ready_by"] = ahead("ready_by", values["ready_by"], now)
    return values


def _check(device: Device, said: Collection[str]) -> None:
    """Values against each other, where one of them was said: what was there before need not be explained now."""
    most = device.p_import_max_kw
    if _any(said, "p_min_kw", "p_import_max_kw") and device.p_min_kw > most:
        raise UsageError(
            f"p_min_kw is {device.p_min_kw:g}",
            why=f"it is more than the device can draw, p_import_max_kw is {most:g}",
            next_step="lower p_min_kw, or raise the rating",
        )
    if _any(said, "p_step_kw", "p_import_max_kw") and device.p_step_kw and not (
        _LEAST_STEP_KW <= device.p_step_kw <= most
    ):  # fmt: skip
        raise UsageError(
            f"p_step_kw is {device.p_step_kw:g}",
            why=f"it is 0 for any power, or from {_LEAST_STEP_KW} up to p_import_max_kw, which is {most:g}",
            next_step="correct it, or send 0",
        )
    if _any(said, "min_soc_reserve", "target_soc") and device.min_soc_reserve > device.target_soc:
        raise UsageError(
            f"min_soc_reserve is {device.min_soc_reserve:g}",
            why=f"it is above target_soc, which is {device.target_soc:g}",
            next_step="lower it, or raise target_soc",
        )
    told = device.kind in _TOLD and _any(said, "default_power_kw", "p_import_max_kw", "p_export_max_kw")
    if told and not -device.p_export_max_kw <= device.default_power_kw <= most:
        raise UsageError(
            f"default_power_kw is {device.default_power_kw:g}",
            why=f"the device can do from {-device.p_export_max_kw:g} to {most:g} kW",
            next_step="send a default_power_kw within that",
        )


def _any(said: Collection[str], *names: str) -> bool:
    return any(name in said for name in names)
