import errno
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derms.errors import StoreError
from derms.ports import RecordBatch
from derms.spool import Spool
from tests.fakes_store import decision, sample, setpoint


def batch(seq: int, rows: int = 1) -> RecordBatch:
    return RecordBatch(samples=[sample(seq * 1000 + n) for n in range(rows)])


def drained(spool: Spool) -> list[RecordBatch]:
    found = []
    while (oldest := spool.peek()) is not None:
        found.append(oldest)
        spool.advance()
    return found


def test_batches_come_back_whole_and_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    mixed = RecordBatch(samples=[sample(1, soc=0.5)], setpoints=[setpoint(2)], decisions=[decision(3)])
    spool.append(mixed)
    spool.append(batch(1))
    assert drained(spool) == [mixed, batch(1)]
    assert spool.empty
    assert spool.bytes_used == 0
    assert list(tmp_path.iterdir()) == []


EARLIER: dict[str, Any] = {
    "samples": [
        {
            "telemetry": {
                "device_id": "ev-1", "kind": "ev", "at_ms": 1767225601000, "p_actual_kw": 3.5, "p_setpoint_kw": None,
                "soc": None, "seq": 1, "site_id": None, "feeder_id": None, "p_max_kw": None, "capacity_kwh": None,
                "ready_by_ms": None, "status": "ok", "applied_epoch": None, "applied_seq": None, "dialect": "v1",
                "source": None,
            },
            "received_ms": 1767225601040,
            "feeder_id": "feeder-1",
        }
    ],
    "setpoints": [],
    "decisions": [
        {
            "feeder_id": "feeder-1", "at_ms": 1767225602000, "epoch": 1, "tick": 1, "mode": "auto",
            "import_limit_kw": 50.0, "limit_source": "static", "measured_kw": None, "background_kw": 20.0,
            "reserved_kw": 0.0, "headroom_kw": 30.0, "commanded_kw": 28.0, "shortfall_kw": 0.0, "setpoints_sent": 4,
            "duration_ms": 0.4,
        }
    ],
}  # fmt: skip
"""A batch as it was spooled before decisions named an envelope."""


LACKING = dict.fromkeys(
    ("load_kw", "pv_kw", "battery_kw", "ev_kw", "base_kw", "deferred_kw", "curtailed_kw"), None
) | {"envelope_kw": 0.0, "envelope_in_s": 0.0}  # fmt: skip
"""What that version did not know."""


def test_what_an_earlier_version_spooled_is_read_by_this_one(tmp_path: Path) -> None:
    payload = zlib.compress(msgspec.msgpack.encode(EARLIER))
    (tmp_path / "000000000001.spool").write_bytes(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    spool = Spool(tmp_path)
    assert drained(spool) == [RecordBatch(samples=[sample(1)], decisions=[decision(1, **LACKING)])]
    assert spool.damaged == 0


def test_what_was_not_taken_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Spool(tmp_path, segment_bytes=1)
    for n in range(4):
        first.append(batch(n))
    first.peek()
    first.advance()
    first.close()
    second = Spool(tmp_path)
    second.append(batch(9))
    assert drained(second) == [batch(1), batch(2), batch(3), batch(9)]


def test_a_restart_within_a_segment_gives_its_batches_again(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append(batch(0))
    first.append(batch(1))
    first.advance()
    first.close()
    assert drained(Spool(tmp_path)) == [batch(0), batch(1)]


@given(cut=st.integers(min_value=0))
@settings(max_examples=60, deadline=None)
def test_a_tail_torn_anywhere_costs_only_the_batch_it_is_in(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    directory = tmp_path_factory.mktemp("torn")
    spool = Spool(directory)
    ends = []
    for n in range(3):
        spool.append(batch(n, rows=3))
        ends.append(spool.bytes_used)
    spool.close()
    (file,) = directory.iterdir()
    length = cut % (ends[-1] + 1)
    os.truncate(file, length)
    whole = sum(end <= length for end in ends)
    mended = Spool(directory)
    assert drained(mended) == [batch(n, rows=3) for n in range(whole)]
    assert mended.damaged == (0 if length in [0, *ends] else 1)


@given(position=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
@settings(max_examples=60, deadline=None)
def test_a_changed_byte_never_gives_a_wrong_batch(
    tmp_path_factory: pytest.TempPathFactory, position: int, flip: int
) -> None:
    directory = tmp_path_factory.mktemp("flipped")
    spool = Spool(directory)
    for n in range(3):
        spool.append(batch(n))
    spool.close()
    (file,) = directory.iterdir()
    content = bytearray(file.read_bytes())
    content[position % len(content)] ^= flip
    file.write_bytes(content)
    mended = Spool(directory)
    found = drained(mended)
    assert found == [batch(n) for n in range(3)][: len(found)]
    assert len(found) < 3
    assert mended.damaged == 1


def test_blocks_of_zeros_at_the_end_are_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(batch(0))
    spool.close()
    (file,) = tmp_path.iterdir()
    with file.open("ab") as handle:
        handle.write(bytes(4096))
    mended = Spool(tmp_path)
    assert mended.damaged == 1
    assert drained(mended) == [batch(0)]


def test_a_frame_of_another_shape_is_left_out_and_counted(tmp_path: Path) -> None:
    payload = zlib.compress(b"\x93\x01\x02\x03")
    (tmp_path / "000000000001.spool").write_bytes(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    spool = Spool(tmp_path)
    spool.append(batch(5))
    assert drained(spool) == [batch(5)]
    assert spool.damaged == 1


def test_a_full_spool_keeps_what_it_has_and_refuses_what_comes(tmp_path: Path) -> None:
    probe = Spool(tmp_path / "probe")
    probe.append(batch(1, rows=10))
    size = probe.bytes_used
    probe.close()
    spool = Spool(tmp_path / "spool", max_bytes=size * 4 + size // 2, segment_bytes=size)
    for n in range(1, 5):
        spool.append(batch(n, rows=10))
    with pytest.raises(StoreError, match="is full"):
        spool.append(batch(5, rows=10))
    assert sum(file.stat().st_size for file in (tmp_path / "spool").iterdir()) == spool.bytes_used
    oldest = spool.peek()
    assert oldest == batch(1, rows=10)
    spool.advance()
    spool.append(batch(6, rows=10))
    assert drained(spool) == [batch(n, rows=10) for n in (2, 3, 4, 6)]


def test_a_disk_that_fails_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.append(batch(0))

    def failing(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(StoreError, match="No space left"):
            spool.append(batch(1))
    spool.append(batch(2))
    assert drained(spool) == [batch(0), batch(2)]
    assert Spool(tmp_path).damaged == 0


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        Spool(tmp_path / "file" / "spool")


@given(steps=st.lists(st.sampled_from(["append", "take", "reopen"]), max_size=30))
@settings(max_examples=40, deadline=None)
def test_any_sequence_keeps_order_and_loses_nothing(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    directory = tmp_path_factory.mktemp("steps")
    spool, put, taken = Spool(directory, segment_bytes=400), 0, set()
    for step in steps:
        match step:
            case "append":
                spool.append(batch(put))
                put += 1
            case "take":
                if (oldest := spool.peek()) is not None:
                    taken.add(oldest.samples[0].telemetry.seq)
                    spool.advance()
            case _:
                spool.close()
                spool = Spool(directory, segment_bytes=400)
    rest = [one.samples[0].telemetry.seq or 0 for one in drained(spool)]
    assert rest == sorted(rest)
    assert taken | set(rest) == {n * 1000 for n in range(put)}


def test_several_batches_are_read_as_one_in_order_and_left_behind_together(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for seq in range(5):
        spool.append(batch(seq))
    found = spool.peek_several(3)
    assert found is not None
    whole, count = found
    assert ([sample.telemetry.seq for sample in whole.samples], count) == ([0, 1000, 2000], 3)
    spool.advance_over(count)
    found = spool.peek_several(100)
    assert found is not None
    assert ([sample.telemetry.seq for sample in found[0].samples], found[1]) == ([3000, 4000], 2)
    spool.advance_over(2)
    assert spool.peek_several(100) is None
    assert spool.empty
    spool.close()
