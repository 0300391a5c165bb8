"""The registry at the start.

Out of the store come feeders, devices, leases and overrides; into it go the feeders that the settings and the feeders
file declare.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

from derms.errors import ConfigError
from derms.feeders_file import Declared, merged, read_feeders
from derms.fleet import Fleet
from derms.model import Device, DeviceOverride, Feeder, Setpoint
from derms.ports import Clock, OverrideStore, RegistryStore
from derms.registrar import in_parts
from derms.settings import Settings

log = logging.getLogger(__name__)


_SETTING_OF = {
    "name": "feeder_name",
    "import_limit_kw": "feeder_import_limit_kw",
    "export_limit_kw": "feeder_export_limit_kw",
    "margin_kw": "feeder_margin_kw",
    "mode": "feeder_mode",
    "policy": "feeder_policy",
}
"""Fields of the default feeder, and the settings that may say them."""


class KnownStore(RegistryStore, OverrideStore, Protocol):
    """What is read at the start."""

    async def live_setpoints(self, now: datetime) -> list[Setpoint]:
        """The newest lease of each device that has one which still lives at `now`."""
        ...


async def restore(
    store: KnownStore, settings: Settings, registrations: Sequence[Device], clock: Clock
) -> tuple[Fleet, list[Feeder]]:
    """Read the registry, and the leases and overrides that still live, so that a restart goes on where it stopped.

    Args:
        store: Where they are.
        settings: Say what the default feeder is, and where others are declared.
        registrations: Devices to be registered beforehand.
        clock: Tells which leases still live.

    Returns:
        The fleet, and all feeders, each after its parent.

    Raises:
        ConfigError: The feeders as they are declared cannot be meant.
        StoreError: The store does not answer.
    """
    feeders = await _declared_feeders(store, settings)
    known = await store.load_devices()
    fleet = Fleet()
    for device in known:
        fleet.register(device, spoke=True)
    if registrations:
        for some in in_parts(registrations):
            await store.save_devices(some)
        for device in registrations:
            # Announced beforehand, so their default control is known: they need not be feared at their rating.
            fleet.register(device, spoke=True)
    now = datetime.fromtimestamp(clock.now_ms() / 1000.0, tz=UTC)
    resumed = fleet.resume(await store.live_setpoints(now), now_s=clock.monotonic_s(), now_ms=clock.now_ms())
    overrides = await store.live_overrides(now)
    for override in overrides:
        lay_upon(fleet, override, clock)
    log.info(
        "The registry is read",
        extra={"feeders": len(feeders), "devices": len(fleet), "leases": resumed, "overrides": len(overrides)},
    )
    return fleet, feeders


def lay_upon(fleet: Fleet, override: DeviceOverride, clock: Clock) -> None:
    """Let an override bear upon its device until it ends, by the clock that only goes forward."""
    row = fleet.row(override.device_id)
    if row is not None:
        left_s = override.until.timestamp() - clock.now_ms() / 1000.0
        fleet.override(row, override.kind, p_kw=override.p_kw, until_s=clock.monotonic_s() + left_s)


async def _declared_feeders(store: KnownStore, settings: Settings) -> list[Feeder]:
    """All feeders as they are to be, parents first; in the store when this returns."""
    stored = {feeder.feeder_id: feeder for feeder in await store.load_feeders()}
    declared = read_feeders(settings.feeders_file) if settings.feeders_file else ()
    default = next((one for one in declared if one.feeder_id == settings.feeder_id), None)
    if declared and default is None and settings.feeder_id not in stored:
        raise ConfigError(
            f"feeder_id is {settings.feeder_id}, which {settings.feeders_file} does not declare",
            why="unknown devices belong to that feeder, so it must be one that is there",
            next_step=f"set DERMS_FEEDER_ID to one of {', '.join(one.feeder_id for one in declared)}",
        )
    if default is not None:
        _refuse_contradictions(settings, default)
    before = {**stored, settings.feeder_id: _default_feeder(settings, stored.get(settings.feeder_id))}
    wanted = merged(declared, before.values())
    changed = [feeder for feeder in wanted if stored.get(feeder.feeder_id) != feeder]
    if changed:
        await store.save_feeders(changed)
        log.info("The feeders are written as declared", extra={"feeders": [one.feeder_id for one in changed][:20]})
    return wanted


def _default_feeder(settings: Settings, stored: Feeder | None) -> Feeder:
    """The default feeder: as stored, but what the settings say outright is what counts."""
    if stored is None:
        return Feeder(
            feeder_id=settings.feeder_id,
            **{field: getattr(settings, setting) for field, setting in _SETTING_OF.items()},
        )
    return replace(stored, **_said_outright(settings))


def _said_outright(settings: Settings) -> dict[str, Any]:
    """What flags, variables or the settings file say of the default feeder."""
    return {
        field: getattr(settings, setting)
        for field, setting in _SETTING_OF.items()
        if setting in settings.model_fields_set
    }


def declared_fields(settings: Settings) -> dict[str, frozenset[str]]:
    """What settings and feeders file say outright: feeder id -> fields that count again at every start.

    Raises:
        ConfigError: The file cannot be meant.
    """
    declared = read_feeders(settings.feeders_file) if settings.feeders_file else ()
    said = {one.feeder_id: frozenset(one.said) for one in declared}
    outright = frozenset(_said_outright(settings))
    return said | {settings.feeder_id: said.get(settings.feeder_id, frozenset()) | outright}


def _refuse_contradictions(settings: Settings, default: Declared) -> None:
    for field, value in _said_outright(settings).items():
        if field in default.said and default.said[field] != value:
            raise ConfigError(
                f"{_SETTING_OF[field]} is {value}, and {settings.feeders_file} says {default.said[field]} of "
                f"{default.feeder_id}",
                why="only one of them can be meant",
                next_step="take one of them away",
            )
