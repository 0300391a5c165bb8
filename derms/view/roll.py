"""The registry as columns, so that lists and sums cost array operations and not a walk over every device."""

import numpy as np

from derms.api.schemas.devices import Freshness
from derms.columns import Floats, Ints, Params
from derms.fleet import Fleet
from derms.model import Enrolment, Origin

FRESHNESS = tuple(Freshness)
ORIGINS = tuple(Origin)
ENROLMENTS = tuple(Enrolment)
_GOOD, _STALE, _LOST, _NEVER = range(len(FRESHNESS))


class Roll:
    """Registrations by row, made anew when the registry has changed."""

    def __init__(self, fleet: Fleet) -> None:
        """Nothing is read yet."""
        self._fleet = fleet
        self._version = -1
        self.by_id: Ints = np.empty(0, dtype=np.int64)
        """Every row, by its device's id."""
        self.feeder_ids: list[str] = []
        """The feeders that devices are registered on."""
        self.feeder: Ints = self.by_id
        """By row: index into `feeder_ids`."""
        self.origin: Ints = self.by_id
        """By row: index into `ORIGINS`."""
        self.enrolment: Ints = self.by_id
        """By row: index into `ENROLMENTS`."""

    def current(self) -> "Roll":
        """This, up to the registry as it is now."""
        fleet = self._fleet
        if self._version == fleet.registry_version and self.by_id.size == len(fleet):
            return self
        devices = fleet.devices
        if self.by_id.size != len(devices):
            ids = [device.device_id for device in devices]
            self.by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
        codes: dict[str, int] = {}
        self.feeder = np.array([codes.setdefault(one.feeder_id, len(codes)) for one in devices], dtype=np.int64)
        self.feeder_ids = list(codes)
        origins = {origin: code for code, origin in enumerate(ORIGINS)}
        enrolments = {enrolment: code for code, enrolment in enumerate(ENROLMENTS)}
        self.origin = np.array([origins[one.origin] for one in devices], dtype=np.int64)
        self.enrolment = np.array([enrolments[one.enrolment] for one in devices], dtype=np.int64)
        self._version = fleet.registry_version
        return self


def freshness_codes(fleet: Fleet, rows: Ints, now_s: float, params: Params) -> Ints:
    """How old the newest telemetry of some devices is: indices into `FRESHNESS`, shape (n,).

    Args:
        fleet: Knows when each was heard.
        rows: Which devices, shape (n,).
        now_s: The controller's monotonic clock [s].
        params: The engine's constants.
    """
    age_s: Floats = now_s - fleet.floats("received_s", rows)
    codes = np.where(fleet.ints("spoke", rows) == 1, _LOST, _NEVER)
    heard = np.isfinite(age_s)
    codes[heard & (age_s > params.lost_after_s)] = _LOST
    codes[heard & (age_s <= params.lost_after_s)] = _STALE
    codes[heard & (age_s <= params.stale_after_s)] = _GOOD
    return codes
