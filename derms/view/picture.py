"""One picture of everything, and what changed in it since the last time."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from derms.api.schemas.devices import DeviceOut
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.api.view import FeedersView, HealthView
from derms.ports import Clock
from derms.view.devices import LiveDevices
from derms.view.instants import instant

_PART = 500
"""Devices that are looked at in one turn of the event loop."""

_Row = dict[str, Any]


class LivePicture:
    """Implements `derms.api.view.PictureView`. Remembers what it last told, so it has one listener: the hub.

    A device is looked at again only when its registration, reading, lease, status or freshness is another; so a tick
    in which few of ten thousand speak costs little.
    """

    def __init__(self, *, devices: LiveDevices, feeders: FeedersView, health: HealthView, clock: Clock) -> None:
        """Read from these, and own none of them."""
        self._view = devices
        self._feeder_view = feeders
        self._health = health
        self._clock = clock
        self._tick = 0
        self._devices: dict[str, _Row] = {}
        self._feeders: dict[str, _Row] = {}
        self._marks: list[object] = []

    async def change(self) -> ChangeOut:
        """Look again, and tell what is not as it was; a large fleet in parts, between which others get their turn."""
        devices = await self._changed_devices()
        self._tick += 1
        return ChangeOut(
            at=instant(self._clock.now_ms()),
            tick=self._tick,
            feeders=self._changed_feeders(),
            devices=devices,
            health=self._health.health(),
        )

    def whole(self) -> PictureOut:
        """Everything as it was last told."""
        return PictureOut(
            at=instant(self._clock.now_ms()),
            tick=self._tick,
            feeders=list(self._feeders.values()),
            devices=list(self._devices.values()),
            health=self._health.health(),
        )

    def _changed_feeders(self) -> list[_Row]:
        now = {feeder.feeder_id: msgspec.to_builtins(feeder) for feeder in self._feeder_view.feeders()}
        changed = _differences("feeder_id", self._feeders, now.values())
        self._feeders = now
        return changed

    async def _changed_devices(self) -> list[_Row]:
        marks = self._view.marks()
        before = [*self._marks, *[None] * (len(marks) - len(self._marks))]
        rows = [row for row, (old, new) in enumerate(zip(before, marks, strict=True)) if old != new]
        self._marks = marks
        changed: list[_Row] = []
        for start in range(0, len(rows), _PART):
            if start:
                await asyncio.sleep(0)
            now = [self._row(device) for device in self._view.shown(rows[start : start + _PART])]
            changed += _differences("device_id", self._devices, now)
            self._devices |= {row["device_id"]: row for row in now}
        return changed

    def _row(self, device: DeviceOut) -> _Row:
        shown: _Row = msgspec.to_builtins(device)
        age_s = shown.pop("age_s")
        heard = None if age_s is None else instant(self._clock.now_ms()) - timedelta(seconds=age_s)
        shown["heard_at"] = msgspec.to_builtins(heard)
        return shown


def _differences(key: str, before: Mapping[str, _Row], now: Iterable[_Row]) -> list[_Row]:
    changed = []
    for row in now:
        old = before.get(row[key])
        if old is None:
            changed.append(row)
            continue
        fields = {name: value for name, value in row.items() if name == key or old.get(name) != value}
        if len(fields) > 1:
            changed.append(fields)
    return changed
