"""The registry at the start: feeders, devices and leases out of the store, and the default feeder into it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from derms.fleet import Fleet
from derms.model import Device, Feeder
from derms.ports import Clock
from derms.settings import Settings
from derms.store.postgres import PostgresStore

log = logging.getLogger(__name__)


async def restore(
    store: PostgresStore, settings: Settings, registrations: Sequence[Device], clock: Clock
) -> tuple[Fleet, list[Feeder]]:
    """Read the registry and the leases that still live, so that a restart goes on where it stopped.

    Args:
        store: Where they are.
        settings: Say what the default feeder is.
        registrations: Devices to be registered beforehand.
        clock: Tells which leases still live.

    Returns:
        The fleet, and all feeders.

    Raises:
        StoreError: The store does not answer.
    """
    feeders = {feeder.feeder_id: feeder for feeder in await store.load_feeders()}
    wanted = _default_feeder(settings, feeders.get(settings.feeder_id))
    if feeders.get(settings.feeder_id) != wanted:
        await store.save_feeder(wanted)
        feeders[settings.feeder_id] = wanted
    known = await store.load_devices()
    fleet = Fleet()
    for device in known:
        fleet.register(device, spoke=True)
    if registrations:
        await store.save_devices(registrations)
        for device in registrations:
            # Announced beforehand, so their default control is known: they need not be feared at their rating.
            fleet.register(device, spoke=True)
    leases = await store.live_setpoints(datetime.fromtimestamp(clock.now_ms() / 1000.0, tz=UTC))
    resumed = fleet.resume(leases, now_s=clock.monotonic_s(), now_ms=clock.now_ms())
    log.info("The registry is read", extra={"feeders": len(feeders), "devices": len(fleet), "leases": resumed})
    return fleet, list(feeders.values())


def _default_feeder(settings: Settings, stored: Feeder | None) -> Feeder:
    """The default feeder: as stored, but what the settings say outright is what counts."""
    fresh = Feeder(
        feeder_id=settings.feeder_id,
        name=settings.feeder_name,
        import_limit_kw=settings.feeder_import_limit_kw,
        export_limit_kw=settings.feeder_export_limit_kw,
        margin_kw=settings.feeder_margin_kw,
    )
    if stored is None:
        return fresh
    said = {
        field: getattr(fresh, field)
        for field, setting in (
            ("name", "feeder_name"),
            ("import_limit_kw", "feeder_import_limit_kw"),
            ("export_limit_kw", "feeder_export_limit_kw"),
            ("margin_kw", "feeder_margin_kw"),
        )
        if setting in settings.model_fields_set
    }
    changed = replace(stored, **said)
    if changed != stored:
        log.info("The settings change feeder %s", stored.feeder_id, extra=said)
    return changed
