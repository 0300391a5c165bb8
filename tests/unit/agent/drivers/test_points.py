"""SunSpec values, and the table of models against what SunSpec publishes."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
import sunspec2
from hypothesis import given
from hypothesis import strategies as st

from agent.drivers.sunspec import models
from agent.drivers.sunspec.points import Block, Point, PointType, scaled, to_words, unscaled
from derms.errors import DeviceFaultError

DEFINITIONS = Path(sunspec2.__file__).parent / "models" / "json"
TABLE = [
    (101, models.Inverter), (102, models.Inverter), (103, models.Inverter),
    (111, models.FloatInverter), (112, models.FloatInverter), (113, models.FloatInverter),
    (120, models.Nameplate), (121, models.BasicSettings), (123, models.ImmediateControls), (124, models.BasicStorage),
    (701, models.DerMeasurement), (702, models.DerCapacity), (704, models.DerControls), (713, models.StorageCapacity),
    (715, models.DerControl), (802, models.Battery),
]  # fmt: skip
TYPES = {"int16": "INT16", "uint16": "UINT16", "enum16": "UINT16", "uint32": "UINT32", "bitfield32": "UINT32",
         "int32": "INT32", "float32": "FLOAT32"}  # fmt: skip


@pytest.mark.parametrize(("model", "table"), TABLE)
def test_every_point_stands_where_sunspec_says(model: int, table: type) -> None:
    definition = json.loads((DEFINITIONS / f"model_{model}.json").read_text())
    published, offset = {}, 0
    for point in definition["group"]["points"]:
        published[point["name"]] = (offset, point)
        offset += point["size"]
    used = [value for value in vars(table).values() if isinstance(value, Point)]
    assert used
    for point in used:
        at, said = published[point.name]
        assert (point.offset, point.kind.name) == (at, TYPES[said["type"]]), point
        assert point.scale == (published[said["sf"]][0] if "sf" in said else None), point


@pytest.mark.parametrize(
    ("kind", "words", "raw"),
    [
        (PointType.UINT16, (0xFFFE,), 65_534),
        (PointType.UINT16, (0xFFFF,), None),
        (PointType.INT16, (0xFFFF,), -1),
        (PointType.INT16, (0x7FFF,), 32_767),
        (PointType.INT16, (0x8001,), -32_767),
        (PointType.INT16, (0x8000,), None),
        (PointType.UINT32, (0xFFFF, 0xFFFF), None),
        (PointType.UINT32, (0x0001, 0x0002), 65_538),
        (PointType.INT32, (0x8000, 0x0000), None),
        (PointType.INT32, (0xFFFF, 0xFFFE), -2),
        (PointType.FLOAT32, (0x7FC0, 0x0000), None),
        (PointType.FLOAT32, (0x4120, 0x0000), 10.0),
        (PointType.INT32, (0x0001,), None),  # the model is shorter than that
    ],
)
def test_words_become_raw_values_and_what_is_not_there_none(
    kind: PointType, words: tuple[int, ...], raw: float | None
) -> None:
    assert Block((0, *words), model=1).raw(Point("x", 1, kind)) == raw


@given(st.integers(-32_767, 32_767), st.integers(-4, 4))
def test_scaling_is_exact(raw: int, scale: int) -> None:
    block = Block((raw & 0xFFFF, scale & 0xFFFF), model=1)
    # the double nearest to the true value, for the value and for its thousandth
    assert block.value(Point("x", 0, PointType.INT16, 1)) == float(Fraction(raw) * Fraction(10) ** scale)
    assert block.value(Point("x", 0, PointType.INT16, 1), shift=-3) == float(
        Fraction(raw) * Fraction(10) ** (scale - 3)
    )


def test_a_point_without_its_scale_factor_is_not_known_and_an_absurd_one_is_a_fault() -> None:
    point = Point("x", 0, PointType.INT16, 1)
    assert Block((5, 0x8000), model=1).value(point) is None
    with pytest.raises(DeviceFaultError, match=r"scale factor of x is 11; it lies in -10\.\.10"):
        Block((5, 11), model=701).value(point)


@given(st.floats(-100, 100), st.integers(-4, 4))
def test_a_setpoint_is_never_rounded_away_from_zero(value: float, scale: int) -> None:
    raw = unscaled(value, scale)
    back = scaled(raw, scale)
    grid = 10.0**scale
    assert abs(back) <= abs(value) + grid * 1e-5
    assert abs(value) - abs(back) < grid * (1 + 1e-5)


@pytest.mark.parametrize(
    ("value", "scale", "raw"),
    [(70.0, 0, 70), (70.0, -1, 700), (69.99, 0, 69), (100 * 0.7, -2, 7000), (-2.9, 0, -2), (29.0, 1, 2), (0.0, 3, 0)],
)
def test_a_setpoint_goes_to_the_grid_of_its_register(value: float, scale: int, raw: int) -> None:
    assert unscaled(value, scale) == raw


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (65_535, PointType.UINT16),
        (-1, PointType.UINT16),
        (-32_768, PointType.INT16),
        (32_768, PointType.INT16),
        (2**32 - 1, PointType.UINT32),
    ],
)
def test_what_does_not_fit_or_would_say_not_implemented_is_refused(raw: int, kind: PointType) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        to_words(raw, kind)
    assert to_words(-2, PointType.INT32) == (0xFFFF, 0xFFFE)
