"""The closed sets of the domain, apart from its values: whoever only names them is quick to load."""

from enum import StrEnum


class DeviceKind(StrEnum):
    """What a device is."""

    PV = "pv"
    BATTERY = "battery"
    EV = "ev"
    LOAD = "load"
    METER = "meter"


class DeviceStatus(StrEnum):
    """What a device says of itself."""

    OK = "ok"
    FAULT = "fault"
    LOCAL = "local"
    UNAVAILABLE = "unavailable"


class ServeRole(StrEnum):
    """What a process of the daemon does; one may do several."""

    CONTROL = "control"
    INGEST = "ingest"
    API = "api"


class Origin(StrEnum):
    """Where a device's measurements come from."""

    SIMULATED = "simulated"
    PHYSICAL = "physical"


class Dialect(StrEnum):
    """The shape of message a device speaks; it is answered in the one it last spoke."""

    V1 = "v1"
    PLAIN = "plain"
    ENVELOPE = "envelope"


class Enrolment(StrEnum):
    """Whether the controller takes a device's word."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


class FeederMode(StrEnum):
    """What the controller does for a feeder."""

    AUTO = "auto"
    """Setpoints are computed, recorded and sent."""
    ADVISE = "advise"
    """Setpoints are computed, recorded and shown; nothing is sent."""
    OFF = "off"
    """Nothing is computed."""


class Policy(StrEnum):
    """In what order and in what proportion a feeder's headroom is given; one file each in `derms.control.policies`."""

    DEFICIT = "deficit"
    PROPORTIONAL = "proportional"
    PRIORITY = "priority"
    LEAST_LAXITY = "least_laxity"
    SESSIONS = "sessions"
    FAIR = "fair"
    EQUAL = "equal"


class OverrideKind(StrEnum):
    """What an operator lays upon one device; a release takes it off again."""

    HOLD = "hold"
    """It is kept at a power as long as every limit allows that, before all others."""
    BLOCK = "block"
    """It is kept at nothing: no charge, no discharge, no generation."""


class ProgramKind(StrEnum):
    """How a DR program says what is to be shed."""

    FIXED_CAP = "fixed_cap"
    """A target in kW."""
    PRICE_ELASTIC = "price_elastic"
    """A share of the flexible load, from incentive and penalty."""


class EventState(StrEnum):
    """Where a DR event stands."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    OVER = "over"
    CANCELLED = "cancelled"


class AlarmState(StrEnum):
    """Where an alarm stands, in the words of ANSI/ISA-18.2."""

    NORMAL = "normal"
    """Its condition is gone, and somebody has seen that it was there."""
    UNACKNOWLEDGED = "unacknowledged"
    """Its condition holds, and nobody has said that they know."""
    ACKNOWLEDGED = "acknowledged"
    """Its condition holds, and somebody knows."""
    RETURNED = "returned_unacknowledged"
    """Its condition is gone, and nobody has said that they know it was there."""
    SHELVED = "shelved"
    """Somebody has put it aside for a while, whatever its condition does."""


class AlarmChange(StrEnum):
    """What happens to an alarm."""

    RAISED = "raised"
    RETURNED = "returned"
    """To normal: its condition is gone."""
    ACKNOWLEDGED = "acknowledged"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"


class Priority(StrEnum):
    """How soon somebody should act."""

    HIGH = "high"
    """At once."""
    MEDIUM = "medium"
    """Soon."""
    LOW = "low"
    """When there is time."""


class Role(StrEnum):
    """What a user may do; each may all that the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Outcome(StrEnum):
    """What became of one received message; every message has exactly one."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    INVALID = "invalid"
    UNKNOWN_VERSION = "unknown_version"
    IDENTITY_MISMATCH = "identity_mismatch"
    FROM_THE_FUTURE = "from_the_future"
    TOO_OLD = "too_old"
    QUARANTINED = "quarantined"
