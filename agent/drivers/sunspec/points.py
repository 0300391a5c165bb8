"""SunSpec values: words to numbers and back. Pure.

A point is a raw integer (or float32) at an offset in its model; where it has a scale factor, a power of ten in another
register of the same model, its value is ``raw * 10 ** scale``. A point that a device does not have holds the sentinel
of its type. Scaling is exact: one correctly rounded operation on integers, never a chain of floats.

Source: SunSpec Alliance, SunSpec Device Information Model Specification, sections on data types and scale factors.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from derms.errors import DeviceFaultError

LARGEST_SCALE = 10
"""Scale factors beyond ±10 are none, by the specification."""


class PointType(Enum):
    """The types of the points that are used here: words, whether signed, and what says "not implemented"."""

    UINT16 = (1, False, 0xFFFF)
    INT16 = (1, True, 0x8000)
    """Scale factors are of this type too."""
    UINT32 = (2, False, 0xFFFF_FFFF)
    INT32 = (2, True, 0x8000_0000)
    FLOAT32 = (2, True, None)
    """Not implemented is any NaN."""

    def __init__(self, words: int, signed: bool, sentinel: int | None) -> None:
        self.words = words
        self.signed = signed
        self.sentinel = sentinel


@dataclass(frozen=True, slots=True)
class Point:
    """Where a value stands in its model."""

    name: str
    """SunSpec's."""
    offset: int
    """Words from the model's first (its ID)."""
    kind: PointType = PointType.UINT16
    scale: int | None = None
    """Offset of its scale factor; None: it has none."""


class Block:
    """The words of one model as they were read, from its ID on.

    Args:
        words: Unsigned 16-bit words; a model that is shorter than the point's offset has not got that point.
        model: Its number, for messages.
    """

    def __init__(self, words: Sequence[int], *, model: int) -> None:
        self._words = words
        self.model = model

    def raw(self, point: Point) -> int | float | None:
        """The unscaled value; None: not implemented."""
        words = self._words[point.offset : point.offset + point.kind.words]
        if len(words) < point.kind.words:
            return None
        if point.kind is PointType.FLOAT32:
            number: float = struct.unpack(">f", struct.pack(">HH", *words))[0]
            return None if math.isnan(number) else number
        bits = 0
        for word in words:
            bits = bits << 16 | word
        if bits == point.kind.sentinel:
            return None
        width = 16 * point.kind.words
        return bits - (1 << width) if point.kind.signed and bits >> (width - 1) else bits

    def scale_of(self, point: Point) -> int | None:
        """The exponent of a point's scale factor; 0 for one without, None: not implemented.

        Raises:
            DeviceFaultError: It is beyond ±`LARGEST_SCALE`.
        """
        if point.scale is None:
            return 0
        scale = self.raw(Point(f"{point.name}_SF", point.scale, PointType.INT16))
        if scale is None:
            return None
        if abs(scale) > LARGEST_SCALE:
            raise DeviceFaultError(
                f"model {self.model}: the scale factor of {point.name} is {scale}",
                why=f"it lies in -{LARGEST_SCALE}..{LARGEST_SCALE}",
                next_step="check the device's firmware, or use the modbus driver with a map of your own",
            )
        return int(scale)

    def value(self, point: Point, *, shift: int = 0) -> float | None:
        """The value times ``10 ** shift`` (-3: kW of W); None: not implemented, or its scale factor is not."""
        raw, scale = self.raw(point), self.scale_of(point)
        if raw is None or scale is None:
            return None
        number = scaled(raw, scale + shift)
        if not math.isfinite(number):
            raise DeviceFaultError(
                f"model {self.model}: {point.name} is {number}",
                why="a measurement is a finite number",
                next_step="check the device",
            )
        return number


def scaled(raw: int | float, exponent: int) -> float:
    """``raw * 10 ** exponent``, rounded once."""
    return float(raw * 10**exponent) if exponent >= 0 else raw / 10**-exponent


def unscaled(value: float, exponent: int) -> int:
    """The raw integer nearest to ``value / 10 ** exponent`` that is not beyond it, seen from 0.

    A limit or a setpoint that does not fit the grid of the register becomes the next smaller one: more than was granted
    is not for a device to take.
    """
    # a hair is forgiven, so that 70 % does not become 69.99 % by the way it was computed
    exact: float = value * 10**-exponent if exponent < 0 else value / 10**exponent
    return math.trunc(exact + math.copysign(1e-6, exact))


def to_words(raw: int, kind: PointType) -> tuple[int, ...]:
    """A raw integer as words.

    Raises:
        ValueError: It does not fit, or would say "not implemented".
    """
    width = 16 * kind.words
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if kind.signed else (0, (1 << width) - 1)
    bits = raw & ((1 << width) - 1)
    if not low <= raw <= high or bits == kind.sentinel:
        raise ValueError(f"{raw} does not fit {kind.name.lower()}")
    return tuple(bits >> 16 * place & 0xFFFF for place in reversed(range(kind.words)))
