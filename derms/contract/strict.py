"""Bytes to typed messages, strictly. Pure.

msgspec checks types and ranges at the speed of C, but takes the last of duplicate keys, skips unknown fields
unseen (numbers beyond a float, broken UTF-8), and stops at nesting only when the stack does. All that is refused
here, exactly, and cheaply for the message that has nothing to hide: in JSON every key owns one colon, so a message
whose colons are all accounted for by the distinct fields that were decoded, and that has no backslash, holds no
duplicate and no unknown field. Whatever does not add up is read a second time, slowly.
"""

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import msgspec

from derms.model import Outcome

MAX_MESSAGE_BYTES = 16 * 1024
"""The largest message of one device."""
MAX_GATEWAY_BYTES = 256 * 1024
"""The largest message of a gateway, which speaks for many."""
MAX_GATEWAY_SAMPLES = 1000
"""The most measurements in it: taking in one message must not hold up the control loop."""
MAX_DEPTH = 16
"""The deepest nesting of objects and arrays."""

T = TypeVar("T")

_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"\\'))


class Refused(Exception):
    """Carries a refusal to the door of this package, where it becomes a value."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


def check_size(payload: bytes, limit: int) -> None:
    """Refuse before reading what is too large to be read."""
    if len(payload) > limit:
        raise Refused(Outcome.TOO_LARGE, f"{len(payload)} bytes, the limit is {limit}")


def decode(decoder: msgspec.json.Decoder[T], payload: bytes, colons: Callable[[T], int], numbers: frozenset[str]) -> T:
    """Decode one JSON object.

    Args:
        decoder: For the message's type.
        payload: Its bytes.
        colons: How many colons a message with these fields has, when it has no others.
        numbers: Keys that hold a number, for telling a bool in a number's place from another wrong type.

    Raises:
        Refused: It is malformed, of an unknown version, or invalid.
    """
    try:
        message = decoder.decode(payload)
    except msgspec.ValidationError as error:
        _explain(payload, numbers, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Outcome.MALFORMED, _reason(error)) from error
    if b"\\" in payload or payload.count(b":") != colons(message):
        read_slowly(payload)
    return message


def read_slowly(payload: bytes) -> Any:
    """Read any JSON with every rule of the contract applied to every part of it, known or not.

    Raises:
        Refused: It is malformed.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(Outcome.MALFORMED, "not UTF-8") from error
    if _deeper_than(payload, MAX_DEPTH):
        raise Refused(Outcome.MALFORMED, f"nested deeper than {MAX_DEPTH}")
    try:
        return _SLOW.decode(text)
    except ValueError as error:
        raise Refused(Outcome.MALFORMED, _reason(error)) from error


def _explain(payload: bytes, numbers: frozenset[str], error: msgspec.ValidationError) -> NoReturn:
    """Name the outcome of a message that is not of the type it should be."""
    tree = read_slowly(payload)
    if not isinstance(tree, dict):
        raise Refused(Outcome.MALFORMED, "not an object") from error
    if _has_bool(tree, numbers):
        raise Refused(Outcome.MALFORMED, f"a bool in a number's place: {error}") from error
    version = tree.get("v", 1)
    if isinstance(version, int | float | str) and version != 1:
        raise Refused(Outcome.UNKNOWN_VERSION, f"v is {str(version)[:20]!r}, this controller speaks 1") from error
    raise Refused(Outcome.INVALID, _reason(error)) from error


def _has_bool(tree: object, numbers: frozenset[str]) -> bool:
    if isinstance(tree, list):
        return any(_has_bool(item, numbers) for item in tree)
    if isinstance(tree, dict):
        return any((isinstance(v, bool) and k in numbers) or _has_bool(v, numbers) for k, v in tree.items())
    return False


def _deeper_than(payload: bytes, limit: int) -> bool:
    depth = 0
    in_string = escaped = False
    for byte in payload.translate(None, _NOT_BRACKETS) if b"\\" not in payload else payload:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > limit:
                return True
        elif byte in b"]}":
            depth -= 1
    return False


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return tree


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond the range of a double")
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


_SLOW = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_number, parse_int=_number, parse_constant=_constant, strict=True
)


def _reason(error: Exception) -> str:
    return str(error)[:200]
