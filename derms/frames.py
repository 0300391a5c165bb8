"""Frames on disk: length, CRC-32, payload. What a power loss cut short is told from what is whole.

Blocking: called from a thread of its own.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

HEAD = struct.Struct("<II")
_LARGEST_FRAME = 1 << 28


def frame_of(payload: bytes) -> bytes:
    """The bytes that stand for a payload."""
    return HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def read_frame(file: BinaryIO) -> bytes | None:
    """The next payload; None: the end, or something that is no whole frame."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    length, checksum = HEAD.unpack(head)
    if not 0 < length <= _LARGEST_FRAME:  # zero: blocks that were allocated and never written
        return None
    payload = file.read(length)
    return payload if len(payload) == length and zlib.crc32(payload) == checksum else None


def write_whole(file: BinaryIO, data: bytes) -> None:
    """Write all of it to an unbuffered file."""
    written = 0
    while written < len(data):
        written += file.write(data[written:])


def mend(path: Path) -> tuple[int, int]:
    """Cut off what does not read whole.

    Returns:
        The length that is left, and what was cut off [bytes].
    """
    with path.open("r+b") as file:
        good = 0
        while (payload := read_frame(file)) is not None:
            good += HEAD.size + len(payload)
        torn = file.seek(0, os.SEEK_END) - good
        if torn:
            file.truncate(good)
            os.fsync(file.fileno())
    return good, torn


def sync_directory(directory: Path) -> None:
    """See that the names in it are on disk too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
