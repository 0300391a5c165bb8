"""What the three shapes share: field types with their ranges, the values that come out, and small conversions. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from derms.contract.strict import Refused
from derms.model import DeviceKind, Outcome, Telemetry

MAX_POWER_KW = 1_000_000.0
"""Beyond it a power is not believed [kW], a magnitude; the same number bounds capacities [kWh]."""
MAX_TEXT = 128
"""The longest free text (a site, a feeder, a reason) [characters]."""
MAX_REASONS = 32
"""For so many reasons a device may count what it refused."""
FUTURE_TOLERANCE_MS = 30_000
"""How far ahead of the controller's clock a measurement may be [ms]."""
MAX_AGE_MS = 24 * 3600 * 1000
"""How old a measurement may be [ms]; a day, so that what a device kept through an outage is still stored."""
MAX_INSTANT_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""

Power = Annotated[float, Meta(ge=-MAX_POWER_KW, le=MAX_POWER_KW)]
Magnitude = Annotated[float, Meta(ge=0, le=MAX_POWER_KW)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Millis = Annotated[int, Meta(ge=1, le=MAX_INSTANT_MS)]
Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]

NUMBERS = frozenset(
    (
        *("v", "ts", "seq", "epoch", "p_actual_kw", "p_setpoint_kw", "soc", "p_max_kw", "capacity_kwh", "ready_by"),
        *("issued_at", "valid_until", "heartbeat", "timestamp", "timestampMs", "sentAtMs", "powerKw", "energyKwh"),
        *("maxChargeKw", "maxDischargeKw", "capacityKwh", "targetPowerKw", "validUntilMs", "energy_needed_kwh"),
    )
)
"""Every key of the wire that holds a number."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that changes nothing, and why."""

    outcome: Outcome
    device_id: str | None
    """Whose it would have been, as far as the topic tells."""
    detail: str
    """One line for the log: the rule that was broken."""


class Decoded(Struct, frozen=True, gc=False):
    """A message that was understood."""

    telemetry: Telemetry
    spoke_percent: bool = False
    """It shows that the device speaks SOC in percent, from now on."""
    gateway_id: str | None = None
    """The gateway that spoke for the device; whether it may is for the caller to judge."""


def given(value: T | UnsetType | None) -> T | None:
    """A field's value; None: null or not there."""
    return None if isinstance(value, UnsetType) else value


def optional(value: T | None) -> T | UnsetType:
    """The other way: what is None is left out of the message."""
    return UNSET if value is None else value


def signed(value: float, kind: DeviceKind) -> float:
    """Between the load convention and the older shapes, both ways: there PV counts generation as positive.

    Never answers -0.0.
    """
    return 0.0 - value if kind is DeviceKind.PV else value + 0.0


def fraction_of(soc: float | None, speaks_percent: bool) -> tuple[float | None, bool]:
    """SOC as 0..1, and whether this value shows that the device speaks percent.

    Args:
        soc: 0..1 or 0..100.
        speaks_percent: It sent more than 1 before, so that its 0.8 means 0.8 %.
    """
    if soc is None:
        return None, False
    shows = soc > 1
    return (soc / 100 if shows or speaks_percent else soc), shows


def check_text(name: str, text: str | None) -> str | None:
    """Free text that a log line, a terminal and a database can all take.

    Raises:
        Refused: It is too long, or holds control characters.
    """
    if text is not None and (len(text) > MAX_TEXT or not text.isprintable()):
        raise Refused(Outcome.INVALID, f"{name}: at most {MAX_TEXT} printable characters")
    return text


def check_refused(said: dict[str, int] | None) -> tuple[tuple[str, int], ...]:
    """What a device refused, by reason; the reasons are its own.

    Raises:
        Refused: There are too many, or one is no short word.
    """
    if not said:
        return ()
    if len(said) > MAX_REASONS or not all(_REASON.fullmatch(reason) for reason in said):
        raise Refused(Outcome.INVALID, f"refused: at most {MAX_REASONS} reasons, each a word such as 'older_seq'")
    return tuple(said.items())


def check_time(at_ms: int, now_ms: int) -> None:
    """Judge a measurement's instant by the controller's clock.

    Raises:
        Refused: It is too far ahead, or too old.
    """
    age_ms = now_ms - at_ms
    if age_ms < -FUTURE_TOLERANCE_MS:
        raise Refused(Outcome.FROM_THE_FUTURE, f"{-age_ms / 1000:.0f} s ahead of the controller")
    if age_ms > MAX_AGE_MS:
        raise Refused(Outcome.TOO_OLD, f"{age_ms / 3_600_000:.1f} h old, the limit is {MAX_AGE_MS // 3_600_000} h")


def check_identity(said: str, expected: str) -> None:
    """The topic and the payload must name the same device.

    Raises:
        Refused: They do not.
    """
    if said != expected:
        raise Refused(Outcome.IDENTITY_MISMATCH, f"the topic says {expected!r}, the payload {said[:64]!r}")


def check_version(v: int) -> None:
    """Only version 1 is spoken here.

    Raises:
        Refused: It is another.
    """
    if v != 1:
        raise Refused(Outcome.UNKNOWN_VERSION, f"v is {v}, this controller speaks 1")


def from_iso(text: str) -> int:
    """ISO 8601 date and time to epoch ms; without a zone it is taken as UTC.

    Raises:
        Refused: It is not one.
    """
    try:
        if text[10] not in "Tt ":
            raise ValueError
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        ms = (at - _EPOCH) // _MILLISECOND
    except (ValueError, IndexError, OverflowError) as error:
        raise Refused(Outcome.INVALID, f"{text[:40]!r} is not an ISO date and time") from error
    if not 1 <= ms <= MAX_INSTANT_MS:
        raise Refused(Outcome.INVALID, f"{text[:40]!r} is before 1970")
    return ms


def to_iso(at_ms: int) -> str:
    """Epoch ms to ISO 8601, UTC, with milliseconds."""
    return (_EPOCH + at_ms * _MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_REASON = re.compile(r"[a-z][a-z_]{0,31}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
