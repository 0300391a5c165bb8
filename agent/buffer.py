"""Samples on disk, in order, for as long as the broker is away. Blocking: called from a thread of its own.

A directory of segment files `<first seq>-<level>.samples`, each a row of frames (`derms.frames`), and `sent`, which
says up to which `seq` the broker has acknowledged. Rules:

- What a power loss cut short is cut off when the buffer is opened; what is before it stays.
- When the bound is reached the oldest are thinned first: of the oldest samples every second one goes, and those that
  were thinned are not thinned again before all others have been. So a long outage is kept whole, the coarser the
  older. A segment is rewritten beside the old one and takes its place in one step (rename).
- A sample leaves when it is acknowledged. `sent` is written at once but not synced: after a loss of power some samples
  come twice, with the same `seq`; after a kill, at most the one that was under way.
- One process at a time: the directory is locked, and the lock ends with the process, however that ends.
"""

import contextlib
import fcntl
import logging
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from derms.errors import ConflictError, StoreError
from derms.frames import HEAD, frame_of, mend, read_frame, sync_directory, write_whole
from derms.model import Telemetry

_log = logging.getLogger(__name__)

MAX_BYTES = 32 << 20
"""The bound where none is given [bytes]: some 140,000 samples, a day and a half at one a second."""
_SEGMENTS = 16
"""So many segments fill the bound."""
_LOCK_S = 0.5
"""Whoever only looks whether the directory is in use lets go of it at once [s]."""
_SENT = struct.Struct("<QI")
_SUFFIX = ".samples"
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Telemetry)
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Telemetry)}


@dataclass(slots=True)
class _Segment:
    first: int
    level: int
    """How often it was thinned."""
    size: int

    @property
    def name(self) -> str:
        return f"{self.first:020d}-{self.level}{_SUFFIX}"


class SampleBuffer:
    """The samples that wait for the broker.

    Args:
        directory: Of its own; made when missing, and closed to other users.
        max_bytes: The bound on all segments together [bytes].

    Raises:
        ConflictError: Another process has it.
        StoreError: The directory cannot be made, read or written.
    """

    def __init__(self, directory: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._dir = directory
        self._max_bytes = max_bytes
        self._segment_bytes = max(max_bytes // _SEGMENTS, 1)
        self._segments: list[_Segment] = []
        """Oldest first."""
        self._file: BinaryIO | None = None
        """The newest segment, while it is written to."""
        self._offset = 0
        """Where in the oldest segment the next sample to send begins [bytes]."""
        self._unsynced = False
        self.thinned = 0
        """Samples given up because the bound was reached."""
        self.damaged = 0
        """Torn ends that were cut off, and samples that could not be read."""
        try:
            with contextlib.ExitStack() as stack:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = stack.enter_context((directory / "lock").open("ab"))
                self._take_lock()
                descriptor = os.open(directory / "sent", os.O_RDWR | os.O_CREAT, 0o600)
                self._sent_file = stack.enter_context(os.fdopen(descriptor, "r+b", buffering=0))
                self._sent = self._read_sent()
                self._last = self._sent
                self._open_segments()
                self._held = stack.pop_all()
        except (OSError, ValueError) as error:
            raise self._error("opened", error) from error

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return not self._segments

    @property
    def last_seq(self) -> int:
        """The highest `seq` it has ever held; a run that goes on above it is never taken for an older one."""
        return self._last

    @property
    def bytes_used(self) -> int:
        """What the segments take on disk [bytes]."""
        return sum(segment.size for segment in self._segments)

    def append(self, samples: Sequence[Telemetry], *, sync: bool = True) -> None:
        """Put samples at the end.

        Args:
            samples: Each with a `seq` above that of the one before.
            sync: They are on the disk when this returns; otherwise the system writes them within half a minute.

        Raises:
            StoreError: The disk does not take them; those before the one that failed are kept.
        """
        for sample in samples:
            frame = frame_of(_ENCODER.encode(_what_is_said(sample)))
            try:
                while self._segments and self.bytes_used + len(frame) > self._max_bytes:
                    self._thin()
                self._write(sample.seq or 0, frame)
            except OSError as error:
                raise self._error("written", error) from error
        if sync:
            self.sync()

    def sync(self) -> None:
        """See that all of it is on the disk.

        Raises:
            StoreError: It is not.
        """
        if self._file is not None and self._unsynced:
            try:
                os.fsync(self._file.fileno())
                self._unsynced = False
            except OSError as error:
                raise self._error("written", error) from error

    def peek(self) -> Telemetry | None:
        """Read the oldest sample, leaving it there; None: nothing waits.

        Raises:
            StoreError: The disk cannot be read.
        """
        while self._segments:
            try:
                with (self._dir / self._segments[0].name).open("rb") as file:
                    file.seek(self._offset)
                    for sample in self._samples(file):
                        if sample.seq is not None and sample.seq > self._sent:
                            return sample
                        # acknowledged before, or kept twice when a thinning was cut short
                        self._offset = file.tell()
                self._forget_oldest()
            except OSError as error:
                raise self._error("read", error) from error
        return None

    def acknowledge(self, seq: int) -> None:
        """Leave everything up to this one behind for good.

        Raises:
            StoreError: The disk does not take it.
        """
        self._sent = max(self._sent, seq)
        body = struct.pack("<Q", self._sent)
        try:
            os.pwrite(self._sent_file.fileno(), _SENT.pack(self._sent, zlib.crc32(body)), 0)
            self.peek()  # moves on, and lets go of a segment that is done
        except OSError as error:
            raise self._error("written", error) from error

    def close(self) -> None:
        """Sync, and let go; what waits stays."""
        with self._held:
            try:
                self.sync()
                os.fsync(self._sent_file.fileno())
            finally:
                self._close_file()

    # ------------------------------------------------------------------ opening

    def _take_lock(self) -> None:
        deadline_s = time.monotonic() + _LOCK_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= deadline_s:
                    raise ConflictError(
                        f"the directory {self._dir} is in use",
                        why="another agent of this device runs on this machine",
                        next_step="stop that agent, or name another state_dir",
                    ) from error
            time.sleep(0.02)

    def _read_sent(self) -> int:
        """0 when it was never written, or torn: then what is there is sent once more."""
        raw = os.pread(self._sent_file.fileno(), _SENT.size, 0)
        if len(raw) < _SENT.size:
            return 0
        sent, checksum = _SENT.unpack(raw)
        return int(sent) if zlib.crc32(raw[:8]) == checksum else 0

    def _open_segments(self) -> None:
        for path in self._dir.glob("*.new"):
            path.unlink()  # a thinning that was cut short: the old one is still there
        found = sorted((_parsed(path) for path in self._dir.glob(f"*{_SUFFIX}")), key=lambda s: (s.first, -s.level))
        for segment in found:
            path = self._dir / segment.name
            if self._segments and self._segments[-1].first == segment.first:
                path.unlink()  # it was thinned, and the thinner one is whole
                continue
            segment.size, torn = mend(path)
            if torn:
                self.damaged += 1
                _log.warning("cut off a torn end of the buffer", extra={"file": path.name, "bytes": torn})
            if segment.size == 0:
                path.unlink()
                continue
            self._segments.append(segment)
            self._last = max(self._last, _last_seq(path))

    def _samples(self, file: BinaryIO) -> Iterator[Telemetry]:
        while (payload := read_frame(file)) is not None:
            try:
                yield _DECODER.decode(payload)
            except msgspec.MsgspecError as error:
                self.damaged += 1
                _log.error("a buffered sample cannot be read; it is left out", extra={"error": str(error)})

    # ------------------------------------------------------------------ writing

    def _write(self, seq: int, frame: bytes) -> None:
        if self._file is None or self._segments[-1].size >= self._segment_bytes:
            self._begin(seq)
        assert self._file is not None
        newest = self._segments[-1]
        try:
            write_whole(self._file, frame)
        except OSError:
            # Half a frame would hide what comes after it: the segment is cut back and never appended to again.
            os.ftruncate(self._file.fileno(), newest.size)
            self._close_file()
            raise
        newest.size += len(frame)
        self._last = max(self._last, seq)
        self._unsynced = True

    def _begin(self, seq: int) -> None:
        """Go on in the newest segment, or begin one."""
        self.sync()
        self._close_file()
        newest = self._segments[-1] if self._segments else None
        if newest is not None and newest.level == 0 and newest.size < self._segment_bytes:
            self._file = (self._dir / newest.name).open("r+b", buffering=0)
            self._file.seek(0, os.SEEK_END)
            return
        segment = _Segment(first=seq, level=0, size=0)
        self._file = (self._dir / segment.name).open("xb", buffering=0)
        if not self._segments:
            self._offset = 0
        self._segments.append(segment)
        sync_directory(self._dir)

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _thin(self) -> None:
        """Halve the oldest of those that were thinned least, with its neighbour where that is alike."""
        closed = self._segments[:-1] or self._segments
        lowest = min(segment.level for segment in closed)
        at = next(i for i, segment in enumerate(closed) if segment.level == lowest)
        group = [segment for segment in closed[at : at + 2] if segment.level == lowest]
        if self._segments[-1] in group:
            self._close_file()
        kept, gone = bytearray(), 0
        number = 0
        for segment in group:
            with (self._dir / segment.name).open("rb") as file:
                while (payload := read_frame(file)) is not None:
                    if number % 2 == 0:
                        kept += HEAD.pack(len(payload), zlib.crc32(payload)) + payload
                    else:
                        gone += 1
                    number += 1
        if gone == 0:
            self._drop(group)
            return
        thin = _Segment(first=group[0].first, level=lowest + 1, size=len(kept))
        self._replace(group, thin, bytes(kept))
        if self.thinned == 0:
            _log.warning("the buffer is full; its oldest samples are thinned", extra={"max_bytes": self._max_bytes})
        self.thinned += gone

    def _replace(self, group: list[_Segment], thin: _Segment, kept: bytes) -> None:
        beside = self._dir / f"{thin.name}.new"
        with beside.open("wb", buffering=0) as file:
            write_whole(file, kept)
            os.fsync(file.fileno())
        beside.rename(self._dir / thin.name)
        sync_directory(self._dir)
        at = self._segments.index(group[0])
        self._segments[at : at + len(group)] = [thin]
        if at == 0:
            self._offset = 0  # what was acknowledged is told by its seq
        for segment in group:
            (self._dir / segment.name).unlink(missing_ok=True)

    def _drop(self, group: list[_Segment]) -> None:
        """Nothing is left to thin: single samples go."""
        for segment in group:
            self._segments.remove(segment)
            (self._dir / segment.name).unlink(missing_ok=True)
            self.thinned += 1
        self._offset = 0

    def _forget_oldest(self) -> None:
        segment = self._segments.pop(0)
        if not self._segments:
            self._close_file()
        self._offset = 0
        (self._dir / segment.name).unlink(missing_ok=True)

    def _error(self, verb: str, error: Exception) -> StoreError:
        why = error.strerror if isinstance(error, OSError) else None
        return StoreError(
            f"the buffer in {self._dir} cannot be {verb}",
            why=why or str(error),
            next_step="look at free space and permissions there, or name another state_dir",
        )


def _what_is_said(sample: Telemetry) -> dict[str, object]:
    """The fields that hold something; half of them mostly do not."""
    fields = ((name, getattr(sample, name), default) for name, default in _DEFAULTS.items())
    return {name: value for name, value, default in fields if value != default}


def _last_seq(path: Path) -> int:
    """The `seq` of the newest sample in a segment; 0: it cannot be read."""
    newest = b""
    with path.open("rb") as file:
        while (payload := read_frame(file)) is not None:
            newest = payload
    try:
        return _DECODER.decode(newest).seq or 0
    except msgspec.MsgspecError:
        return 0


def _parsed(path: Path) -> _Segment:
    first, _, level = path.name.removesuffix(_SUFFIX).partition("-")
    return _Segment(first=int(first), level=int(level), size=path.stat().st_size)


def in_use(directory: Path) -> bool:
    """Whether an agent has this directory now."""
    try:
        with (directory / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
