import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from derms.errors import StoreError
from derms.ports import Message, RecordBatch
from derms.recorder import Limits, Recorder
from derms.runtime import SystemClock
from derms.spool import Spool
from tests.fakes_store import FakeStore, decision, memory, sample, setpoint

QUICK = {"linger_s": 0.0, "first_retry_s": 0.01, "longest_retry_s": 0.02, "write_s": 5.0, "drain_s": 2.0}


@dataclass
class Bench:
    path: Path
    max_bytes: int = 1 << 20
    store: FakeStore = field(default_factory=FakeStore)
    safe: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def recorder(self, *, run: bool = True, **limits: Any) -> AsyncIterator[Recorder]:
        made = Recorder(
            store=self.store,
            spool=Spool(self.path, max_bytes=self.max_bytes, segment_bytes=self.max_bytes // 4),
            on_safe=lambda messages: self.safe.extend(message.receipt for message in messages),
            on_refused=lambda messages: self.refused.extend(message.receipt for message in messages),
            clock=SystemClock(),
            rng=random.Random(1),
            limits=Limits(**(QUICK | limits)),
        )
        async with made:
            task = asyncio.create_task(made.run()) if run else None
            try:
                yield made
            finally:
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "spool")


def put(recorder: Recorder, *seqs: int) -> list[bool]:
    return [recorder.put_sample(sample(seq), Message("t", b"", receipt=seq)) for seq in seqs]


def lose_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool takes nothing any more."""

    def failing(_spool: Spool, _batch: object) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(Spool, "append", failing)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is over plain attributes; nothing announces them
            await asyncio.sleep(0.002)


async def spool_one(recorder: Recorder, seq: int) -> None:
    """Put the sample numbered `seq`, from zero, and wait until the spool has it."""
    put(recorder, seq)
    await until(lambda: recorder.spooled == seq + 1)


async def test_rows_are_stored_and_their_messages_reported_safe(bench: Bench) -> None:
    async with bench.recorder() as recorder:
        put(recorder, 1, 2, 3)
        recorder.put_setpoints([setpoint(1)])
        recorder.put_decision(decision(1))
        await until(lambda: recorder.stored == 5)
        assert bench.safe == [1, 2, 3]
        assert (recorder.queued, recorder.spooled, recorder.lost, recorder.store_away) == (0, 0, 0, False)


async def test_what_is_there_goes_into_one_commit(bench: Bench) -> None:
    async with bench.recorder(linger_s=0.02) as recorder:
        for seq in range(100):
            put(recorder, seq)
            if seq % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: recorder.stored == 100)
        assert bench.store.batches == [100]


async def test_a_batch_is_no_larger_than_its_bound(bench: Bench) -> None:
    async with bench.recorder(batch_rows=40) as recorder:
        put(recorder, *range(100))
        await until(lambda: recorder.stored == 100)
        assert bench.store.batches == [40, 40, 20]
        assert bench.store.order == list(range(100))


async def test_a_message_is_not_safe_before_the_commit(bench: Bench) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        entered.set()
        await leave.wait()

    bench.store.before_write = slow
    async with bench.recorder() as recorder:
        put(recorder, 1)
        await entered.wait()
        assert bench.safe == []
        assert recorder.queued == 1
        leave.set()
        await until(lambda: bench.safe == [1])


async def test_while_the_store_is_away_rows_are_spooled_and_safe(bench: Bench) -> None:
    bench.store.away = True
    async with bench.recorder() as recorder:
        put(recorder, 1, 2)
        await until(lambda: bench.safe == [1, 2])
        assert recorder.store_away
        assert (recorder.spooled, recorder.stored) == (2, 0)
        assert recorder.spool_bytes > 0


async def test_when_the_store_returns_all_is_there_once_and_in_order(bench: Bench) -> None:
    bench.store.away = True
    async with bench.recorder() as recorder:
        for seq in range(30):
            await spool_one(recorder, seq)
        bench.store.away = False
        put(recorder, 30)
        await until(lambda: recorder.stored == 31)
        assert bench.store.order == list(range(31))
        await until(lambda: recorder.spool_bytes == 0)
        assert not recorder.store_away
        put(recorder, 31)
        await until(lambda: recorder.stored == 32)
        assert recorder.spooled <= 31


async def test_a_store_that_never_answers_counts_as_away(bench: Bench) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    bench.store.before_write = never
    async with bench.recorder(write_s=0.02) as recorder:
        put(recorder, 1)
        await until(lambda: bench.safe == [1])
        assert recorder.spooled == 1
        bench.store.before_write = None
        await until(lambda: recorder.stored == 1)


async def test_a_store_that_is_away_is_not_tried_for_every_batch(bench: Bench) -> None:
    bench.store.away = True
    async with bench.recorder(first_retry_s=60.0, longest_retry_s=60.0) as recorder:
        for seq in range(20):
            await spool_one(recorder, seq)
        assert bench.store.attempts == 1


async def test_the_spool_of_an_earlier_run_is_replayed_first(bench: Bench) -> None:
    bench.store.away = True
    async with bench.recorder() as recorder:
        put(recorder, 1, 2)
        await until(lambda: recorder.spooled == 2)
    bench.store.away = False
    async with bench.recorder() as recorder:
        put(recorder, 3)
        await until(lambda: len(bench.store.samples) == 3)
        assert bench.store.order == [1, 2, 3]


async def test_a_replay_keeps_up_with_what_arrives(bench: Bench) -> None:
    bench.store.away = True
    async with bench.recorder() as recorder:
        for seq in range(50):
            await spool_one(recorder, seq)
        bench.store.away = False
        seq = 50
        async with asyncio.timeout(10):
            while recorder.spool_bytes:
                put(recorder, seq)
                seq += 1
                await asyncio.sleep(0)
        await until(lambda: len(bench.store.samples) == seq)
        assert bench.store.order == list(range(seq))


async def test_a_full_sample_queue_drops_only_what_no_broker_waits_for(bench: Bench) -> None:
    async with bench.recorder(run=False, samples=3) as recorder:
        assert put(recorder, 1, 2, 3) == [True, True, True]
        assert not recorder.put_sample(sample(4), Message("t", b"", receipt=0))
        assert recorder.lost == 1
        # one that is waited for is taken all the same: unanswered, it would hold up every answer behind it
        assert put(recorder, 5) == [True]
    assert bench.safe == [1, 2, 3, 5]
    assert bench.store.order == [1, 2, 3, 5]


async def test_full_queues_of_setpoints_and_decisions_drop_their_oldest(bench: Bench) -> None:
    async with bench.recorder(run=False, setpoints=2, decisions=1) as recorder:
        recorder.put_setpoints([setpoint(n) for n in range(5)])
        recorder.put_decision(decision(0))
        recorder.put_decision(decision(1))
        assert recorder.lost == 3 + 1
    assert [one.seq for one in bench.store.setpoints.values()] == [3, 4]
    assert [one.tick for one in bench.store.decisions.values()] == [1]


async def test_at_the_end_everything_put_is_stored(bench: Bench) -> None:
    async with bench.recorder(run=False, batch_rows=10) as recorder:
        put(recorder, *range(35))
    assert bench.store.order == list(range(35))
    assert bench.safe == list(range(35))


async def test_at_the_end_everything_put_is_spooled_when_the_store_is_away(bench: Bench) -> None:
    bench.store.away = True
    async with bench.recorder(run=False, batch_rows=10) as recorder:
        put(recorder, *range(35))
    assert bench.safe == list(range(35))
    spool = Spool(bench.path)
    found = []
    while (batch := spool.peek()) is not None:
        found += [one.telemetry.seq for one in batch.samples]
        spool.advance()
    assert found == list(range(35))


async def test_a_batch_in_flight_when_stopped_is_not_lost(bench: Bench) -> None:
    entered = asyncio.Event()

    async def never() -> None:
        entered.set()
        await asyncio.Event().wait()

    bench.store.before_write = never
    async with bench.recorder(drain_s=0.05) as recorder:
        put(recorder, 1, 2)
        await entered.wait()
        put(recorder, 3)
    assert bench.safe == [1, 2, 3]
    assert recorder.spooled == 3
    assert recorder.lost == 0


async def test_without_store_and_disk_rows_wait_and_are_counted_at_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_disk(monkeypatch)
    bench.store.away = True
    async with bench.recorder() as recorder:
        put(recorder, 1, 2)
        await until(lambda: bench.store.attempts >= 3)
        assert bench.safe == []
        assert recorder.queued == 2
    assert recorder.lost == 2
    assert bench.safe == []


async def test_rows_that_waited_in_memory_go_to_the_store_when_it_returns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_disk(monkeypatch)
    bench.store.away = True
    async with bench.recorder() as recorder:
        put(recorder, 1)
        await until(lambda: bench.store.attempts >= 2)
        bench.store.away = False
        await until(lambda: bench.safe == [1])
        assert recorder.stored == 1


async def test_what_comes_is_heard_on_where_neither_store_nor_disk_takes_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_disk(monkeypatch)
    bench.store.away = True
    async with bench.recorder(samples=2) as recorder:
        put(recorder, 1)
        await until(lambda: recorder.disk_failed)
        put(recorder, 2, 3)
        async with asyncio.timeout(5):
            await recorder.room()
        assert not recorder.put_sample(sample(4), None)
        assert recorder.lost == 1
        bench.store.away = False
        await until(lambda: bench.safe == [1, 2, 3])


async def test_where_neither_store_nor_disk_takes_any_the_newest_wait_and_the_rest_is_refused_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_disk(monkeypatch)
    bench.store.away = True
    async with bench.recorder(held=3, batch_rows=2, first_retry_s=0.01) as recorder:
        put(recorder, 1, 2)
        await until(lambda: recorder.disk_failed)
        assert bench.refused == []
        put(recorder, 3, 4, 5, 6, 7)
        await until(lambda: len(bench.refused) >= 4)
        assert bench.refused == [1, 2, 3, 4]  # in hand are 1 and 2, and of the five behind them three may wait
        assert recorder.lost == 4
        assert not await recorder.samples_safe(0.0)
        bench.store.away = False
        await until(lambda: bench.safe == [5, 6, 7])
        assert await recorder.samples_safe(1.0)


async def test_who_asks_is_not_told_that_what_was_given_up_is_safe(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_disk(monkeypatch)
    bench.store.away = True
    async with bench.recorder(held=1, first_retry_s=0.01) as recorder:
        put(recorder, 1)
        asked = asyncio.create_task(recorder.samples_safe(10.0))
        await until(lambda: recorder.disk_failed)
        put(recorder, 2, 3)
        assert await asked is False


async def test_only_the_newest_memory_of_each_tree_waits(bench: Bench) -> None:
    async with bench.recorder(run=False) as recorder:
        for at_s in range(50):
            recorder.put_memory(memory("a", at_s=at_s))
        recorder.put_memory(memory("b", at_s=3))
        recorder.put_decision(decision(1))
    assert bench.store.memories == {"a": memory("a", at_s=49), "b": memory("b", at_s=3)}
    assert bench.store.batches == [1]  # one commit, of one row that counts
    assert (recorder.stored, recorder.lost) == (1, 0)


async def test_a_memory_that_comes_alone_is_stored_and_then_nothing_waits(bench: Bench) -> None:
    leave = asyncio.Event()
    bench.store.before_write = leave.wait
    async with bench.recorder() as recorder:
        recorder.put_memory(memory(at_s=1))
        await until(lambda: bench.store.attempts == 1)
        assert not await recorder.quiet(0.01)
        leave.set()
        assert await recorder.quiet(10.0)
        assert bench.store.memories == {"feeder-1": memory(at_s=1)}


async def test_while_the_store_is_away_memories_are_dropped_and_rows_spooled(bench: Bench) -> None:
    bench.store.away = True
    async with bench.recorder() as recorder:
        recorder.put_memory(memory(at_s=1))
        put(recorder, 1)
        await until(lambda: bench.safe == [1])
        recorder.put_memory(memory(at_s=2))
        assert await recorder.quiet(10.0)
        assert (recorder.spooled, recorder.lost) == (1, 0)
        spooled = Spool(bench.path).peek()
        assert spooled is not None
        assert (len(spooled.samples), spooled.memories) == (1, [])
        bench.store.away = False
        await until(lambda: recorder.stored == 1)
        recorder.put_memory(memory(at_s=3))
        await until(lambda: bench.store.memories == {"feeder-1": memory(at_s=3)})
        assert bench.store.order == [1]


async def test_with_neither_store_nor_disk_a_memory_alone_holds_nothing_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_disk(monkeypatch)
    bench.store.away = True
    async with bench.recorder() as recorder:
        recorder.put_memory(memory())
        assert await recorder.quiet(10.0)
    assert recorder.lost == 0


async def test_who_asks_is_told_when_what_was_put_so_far_is_on_disk(bench: Bench) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        entered.set()
        await leave.wait()

    bench.store.before_write = slow
    async with bench.recorder() as recorder:
        assert await recorder.samples_safe(0.01)
        put(recorder, 1)
        await entered.wait()
        assert not await recorder.samples_safe(0.01)
        leave.set()
        assert await recorder.samples_safe(5.0)
        bench.store.away = True
        put(recorder, 2)
        assert await recorder.samples_safe(5.0)
        assert recorder.spooled == 1


class Gate:
    """Holds writes up until it is opened."""

    def __init__(self) -> None:
        self.entered, self.open = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.entered.set()
        await self.open.wait()


async def test_what_a_slow_store_does_not_take_soon_goes_to_the_spool_and_is_stored_once_all_the_same(
    bench: Bench,
) -> None:
    gate = bench.store.before_write = Gate()
    async with bench.recorder(patience_s=0.01) as recorder:
        put(recorder, 1, 2)
        await until(lambda: bench.safe == [1, 2])
        assert (recorder.spooled, recorder.stored, recorder.store_away) == (2, 0, False)
        put(recorder, 3)
        await until(lambda: bench.safe == [1, 2, 3])
        assert bench.store.attempts == 1
        gate.open.set()
        await until(lambda: recorder.spool_bytes == 0 and recorder.stored == 3)
        assert bench.store.order == [1, 2, 3]
        assert recorder.lost == 0
        assert bench.safe == [1, 2, 3]


async def test_a_store_that_is_always_slow_is_waited_for_once_that_is_known(bench: Bench) -> None:
    async def slow() -> None:
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, over.set)
        await over.wait()

    bench.store.before_write = slow
    async with bench.recorder(patience_s=0.08) as recorder:
        for seq in range(6):
            put(recorder, seq)
            await until(lambda known=seq: recorder.stored == known + 1)  # type: ignore[misc]
        assert recorder.spooled <= 2
    assert bench.store.order == list(range(6))


async def test_what_a_store_did_not_take_in_the_end_is_replayed_from_the_spool_in_order(bench: Bench) -> None:
    gate = bench.store.before_write = Gate()
    async with bench.recorder(patience_s=0.01, write_s=0.1) as recorder:
        put(recorder, 1, 2)
        await until(lambda: bench.safe == [1, 2])
        put(recorder, 3)
        await until(lambda: recorder.store_away)
        gate.open.set()
        await until(lambda: recorder.spool_bytes == 0 and recorder.stored == 3)
        assert bench.store.order == [1, 2, 3]
        assert recorder.lost == 0


async def test_a_store_that_does_not_answer_holds_up_one_batch_and_no_later_one(bench: Bench) -> None:
    bench.store.before_write = Gate()
    async with bench.recorder(patience_s=0.2, write_s=0.3, aside_s=10.0) as recorder:
        await spool_one(recorder, 0)
        began_s, seq = time.monotonic(), 0
        while bench.store.attempts < 4:  # so it is tried meanwhile
            seq += 1
            async with asyncio.timeout(0.15):
                await spool_one(recorder, seq)
        assert time.monotonic() - began_s > 0.6
    assert bench.safe == list(range(seq + 1))


async def test_a_full_spool_takes_new_rows_as_soon_as_the_replay_makes_room(bench: Bench) -> None:
    bench.store.away = True
    bench.max_bytes = 20_000
    async with bench.recorder(held=50, batch_rows=20, first_retry_s=0.05, longest_retry_s=0.05) as recorder:
        seq = 0
        while not recorder.disk_failed:
            seq += 20
            put(recorder, *range(seq - 20, seq))
            await until(lambda: recorder.queued == 0 or recorder.disk_failed)
        assert bench.refused == []
        turns = asyncio.Semaphore(0)
        bench.store.before_write, bench.store.away = turns.acquire, False
        put(recorder, *range(seq, seq + 100))
        await until(lambda: len(bench.refused) > 0)
        while recorder.disk_failed:
            stored = recorder.stored
            turns.release()
            await until(lambda stored=stored: recorder.stored > stored or not recorder.disk_failed)  # type: ignore[misc]
        await until(lambda: recorder.queued == 0)
        assert recorder.spool_bytes > 0
        bench.store.before_write = None
        turns.release()
        await until(lambda: recorder.spool_bytes == 0)
        assert sorted(bench.safe + bench.refused) == list(range(seq + 100))
        assert bench.store.order == bench.safe


async def test_a_slow_write_whose_rows_the_disk_does_not_take_either_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_disk(monkeypatch)
    gate = bench.store.before_write = Gate()
    async with bench.recorder(patience_s=0.01) as recorder:
        put(recorder, 1)
        await until(lambda: recorder.disk_failed)
        put(recorder, 2)
        gate.open.set()
        await until(lambda: bench.safe == [1, 2])
        assert bench.store.order == [1, 2]
        assert not recorder.disk_failed


async def test_a_slow_write_of_a_memory_alone_takes_no_rows_of_others_with_it(bench: Bench) -> None:
    gate = bench.store.before_write = Gate()
    async with bench.recorder(patience_s=0.01) as recorder:
        recorder.put_memory(memory(at_s=1))
        assert await recorder.quiet(10.0)
        put(recorder, 1)
        await until(lambda: bench.safe == [1])
        gate.open.set()
        await until(lambda: recorder.spool_bytes == 0)
        assert bench.store.order == [1]
        assert bench.store.memories == {"feeder-1": memory(at_s=1)}


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_store_and_disk_do_nothing_that_was_acknowledged_is_missing_or_out_of_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    write, append = bench.store.write, Spool.append

    async def moody(batch: RecordBatch) -> None:
        mood = rng.randrange(6)
        if mood == 0:
            await asyncio.sleep(rng.uniform(0.0, 0.03))
        elif mood == 1:
            raise StoreError("it refuses")
        await write(batch)
        if mood == 2:
            await asyncio.sleep(rng.uniform(0.0, 0.03))  # committed, and its answer is late or never heard
        elif mood == 3:
            raise StoreError("the line broke after the commit")

    def moody_disk(spool: Spool, batch: RecordBatch) -> None:
        if rng.random() < 0.2:
            raise StoreError("the disk refuses")
        append(spool, batch)

    monkeypatch.setattr(bench.store, "write", moody)
    monkeypatch.setattr(Spool, "append", moody_disk)
    seq = 0
    limits: dict[str, Any] = {"patience_s": 0.005, "write_s": 0.02, "aside_s": 0.002, "batch_rows": 10, "held": 15}
    for _ in range(3):  # runs, each with the spool of the one before
        async with bench.recorder(**limits) as recorder:
            for _ in range(60):
                some = rng.randrange(12)
                put(recorder, *range(seq, seq + some))
                seq += some
                await asyncio.sleep(rng.uniform(0.0, 0.004))
    monkeypatch.undo()
    async with bench.recorder() as recorder:
        await until(lambda: recorder.spool_bytes == 0)
    assert bench.safe == sorted(set(bench.safe))
    first_seen = list(dict.fromkeys(bench.store.order))
    assert set(bench.safe) <= set(first_seen)
    assert len(bench.store.samples) == len(first_seen)
    kept = [one for one in first_seen if one in set(bench.safe)]
    assert kept == bench.safe
    assert not set(bench.safe) & set(bench.refused)
