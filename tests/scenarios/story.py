"""What a scenario file may say. Pure: TOML in, values out; a word it does not know is refused.

::

    expected = "what is expected, in a sentence"      seconds = 300
    [[node]]      id, parent, limits, margin, mode, background as steps [[from_s, kW], ...], metered
    [[device]]    id, count, node, kind, ratings, what it truly does
    [[event]] [[program]] [[override]] [[fault]]      each from `at_s` for `for_s`
    [[traffic]]   cars that come and go      [[course]]   what load and sun do over the day
    [[often]]     faults at random instants  [[call]]     events at random instants; all drawn from `seed`
    [allow]       over_s: the longest stretch above a limit that is excused [s]
    [[expect]]    what must have been true in a window
"""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from derms.columns import Params
from derms.model import DeviceKind, Dialect, FeederMode, OverrideKind, Policy

FOREVER = 1e9


class Node(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A node and what truly flows there beside the devices."""

    id: str
    parent: str | None = None
    import_kw: float | None = None
    export_kw: float | None = None
    margin_kw: float = 0.0
    unmetered_kw: float = 0.0
    mode: FeederMode = FeederMode.AUTO
    policy: Policy = Policy.DEFICIT
    metered: bool = False
    """A head meter reads it once a second."""
    background: list[tuple[float, float]] = []
    """True uncontrolled load of the node itself: from each instant on [s, kW]."""


class Device(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A device as registered, and as it truly is."""

    id: str
    count: int = 1
    """More than one: `id` gets a number, from 1."""
    node: str
    kind: DeviceKind = DeviceKind.EV
    rating_kw: float = 0.0
    """In the import direction."""
    export_kw: float = 0.0
    min_kw: float = 0.0
    step_kw: float = 0.0
    capacity_kwh: float = 60.0
    soc: float | None = 0.4
    reserve: float = 0.2
    target: float = 0.8
    priority: int = 5
    default_kw: float = 0.0
    dialect: Dialect = Dialect.V1
    ready_by_s: float | None = None
    in_percent: bool = False
    """It sends its SOC so."""
    energy_kwh: float | None = None
    """What its session asks for, once [kWh]."""
    accepts_kw: float = FOREVER
    """The most the car truly takes."""
    natural_kw: float = 0.0
    """What PV could make now, what a load draws: a magnitude."""
    report_s: float = 1.0
    prompt: bool = False
    """It reports a changed setpoint at once, and itself when the broker is back."""
    joins_s: float = 0.0
    """Unknown to the controller, and drawing nothing, before."""
    first_sight: bool = False
    """Nobody registers it when it joins: it does so itself, by speaking."""
    retires_s: float = FOREVER
    """Retired by the operator; it goes on as its leases say."""
    priors: bool = True
    """It has spoken in an earlier run."""


class Event(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A DR event."""

    id: str
    nodes: list[str] = []
    at_s: float
    for_s: float
    told_s: float = 0.0
    """When the controller hears of it."""
    import_kw: float | None = None
    export_kw: float | None = None
    shed_kw: float | None = None


class Program(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A DR program."""

    id: str
    kind: Literal["fixed_cap", "price_elastic"]
    nodes: list[str] = []
    at_s: float
    for_s: float
    shed_kw: float = 0.0
    incentive: float = 0.0
    penalty: float = 0.0


class Laid(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An operator's override."""

    device: str
    kind: OverrideKind
    kw: float | None = None
    at_s: float
    for_s: float = FOREVER
    release_s: float = FOREVER


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong, to named devices, nodes or the whole."""

    kind: Literal[
        "silent", "deaf", "frozen", "stuck", "wrong_sign", "disobedient", "takes", "fault_status",
        "meter_silent", "meter_frozen", "broker", "store", "clock_step", "restart", "die",
    ]  # fmt: skip
    """silent: is not heard; deaf: does not hear; frozen: repeats its reading as new; stuck: repeats it as old;
    disobedient: draws `kw` whatever it is told; takes: no more than `kw`; die: the controller stops for good."""
    at: list[str] = []
    """Devices (also by the id that many share) or nodes."""
    at_s: float
    for_s: float = FOREVER
    kw: float = 0.0
    step_s: float = 0.0


class Traffic(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Cars that come to chargers and leave; each figure is drawn evenly between its two ends."""

    at: str
    """The chargers, by the id they share."""
    arrive_h: tuple[float, float]
    """Hour of the day."""
    stay_h: tuple[float, float]
    soc: tuple[float, float] = (0.1, 0.6)
    takes_kw: tuple[float, float] = (FOREVER, FOREVER)
    """The most the car itself takes."""
    says: float = 0.0
    """This share of them says when it leaves."""


class Course(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What nobody controls, over the day: of a node, or of each of the devices that share an id."""

    at: list[str]
    kw: list[tuple[float, float]]
    """Hour of the day and power, a magnitude for devices; straight between two, round the clock."""
    swing: float = 0.0
    """Standard deviation of what comes and goes around that, as a share of it."""
    swing_s: float = 60.0
    """How long a swing lasts."""
    shared: float = 0.0
    """How much of the swing, 0..1, all of them have together, as under one cloud."""
    least: float = 0.0
    """It never falls below this share of the course."""
    most: float = FOREVER


class Often(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Faults of one kind, so many in each hour, at random instants, each at one device drawn from those named."""

    kind: str
    among: list[str] = []
    per_hour: int
    for_s: tuple[float, float]
    of_rating: tuple[float, float] = (0.0, 1.0)
    """Where a fault has a power: between these shares of the device's rating."""


class Call(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """DR events, so many in each hour, at random instants, each on one node drawn from those named."""

    among: list[str]
    per_hour: int
    for_s: tuple[float, float]
    notice_s: tuple[float, float] = (0.0, 0.0)
    import_share: tuple[float, float] | None = None
    """Of the node's import limit."""
    export_share: tuple[float, float] | None = None


class Expect(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One thing that must have been true, in ``[from_s, to_s]``."""

    what: Literal[
        "load", "power", "charging", "generation", "energy", "soc", "served", "told", "flagged", "reason", "shortfall",
        "headroom", "limit", "reversals", "setpoints", "fully_met", "envelope", "delivered", "excused",
    ]  # fmt: skip
    """load: of a node [kW]; power, charging, generation: true power of devices together, or of each [kW];
    energy [kWh] and soc: at `to_s`; served: how many of them had power at some time; told: the newest lease of each
    [kW]; flagged: named as disobedient; reason: the newest lease's words; setpoints: how many went out to them;
    delivered: the share of what its cars could have taken that they got; excused: seconds above a limit that no
    controller could have prevented, of all nodes together."""
    at: str = ""
    """A node or device; for devices also the id that several share."""
    from_s: float = 0.0
    to_s: float = FOREVER
    least: float = -FOREVER
    most: float = FOREVER
    each: bool = False
    """Every device by itself, instead of all together."""
    finally_: bool = msgspec.field(name="finally", default=False)
    """Only at the last instant of the window."""
    says: str = ""


class Allow(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is excused everywhere."""

    over_s: float = 0.0
    """The longest stretch above a limit [s]."""
    slack_kw: float = 1e-6
    """On top of 0.5 % of the limit [kW]."""
    invalid: bool = False
    """Setpoints that the device must refuse."""


class Story(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One scenario."""

    expected: str
    seconds: float
    step_s: float = 0.5
    """Between two looks at the physics."""
    seed: int = 1
    from_h: float = 0.0
    """The hour of the day at which it begins."""
    meter_noise: float = 0.0
    """Standard deviation of the head meters' error, as a share of the reading."""
    params: dict[str, float] = {}
    node: list[Node]
    device: list[Device] = []
    event: list[Event] = []
    program: list[Program] = []
    override: list[Laid] = []
    fault: list[Fault] = []
    traffic: list[Traffic] = []
    course: list[Course] = []
    often: list[Often] = []
    call: list[Call] = []
    allow: Allow = msgspec.field(default_factory=Allow)
    expect: list[Expect] = []

    def constants(self) -> Params:
        """The engine's."""
        usual = {"interval_s": 2.0, "lease_s": 20.0, "stale_after_s": 6.0, "lost_after_s": 30.0}
        return Params(**(usual | self.params))

    def devices(self) -> list[Device]:
        """Each by itself."""
        found = []
        for told in self.device:
            if told.count == 1:
                found.append(told)
            else:
                found += [
                    msgspec.structs.replace(told, id=f"{told.id}-{number}", count=1)
                    for number in range(1, told.count + 1)
                ]
        return found


def read(path: Path) -> Story:
    """Read a file.

    Raises:
        msgspec.ValidationError: It says what a scenario cannot say.
    """
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Story)


def named(ids: list[str], name: str) -> list[int]:
    """The rows that a name means: its own, or all that share it and are numbered."""
    rows = [row for row, one in enumerate(ids) if one == name or _numbered(one, name)]
    assert rows, f"nothing is called {name}"
    return rows


def _numbered(one: str, name: str) -> bool:
    head, dash, tail = one.rpartition("-")
    return bool(dash) and head == name and tail.isdigit()
