"""What a decision says, in words. Pure."""

from typing import assert_never

from derms.columns import Decision, Reason
from derms.control.limits import STATIC


def reason_text(reason: Reason, decision: Decision, feeder_id: str) -> str:
    """Say what bound a setpoint, in the words that go out with it."""
    match reason:
        case Reason.NONE:
            return "all it can take"
        case Reason.IMPORT_LIMIT:
            return f"{feeder_id} {_limit('import', decision.import_source)}"
        case Reason.MINIMUM_POWER:
            return f"{feeder_id} {_limit('import', decision.import_source)}: its smallest power does not fit, waiting"
        case Reason.RAMP:
            return "on its way up: ramp, or room not free yet"
        case Reason.FULL:
            return "full"
        case Reason.UNAVAILABLE:
            return "not available, or nothing connected"
        case Reason.RELIEF:
            return f"{feeder_id} relief: {_limit('import', decision.import_source)}"
        case Reason.EXPORT_LIMIT:
            return f"{feeder_id} {_limit('export', decision.export_source)}"
        case Reason.UPTAKE:
            return "takes less than it was granted"
        case Reason.SILENT:
            return "not heard of late: as before"
    assert_never(reason)


def _limit(direction: str, source: str) -> str:
    return f"{direction} limit" if source == STATIC else f"{direction} limit of event {source}"
