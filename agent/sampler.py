"""From a reading to a sample, and when one is due before its time. Pure but for its memory of the last one."""

from dataclasses import dataclass

from agent.driver import Capabilities, Reading
from agent.endpoint import Lease
from derms.model import Dialect, Telemetry

_FAULT_CHARACTERS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a device says of itself in every sample."""

    device_id: str
    capabilities: Capabilities
    dialect: Dialect = Dialect.V1
    site_id: str | None = None
    feeder_id: str | None = None
    source: str = "pi-agent"
    """Who says so, in the envelope shape."""


class Sampler:
    """Makes one device's samples.

    Args:
        identity: Who it is.
        first_seq: Of its first sample.
        deadband_kw: A power that moves by more than this is worth a sample at once [kW]; None: never.
    """

    def __init__(self, identity: Identity, *, first_seq: int = 1, deadband_kw: float | None = None) -> None:
        self._identity = identity
        self._seq = first_seq - 1
        self._deadband_kw = deadband_kw
        self._last: Telemetry | None = None

    @property
    def watches(self) -> bool:
        """Whether it is worth measuring between two reports."""
        return self._deadband_kw is not None

    def sample(
        self,
        reading: Reading,
        *,
        at_ms: int,
        lease: Lease | None,
        fault: str | None,
        refused: tuple[tuple[str, int], ...],
    ) -> Telemetry:
        """Say what was measured.

        Args:
            reading: The measurement.
            at_ms: The wall clock [epoch ms].
            lease: What the device follows.
            fault: What is wrong, in words.
            refused: How many setpoints were refused, by reason.
        """
        who, can = self._identity, self._identity.capabilities
        self._seq += 1
        self._last = Telemetry(
            device_id=who.device_id,
            kind=can.kind,
            at_ms=at_ms,
            p_actual_kw=reading.p_actual_kw,
            p_setpoint_kw=None if lease is None else lease.p_kw,
            soc=reading.soc,
            seq=self._seq,
            site_id=who.site_id,
            feeder_id=who.feeder_id,
            p_max_kw=reading.p_max_kw if reading.p_max_kw is not None else self._rating_kw(),
            capacity_kwh=reading.capacity_kwh or can.capacity_kwh,
            ready_by_ms=reading.ready_by_ms,
            energy_needed_kwh=reading.energy_needed_kwh,
            status=reading.status,
            applied_epoch=None if lease is None else lease.epoch,
            applied_seq=None if lease is None else lease.seq,
            fault=_said(fault),
            refused=refused,
            dialect=who.dialect,
            source=who.source,
        )
        return self._last

    def changed(self, reading: Reading) -> bool:
        """Whether a reading differs so much from what was last said that it should not wait."""
        last, band_kw = self._last, self._deadband_kw
        if last is None or band_kw is None:
            return False
        return (
            abs(reading.p_actual_kw - last.p_actual_kw) > band_kw
            or reading.status is not last.status
            or (reading.soc is None) is not (last.soc is None)
        )

    def _rating_kw(self) -> float | None:
        """None for what has no rating: a meter says nothing rather than 0."""
        can = self._identity.capabilities
        return max(can.p_import_max_kw, can.p_export_max_kw) or None


def _said(fault: str | None) -> str | None:
    """Words that fit the wire: one line, not too long."""
    if fault is None:
        return None
    text = "".join(c if c.isprintable() else " " for c in fault).strip()
    return text[:_FAULT_CHARACTERS] or None
