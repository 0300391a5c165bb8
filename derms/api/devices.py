"""`/api/devices`: lists and lookups from memory; a change is committed first, then told to the live controller."""

import asyncio

from aiohttp import web

from derms.api.bodies import answer, nothing, read_body, read_query
from derms.api.checks import no_device, now_of
from derms.api.middleware import author
from derms.api.registrations import changes_of, to_device
from derms.api.routes import Route
from derms.api.schemas.devices import DeviceIn, DeviceOut, DevicePatch, DevicesOut, DevicesQuery
from derms.api.schemas.why import WhyOut
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import ConflictError
from derms.model import Device, Enrolment, Role

_SLICE = 500
"""Devices that are made into an answer before others get their turn."""


def routes(services: Services) -> list[Route]:
    """The devices."""
    handlers = _Handlers(services)
    one = "/api/devices/{device_id}"
    return [
        Route(
            method="GET", path="/api/devices", handler=handlers.list, role=Role.VIEWER, summary="The devices, a page",
            query=DevicesQuery, answer=DevicesOut,
        ),
        Route(
            method="POST", path="/api/devices", handler=handlers.create, role=Role.OPERATOR,
            summary="Register a device before it speaks", body=DeviceIn, answer=DeviceOut, status=201,
            problems=(404, 409, 503),
        ),
        Route(
            method="GET", path=one, handler=handlers.show, role=Role.VIEWER, summary="One device", answer=DeviceOut,
            problems=(404,),
        ),
        Route(
            method="PATCH", path=one, handler=handlers.change, role=Role.OPERATOR, summary="Change a registration",
            body=DevicePatch, answer=DeviceOut, problems=(404, 409, 503),
        ),
        Route(
            method="DELETE", path=one, handler=handlers.retire, role=Role.ADMIN,
            summary="Retire a device; its room is kept until its lease is over", status=204, problems=(404, 409, 503),
        ),
        Route(
            method="POST", path=f"{one}/adopt", handler=handlers.adopt, role=Role.OPERATOR,
            summary="Take a quarantined or retired device in, with corrections", body=DevicePatch, answer=DeviceOut,
            problems=(404, 409, 503),
        ),
        Route(
            method="GET", path=f"{one}/why", handler=handlers.why, role=Role.VIEWER,
            summary="Why a device has the setpoint it has", answer=WhyOut, problems=(404,),
        ),
    ]  # fmt: skip


class _Handlers:
    """One method a route; changes come one after the other, so that each is checked against the one before."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._changing = asyncio.Lock()

    async def list(self, request: web.Request) -> web.Response:
        """A page, in slices: a large one must not hold the others up."""
        devices = self._services.devices
        rows, total, cursor = devices.select(read_query(request, DevicesQuery))
        shown: list[DeviceOut] = []
        for start in range(0, len(rows), _SLICE):
            if start:
                await asyncio.sleep(0)
            shown += devices.shown(rows[start : start + _SLICE])
        return answer(DevicesOut(devices=shown, total=total, next_cursor=cursor))

    async def show(self, request: web.Request) -> web.Response:
        """One device, from memory."""
        return answer(self._shown(request.match_info["device_id"]))

    async def why(self, request: web.Request) -> web.Response:
        """The last decision read back."""
        device_id = request.match_info["device_id"]
        found = self._services.why.why(device_id)
        if found is None:
            raise no_device(device_id)
        return answer(found)

    async def create(self, request: web.Request) -> web.Response:
        """A registration made beforehand."""
        services = self._services
        asked = await read_body(request, DeviceIn)
        async with store_answers(
            f"device {asked.device_id} may not be stored", next_step="look it up before sending it again"
        ), self._changing:  # fmt: skip
            if services.registry.device(asked.device_id) is not None:
                raise ConflictError(
                    f"there is a device {asked.device_id} already",
                    why="an id stands for one device",
                    next_step="change that one with PATCH, or choose another id",
                )
            device = to_device(asked, feeder_ids=services.feeders.feeder_ids(), now=now_of(services.clock))
            await services.registrations.add_device(device, by=author(request))
            services.registry.add_device(device)
        return answer(self._shown(device.device_id), status=201)

    async def change(self, request: web.Request) -> web.Response:
        """Some fields of a registration."""
        patch = await read_body(request, DevicePatch)
        return await self._changed(request, patch, "device.change")

    async def adopt(self, request: web.Request) -> web.Response:
        """Take its word from now on."""
        patch = await read_body(request, DevicePatch)
        return await self._changed(request, patch, "device.adopt", enrolment=Enrolment.ACTIVE)

    async def retire(self, request: web.Request) -> web.Response:
        """Take its word no longer."""
        await self._changed(request, DevicePatch(), "device.retire", enrolment=Enrolment.RETIRED)
        return nothing()

    async def _changed(
        self, request: web.Request, patch: DevicePatch, action: str, *, enrolment: Enrolment | None = None
    ) -> web.Response:
        services, device_id = self._services, request.match_info["device_id"]
        async with store_answers(
            f"the change of {device_id[:64]!r} may not be stored", next_step="look at it before sending it again"
        ), self._changing:  # fmt: skip
            device = services.registry.device(device_id)
            if device is None:
                raise no_device(device_id)
            changes = changes_of(
                device, patch, feeder_ids=services.feeders.feeder_ids(), now=now_of(services.clock)
            )  # fmt: skip
            if enrolment is not None:
                _check_enrolment(device, enrolment)
                changes["enrolment"] = enrolment
            if changes:
                wanted = services.registry.as_changed(device_id, changes)
                await services.registrations.change_device(wanted, set(changes), action=action, by=author(request))
                services.registry.change_device(device_id, changes)
        return answer(self._shown(device_id))

    def _shown(self, device_id: str) -> DeviceOut:
        row = self._services.devices.row(device_id)
        if row is None:
            raise no_device(device_id)
        return self._services.devices.shown([row])[0]


def _check_enrolment(device: Device, wanted: Enrolment) -> None:
    if device.enrolment is wanted:
        raise ConflictError(
            f"device {device.device_id} is {device.enrolment.value} already",
            why="there is nothing to be done",
            next_step="change its registration with PATCH",
        )
