"""Plain registers: words to numbers and back, by a type, a word order and a scale. Pure."""

import math
import struct
from collections.abc import Sequence
from typing import Literal

from derms.errors import DeviceFaultError

RegisterType = Literal["int16", "uint16", "int32", "uint32", "float32"]
WordOrder = Literal["big", "little"]
"""Of a number in two registers: the high word first, or the low one. The bytes in a word are big-endian always."""

_FORMATS: dict[RegisterType, str] = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}
_INTEGERS: dict[RegisterType, tuple[int, int]] = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
}
_HAIR = 1e-6


def words_of(kind: RegisterType) -> int:
    """How many registers a number takes."""
    return struct.calcsize(_FORMATS[kind]) // 2


def range_of(kind: RegisterType) -> tuple[float, float]:
    """The smallest and the largest raw number."""
    return _INTEGERS.get(kind, (-3.4e38, 3.4e38))


def decoded(words: Sequence[int], kind: RegisterType, order: WordOrder) -> int | float:
    """The raw number in some words.

    Raises:
        DeviceFaultError: It is no finite number.
    """
    in_order = words if order == "big" else tuple(reversed(words))
    (raw,) = struct.unpack(_FORMATS[kind], struct.pack(f">{len(words)}H", *in_order))
    if isinstance(raw, float) and not math.isfinite(raw):
        raise DeviceFaultError(f"a register holds {raw}", why="a measurement is a finite number", next_step="check it")
    number: int | float = raw
    return number


def encoded(raw: int | float, kind: RegisterType, order: WordOrder) -> tuple[int, ...]:
    """The words of a raw number that is within `range_of` its type."""
    packed = struct.pack(_FORMATS[kind], raw if kind == "float32" else int(raw))
    words = struct.unpack(f">{len(packed) // 2}H", packed)
    return words if order == "big" else tuple(reversed(words))


def scaled(raw: int | float, scale: float) -> float:
    """``raw * scale``; a scale that is one over a whole number (0.1, 0.01) divides, so that 333 is 33.3 exactly."""
    inverse = round(1 / scale)
    if abs(scale) < 1 and inverse and math.isclose(1 / inverse, scale, rel_tol=1e-15):
        return raw / inverse
    return raw * scale


def unscaled(value: float, scale: float, kind: RegisterType) -> int | float:
    """The raw number of a value, never further from 0 than it, within the type's range."""
    exact = value / scale
    low, high = range_of(kind)
    raw = exact if kind == "float32" else math.trunc(exact + math.copysign(_HAIR, exact))
    return min(max(raw, low), high)
