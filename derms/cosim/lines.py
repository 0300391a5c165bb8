"""Bytes to JSON and back, strictly: no NaN, no Infinity, no key twice, nothing nested without end."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from derms.contract.strict import Refused, read_slowly
from derms.cosim.wrong import Code, WrongLine, shown

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line that is read."""

_BOM = b"\xef\xbb\xbf"
_ENCODER = msgspec.json.Encoder()


def read_lines(stream: BinaryIO, longest: int = MAX_LINE_BYTES) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of every line that is not blank; one that is too long is cut just beyond `longest`."""
    number = 0
    while line := stream.readline(longest + 1):
        number += 1
        rest = line
        while len(rest) > longest and not rest.endswith(b"\n"):
            rest = stream.readline(longest + 1)
        text = line.removeprefix(_BOM) if number == 1 else line
        if text.strip():
            yield number, text


def parse(line: bytes, longest: int = MAX_LINE_BYTES) -> dict[str, Any]:
    """Read one JSON object.

    Raises:
        WrongLine: It is none.
    """
    if len(line) > longest:
        raise WrongLine(
            Code.TOO_LARGE,
            f"a line of more than {longest} bytes",
            why="that is more than is read at once",
            next_step="say only what has changed",
        )
    try:
        tree = read_slowly(line)
    except Refused as refused:
        raise WrongLine(
            Code.MALFORMED,
            f"{shown(line.strip().decode('utf-8', 'replace'))} is not JSON",
            why=refused.detail,
            next_step="write one JSON object a line, UTF-8, without NaN and without a key that stands twice",
        ) from refused
    return as_object(tree, "the line")


def as_object(tree: Any, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        WrongLine: It is something else.
    """
    if not isinstance(tree, dict):
        raise WrongLine(
            Code.MALFORMED if where == "the line" else Code.BAD_VALUE,
            f"{where} is {shown(tree)}",
            why="it must be a JSON object",
            next_step="write {...}",
        )
    return tree


def written(answer: object) -> bytes:
    """One answer as a line. NaN and Infinity cannot stand in it: they would be written as null."""
    return _ENCODER.encode(answer) + b"\n"
