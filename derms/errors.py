"""The exception tree of the project.

::

    DermsError
    ├── UsageError            what was asked for cannot be meant       (bad flag value, bad file, bad row)
    │   ├── ConfigError       a setting, or the file it came from, is wrong
    │   └── RefusedError      a measurement that the wire contract refuses
    ├── NotFoundError         the thing named does not exist
    ├── AccessError           who asks is unknown, or may not
    │   └── ThrottledError    it was tried too often
    ├── ClockError            this machine's clock is off by more than can be allowed
    ├── ConflictError         the thing exists already, or is in another state
    │   └── AddressInUseError a TCP port is taken
    └── UnavailableError      something outside does not answer
        ├── StandbyError      another controller commands
        ├── BrokerError       the MQTT broker
        ├── StoreError        the database, or the disk under it
        └── DeviceError       the inverter, battery or charger beside an agent
            └── DeviceFaultError  it answers, with an error or with what cannot be meant

Errors know nothing of HTTP or of exit codes: `derms.api.middleware` and `derms.cli.output` each hold one
mapping. Vendor errors are translated at their door with ``from error``. Expected outcomes (a refused message, an
infeasible limit) are values, not exceptions.
"""


class DermsError(Exception):
    """Something went wrong that a person can act upon.

    Args:
        what: One line: what is wrong, with the value that is.
        why: One line: the rule it broke, or what was met.
        next_step: One line: what to do now.
    """

    code: str = "derms-error"
    """The documented code (`docs/errors.md`); one per class, stable across releases."""

    def __init__(self, what: str, *, why: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        """All that is known, on one line."""
        parts = [self.what]
        if self.why:
            parts.append(self.why)
        if self.next_step:
            parts.append(self.next_step)
        return "; ".join(parts)


class UsageError(DermsError):
    """What was asked for cannot be meant: a bad value, a bad file, a bad row."""

    code = "usage"


class ConfigError(UsageError):
    """A setting, or the file it came from, is wrong."""

    code = "config"


class RefusedError(UsageError):
    """A measurement that the wire contract refuses; what it says begins with the outcome's name."""

    code = "telemetry-refused"


class NotFoundError(DermsError):
    """The thing named does not exist."""

    code = "not-found"


class AccessError(DermsError):
    """Who asks is unknown, or may not do this."""

    code = "access"


class ThrottledError(AccessError):
    """It was tried too often.

    Args:
        what: As `DermsError`.
        why: As `DermsError`.
        next_step: As `DermsError`.
        retry_after_s: When it may be tried again, from now [s].
    """

    code = "throttled"

    def __init__(self, what: str, *, why: str = "", next_step: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(what, why=why, next_step=next_step)
        self.retry_after_s = retry_after_s


class ClockError(DermsError):
    """This machine's clock is off by more than can be allowed."""

    code = "clock"


class ConflictError(DermsError):
    """The thing exists already, or is in a state that forbids this."""

    code = "conflict"


class AddressInUseError(ConflictError):
    """A TCP port that this process must listen on is taken."""

    code = "address-in-use"


class UnavailableError(DermsError):
    """Something outside this process does not answer."""

    code = "unavailable"


class StandbyError(UnavailableError):
    """This controller commands nothing now: another one does.

    Args:
        what: As `DermsError`.
        why: As `DermsError`.
        next_step: As `DermsError`.
        leader_url: Where the API of the one that commands is; empty: it does not say.
    """

    code = "standby"

    def __init__(self, what: str, *, why: str = "", next_step: str = "", leader_url: str = "") -> None:
        super().__init__(what, why=why, next_step=next_step)
        self.leader_url = leader_url


class BrokerError(UnavailableError):
    """The MQTT broker cannot be reached, or refused."""

    code = "broker-unavailable"


class StoreError(UnavailableError):
    """The database, or the disk under it, cannot take or give what was asked."""

    code = "store-unavailable"


class DeviceError(UnavailableError):
    """The device beside an agent does not answer."""

    code = "device-unavailable"


class DeviceFaultError(DeviceError):
    """The device beside an agent answers with an error, or with what cannot be meant."""

    code = "device-fault"
