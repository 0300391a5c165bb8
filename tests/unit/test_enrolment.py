import pytest
from msgspec.structs import replace

from derms.enrolment import FirstSight, register_on_sight
from derms.model import DeviceKind, Dialect, Enrolment, Origin, Telemetry

RULES = FirstSight(default_feeder_id="feeder-1", enrolment=Enrolment.ACTIVE)
READING = Telemetry(device_id="ev-1", kind=DeviceKind.EV, at_ms=0, p_actual_kw=0.0)


@pytest.mark.parametrize(
    ("kind", "p_max_kw", "rating_kw", "minimum_kw"),
    [
        (DeviceKind.EV, 7.2, (7.2, 0.0), 1.4),  # one phase: 6 A x 230 V
        (DeviceKind.EV, 11.0, (11.0, 0.0), 4.1),  # three phases
        (DeviceKind.EV, None, (7.4, 0.0), 1.4),
        (DeviceKind.EV, 1.0, (1.0, 0.0), 1.0),
        (DeviceKind.BATTERY, 5.0, (5.0, 5.0), 0.0),
        (DeviceKind.PV, 8.0, (0.0, 8.0), 0.0),
        (DeviceKind.LOAD, 8.0, (0.0, 0.0), 0.0),
        (DeviceKind.METER, None, (0.0, 0.0), 0.0),
    ],
)
def test_a_rating_is_taken_in_the_directions_its_kind_has(
    kind: DeviceKind, p_max_kw: float | None, rating_kw: tuple[float, float], minimum_kw: float
) -> None:
    device = register_on_sight(replace(READING, kind=kind, p_max_kw=p_max_kw), RULES, {"feeder-1"})
    assert (device.p_import_max_kw, device.p_export_max_kw) == rating_kw
    assert device.p_min_kw == minimum_kw


@pytest.mark.parametrize(("named", "given"), [("feeder-2", "feeder-2"), ("no-such", "feeder-1"), (None, "feeder-1")])
def test_it_goes_to_the_feeder_it_names_if_that_exists(named: str | None, given: str) -> None:
    device = register_on_sight(replace(READING, feeder_id=named), RULES, {"feeder-1", "feeder-2"})
    assert device.feeder_id == given


@pytest.mark.parametrize(
    ("device_id", "dialect", "source", "origin"),
    [
        ("pi-ev-1", Dialect.PLAIN, None, Origin.PHYSICAL),
        ("ev-1", Dialect.ENVELOPE, "pi-agent", Origin.PHYSICAL),
        ("ev-1", Dialect.ENVELOPE, "simulator", Origin.SIMULATED),
        ("ev-1", Dialect.V1, None, Origin.SIMULATED),
    ],
)
def test_its_origin_is_read_from_its_name_and_its_source(
    device_id: str, dialect: Dialect, source: str | None, origin: Origin
) -> None:
    reading = replace(READING, device_id=device_id, dialect=dialect, source=source)
    assert register_on_sight(reading, RULES, ()).origin is origin
