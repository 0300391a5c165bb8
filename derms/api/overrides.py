"""`/api/devices/{device_id}/override`: what an operator lays upon one device."""

from datetime import datetime

from aiohttp import web

from derms.api.bodies import answer, nothing, read_body
from derms.api.checks import check_line, end_of, no_device, now_of
from derms.api.middleware import asker, author
from derms.api.routes import Route
from derms.api.schemas.overrides import OverrideIn, OverrideOut, override_out
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import ConflictError, UsageError
from derms.model import Device, DeviceKind, DeviceOverride, Enrolment, OverrideKind, Role

_TOLD = (DeviceKind.PV, DeviceKind.BATTERY, DeviceKind.EV)


def routes(services: Services) -> list[Route]:
    """Laying an override upon a device, and taking it off."""

    async def put_override(request: web.Request) -> web.Response:
        asked = await read_body(request, OverrideIn)
        device = _device(services, request.match_info["device_id"])
        override = to_override(asked, device, now=now_of(services.clock), created_by=asker(request).username)
        async with store_answers(
            f"the override of {device.device_id} may not be stored", next_step="look at the device, and send it again"
        ):
            await services.overrides.put_override(override, by=author(request))
        services.registry.put_override(override)
        return answer(override_out(override))

    async def delete_override(request: web.Request) -> web.Response:
        device = _device(services, request.match_info["device_id"])
        async with store_answers(
            f"the override of {device.device_id} may still be there", next_step="look at the device, and try again"
        ):
            await services.overrides.clear_override(device.device_id, by=author(request))
        services.registry.release(device.device_id)
        return nothing()

    path = "/api/devices/{device_id}/override"
    return [
        Route(
            method="PUT", path=path, handler=put_override, role=Role.OPERATOR,
            summary="Hold a device at a power, or block it, for a while", body=OverrideIn, answer=OverrideOut,
            problems=(404, 409, 503),
        ),
        Route(
            method="DELETE", path=path, handler=delete_override, role=Role.OPERATOR, summary="Release an override",
            status=204, problems=(404, 503),
        ),
    ]  # fmt: skip


def to_override(asked: OverrideIn, device: Device, *, now: datetime, created_by: str) -> DeviceOverride:
    """Check what was asked for and make the override of it. Pure.

    Raises:
        UsageError: It cannot be meant.
        ConflictError: The device is in a state in which it would do nothing.
    """
    check_line("reason", asked.reason)
    if device.kind not in _TOLD:
        raise UsageError(
            f"{device.device_id} is a {device.kind.value}",
            why="it is measured and takes no setpoints",
            next_step="choose a device that can be told",
        )
    if device.enrolment is not Enrolment.ACTIVE:
        raise ConflictError(
            f"{device.device_id} is {device.enrolment.value}", why="it is told nothing", next_step="adopt it first"
        )
    if (asked.kind is OverrideKind.HOLD) != (asked.p_kw is not None):
        raise UsageError(
            "a hold without p_kw" if asked.p_kw is None else "a block with p_kw",
            why="a hold is at a power, a block at none",
            next_step="send p_kw with a hold only",
        )
    if asked.p_kw is not None and not -device.p_export_max_kw <= asked.p_kw <= device.p_import_max_kw:
        raise UsageError(
            f"p_kw is {asked.p_kw:g}",
            why=f"{device.device_id} can do from {-device.p_export_max_kw:g} to {device.p_import_max_kw:g} kW, import "
            "positive",
            next_step="choose a power within that",
        )
    return DeviceOverride(
        device_id=device.device_id,
        kind=asked.kind,
        p_kw=asked.p_kw,
        reason=asked.reason,
        created_by=created_by,
        created_at=now,
        until=end_of(until=asked.until, duration_s=asked.duration_s, now=now),
    )


def _device(services: Services, device_id: str) -> Device:
    device = services.registry.device(device_id)
    if device is None:
        raise no_device(device_id)
    return device
