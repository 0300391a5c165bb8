"""Batches on disk, in order, for as long as the store is away. Blocking: called from the recorder's own thread.

A directory of segment files, each a row of frames: length, CRC-32, then a compressed msgpack batch. A frame is on
the disk (fsync) before `append` returns. What a power loss cut short is cut off when the spool is opened, and counted.
When the bound is reached nothing more is taken: what is in it was acknowledged, and stays.

A segment goes when its last batch is taken, so after a crash some batches come twice; writes are idempotent.
"""

import contextlib
import logging
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import msgspec

from derms.errors import StoreError
from derms.frames import HEAD, frame_of, mend, read_frame, sync_directory, write_whole
from derms.ports import RecordBatch

_log = logging.getLogger(__name__)


class Spool:
    """The batches that wait for the store.

    Args:
        directory: Of its own; made when missing.
        max_bytes: The bound on all segments together [bytes].
        segment_bytes: A segment that reaches this is followed by a new one [bytes].

    Raises:
        StoreError: The directory cannot be made or read.
    """

    def __init__(self, directory: Path, *, max_bytes: int = 512 << 20, segment_bytes: int = 8 << 20) -> None:
        self._dir = directory
        self._max_bytes = max_bytes
        self._segment_bytes = min(segment_bytes, max_bytes)
        self._file: BinaryIO | None = None
        self._offset = 0
        """Where in the oldest segment the next batch to take begins [bytes]."""
        self._sizes: dict[int, int] = {}
        """Segment number -> its length [bytes], oldest first."""
        self.bytes_used = 0
        """What the segments take on disk [bytes]."""
        self.damaged = 0
        """Tails and batches that could not be read and were cut off or left out."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(directory.glob("*.spool")):
                self._sizes[int(path.stem)] = self._mend(path)
        except (OSError, ValueError) as error:
            raise self._error("opened", error) from error
        for number in [number for number, size in self._sizes.items() if size == 0]:
            self._forget(number)
        self.bytes_used = sum(self._sizes.values())

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return not self._sizes

    @property
    def bytes_waiting(self) -> int:
        """What is still to be taken [bytes]; the oldest segment lies on disk until all of it is."""
        return self.bytes_used - self._offset

    def append(self, batch: RecordBatch) -> None:
        """Put a batch at the end; on disk when this returns.

        Raises:
            StoreError: The disk does not take it, or the bound is reached; nothing of it is left.
        """
        payload = zlib.compress(msgspec.msgpack.encode(batch), 1)
        frame = frame_of(payload)
        if self.bytes_used + len(frame) > self._max_bytes:
            raise StoreError(
                f"the spool in {self._dir} is full",
                why=f"it may take {self._max_bytes >> 20} MB, and the database takes nothing meanwhile",
                next_step="bring the database back, or raise spool_max_mb",
            )
        last = next(reversed(self._sizes), 0)
        try:
            if self._file is None or self._sizes.get(last, 0) >= self._segment_bytes:
                last = self._begin(last + 1)
            self._write(last, frame)
        except OSError as error:
            raise self._error("written", error) from error

    def peek(self) -> RecordBatch | None:
        """Read the oldest batch, leaving it there; None: nothing waits.

        Raises:
            StoreError: The disk cannot be read.
        """
        while self._sizes:
            number = next(iter(self._sizes))
            try:
                with self._path(number).open("rb") as file:
                    file.seek(self._offset)
                    payload = read_frame(file)
            except OSError as error:
                raise self._error("read", error) from error
            if payload is None:
                self._forget(number)
                continue
            try:
                return msgspec.msgpack.decode(zlib.decompress(payload), type=RecordBatch)
            except (msgspec.MsgspecError, zlib.error) as error:
                self.damaged += 1
                _log.error("a spooled batch cannot be read; it is left out", extra={"error": str(error)})
                self._offset += HEAD.size + len(payload)
        return None

    def peek_several(self, most_rows: int) -> tuple[RecordBatch, int] | None:
        """Read the oldest batches as one, leaving them there: a commit each would take longer than they took to come.

        Args:
            most_rows: So many rows in all at the most, but one batch at least.

        Returns:
            What is in them, in order, and how many they are; None: nothing waits.

        Raises:
            StoreError: The disk cannot be read.
        """
        first = self.peek()
        if first is None:
            return None
        whole, count = first, 1
        try:
            with self._path(next(iter(self._sizes))).open("rb") as file:
                file.seek(self._offset)
                read_frame(file)
                while (payload := read_frame(file)) is not None:
                    batch = msgspec.msgpack.decode(zlib.decompress(payload), type=RecordBatch)
                    if len(whole) + len(batch) > most_rows:
                        break
                    whole.samples.extend(batch.samples)
                    whole.setpoints.extend(batch.setpoints)
                    whole.decisions.extend(batch.decisions)
                    count += 1
        except (msgspec.MsgspecError, zlib.error):
            pass  # `peek` says so when its turn has come
        except OSError as error:
            raise self._error("read", error) from error
        return whole, count

    def advance_over(self, count: int) -> None:
        """Leave so many batches behind for good, as `advance`."""
        for _ in range(count):
            self.advance()

    def advance(self) -> None:
        """Leave the batch that `peek` gave behind for good; a segment goes with its last one."""
        number = next(iter(self._sizes))
        try:
            with self._path(number).open("rb") as file:
                file.seek(self._offset)
                payload = read_frame(file)
        except OSError as error:
            raise self._error("read", error) from error
        self._offset += HEAD.size + len(payload or b"")
        if payload is None or self._offset >= self._sizes[number]:
            self._forget(number)

    def close(self) -> None:
        """Close the file; what is in it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _path(self, number: int) -> Path:
        return self._dir / f"{number:012d}.spool"

    def _begin(self, number: int) -> int:
        self.close()
        self._file = self._path(number).open("xb", buffering=0)
        self._sizes[number] = 0
        sync_directory(self._dir)
        return number

    def _write(self, number: int, frame: bytes) -> None:
        if self._file is None:
            return
        size = self._sizes[number]
        try:
            write_whole(self._file, frame)
            os.fsync(self._file.fileno())
        except OSError:
            # After a failed fsync nobody knows what the file holds: it is cut back, and never appended to again.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), size)
            self.close()
            if not size:
                with contextlib.suppress(OSError):
                    self._forget(number)
            raise
        self._sizes[number] = size + len(frame)
        self.bytes_used += len(frame)

    def _forget(self, number: int) -> None:
        if self._file is not None and number == next(reversed(self._sizes)):
            self.close()
        self.bytes_used -= self._sizes.pop(number)
        self._offset = 0
        self._path(number).unlink(missing_ok=True)

    def _mend(self, path: Path) -> int:
        """Cut off what does not read whole; returns the length that is left."""
        good, torn = mend(path)
        if torn:
            self.damaged += 1
            _log.warning("cut off a torn end of the spool", extra={"file": path.name, "bytes": torn})
        return good

    def _error(self, verb: str, error: Exception) -> StoreError:
        why = error.strerror if isinstance(error, OSError) else None
        return StoreError(
            f"the spool in {self._dir} cannot be {verb}",
            why=why or str(error),
            next_step="look at free space and permissions there",
        )
