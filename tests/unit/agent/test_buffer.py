"""Samples on disk: in order, whole, bounded, and once."""

import errno
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from agent import buffer as module
from agent.buffer import SampleBuffer
from derms.errors import ConflictError, StoreError
from derms.model import DeviceKind, Telemetry
from tests.fakes_contract import NOW_MS

Opened = Callable[..., SampleBuffer]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens buffers, and closes them at the end; opening a directory again first closes what had it."""
    held: dict[Path, SampleBuffer] = {}

    def open_one(directory: Path, **options: int) -> SampleBuffer:
        if directory in held:
            held.pop(directory).close()
        held[directory] = SampleBuffer(directory, **options)
        return held[directory]

    yield open_one
    for buffer in held.values():
        buffer.close()


def sample(seq: int) -> Telemetry:
    return Telemetry(device_id="ev-001", kind=DeviceKind.EV, at_ms=NOW_MS + seq, p_actual_kw=seq / 7, seq=seq)


def fill(buffer: SampleBuffer, seqs: Iterable[int]) -> None:
    for seq in seqs:
        buffer.append([sample(seq)], sync=False)


def drain(buffer: SampleBuffer, most: int = 10**9) -> list[int]:
    """What comes out, each acknowledged before the next."""
    out: list[int] = []
    while len(out) < most and (got := buffer.peek()) is not None:
        assert got == sample(got.seq or 0)
        out.append(got.seq or 0)
        buffer.acknowledge(got.seq or 0)
    return out


def test_what_goes_in_comes_out_in_order_and_is_then_gone(opened: Opened, tmp_path: Path) -> None:
    buffer = opened(tmp_path)
    fill(buffer, range(1, 101))
    assert buffer.peek() == sample(1)
    assert buffer.peek() == sample(1)
    assert drain(buffer) == list(range(1, 101))
    assert (buffer.peek(), buffer.empty, buffer.bytes_used) == (None, True, 0)
    assert not list(tmp_path.glob("*.samples"))
    fill(buffer, [101])
    assert drain(buffer) == [101]


def test_a_restart_goes_on_where_the_last_acknowledgement_was(opened: Opened, tmp_path: Path) -> None:
    buffer = opened(tmp_path, max_bytes=20_000)
    fill(buffer, range(1, 101))
    assert drain(buffer, 37) == list(range(1, 38))
    buffer = opened(tmp_path, max_bytes=20_000)
    assert buffer.last_seq == 100
    fill(buffer, range(101, 111))
    assert drain(buffer) == list(range(38, 111))
    assert opened(tmp_path).last_seq == 110  # also when nothing waits any more


def test_wherever_a_power_loss_cuts_what_is_before_it_stays(opened: Opened, tmp_path: Path) -> None:
    buffer = opened(tmp_path / "whole")
    fill(buffer, range(1, 6))
    (segment,) = (tmp_path / "whole").glob("*.samples")
    data, one = segment.read_bytes(), segment.stat().st_size // 5
    for length in range(len(data) + 1):
        there = tmp_path / str(length)
        there.mkdir()
        (there / segment.name).write_bytes(data[:length])
        cut = opened(there)
        assert cut.damaged == (1 if length % one else 0)
        fill(cut, [9])  # goes on behind what is whole
        assert drain(cut) == [*range(1, length // one + 1), 9]


def test_blocks_that_were_never_written_are_cut_off_too(opened: Opened, tmp_path: Path) -> None:
    buffer = opened(tmp_path)
    fill(buffer, [1, 2])
    (segment,) = tmp_path.glob("*.samples")
    with segment.open("ab") as file:
        file.write(bytes(4096))
    assert drain(opened(tmp_path)) == [1, 2]


@pytest.mark.parametrize("torn", [b"", b"\x05", b"\x05\0\0\0\0\0\0\0\0\0\0\0", bytes(12)])
def test_a_torn_note_of_what_was_sent_sends_again_and_loses_nothing(
    opened: Opened, tmp_path: Path, torn: bytes
) -> None:
    buffer = opened(tmp_path)
    fill(buffer, range(1, 11))
    assert drain(buffer, 5) == [1, 2, 3, 4, 5]
    (tmp_path / "sent").write_bytes(torn)
    assert drain(opened(tmp_path)) == list(range(1, 11))


def test_when_it_is_full_the_oldest_are_thinned_first_and_the_newest_stay_whole(opened: Opened, tmp_path: Path) -> None:
    buffer = opened(tmp_path, max_bytes=32_000)
    total = 2_000
    for seq in range(1, total + 1):
        buffer.append([sample(seq)], sync=False)
        assert buffer.bytes_used <= 32_000
    kept = drain(buffer)
    assert kept == sorted(set(kept))
    assert len(kept) + buffer.thinned == total
    gaps = [later - earlier for earlier, later in itertools.pairwise(kept)]
    assert kept[0] == 1  # the outage is kept whole, from its first sample
    assert max(gaps) <= 64  # without a hole
    quarter = len(gaps) // 4
    assert sum(gaps[:quarter]) > 2 * sum(gaps[-quarter:])  # the older the coarser
    assert gaps[-5:] == [1] * 5


def test_thinning_goes_on_while_some_is_sent(opened: Opened, tmp_path: Path) -> None:
    buffer = opened(tmp_path, max_bytes=8_000)
    out: list[int] = []
    rng = random.Random(5)
    for seq in range(1, 1_500):
        buffer.append([sample(seq)], sync=False)
        if rng.random() < 0.3:
            out += drain(buffer, 1)
    out += drain(buffer)
    assert out == sorted(set(out))
    assert len(out) + buffer.thinned >= 1_499
    assert out[-1] == 1_499


def test_a_thinning_that_was_cut_short_costs_nothing_and_doubles_nothing(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        pass

    def cut(*_: object, **__: object) -> None:
        raise Cut

    for stage, where in (("before", "rename"), ("after", "unlink")):
        there = tmp_path / stage
        buffer = opened(there, max_bytes=8_000)
        with monkeypatch.context() as patched:
            patched.setattr(Path, where, cut)
            with pytest.raises(Cut):
                fill(buffer, range(1, 10_000))
        last = buffer.last_seq
        again = opened(there, max_bytes=8_000)
        kept = drain(again)
        assert kept == sorted(set(kept))
        assert kept[0] == 1
        assert kept[-1] == last
        assert len(kept) > last * (0.95 if stage == "before" else 0.9)
        assert not list(there.glob("*.new"))


def test_two_agents_of_one_device_do_not_share_it(tmp_path: Path) -> None:
    first = SampleBuffer(tmp_path)
    with pytest.raises(ConflictError, match="another agent"):
        SampleBuffer(tmp_path)
    first.close()
    SampleBuffer(tmp_path).close()


def test_a_full_disk_leaves_half_of_nothing(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = opened(tmp_path)
    fill(buffer, [1, 2])

    def full(file: object, data: bytes) -> None:
        file.write(data[:20])  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_whole", full)
        with pytest.raises(StoreError, match="No space left"):
            fill(buffer, [3])
    fill(buffer, [4])
    assert drain(buffer) == [1, 2, 4]


def test_a_directory_that_cannot_be_is_said(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        opened(tmp_path / "file")
