import asyncio
from collections.abc import Awaitable, Callable, Iterable

from derms.contract import Topics
from derms.control.dispatch import Outbox
from derms.errors import BrokerError
from derms.model import Dialect, Setpoint
from derms.runtime import running
from tests.fakes_contract import lease, run_virtually
from tests.plant import Bus


def test_only_the_newest_lease_of_a_device_goes_out() -> None:
    async def main() -> None:
        bus = Bus()
        sent: list[int] = []
        failed: list[tuple[int, Setpoint]] = []
        outbox = Outbox(
            sink=bus, topics=Topics(), on_sent=sent.append, on_failed=lambda row, each: failed.append((row, each))
        )
        outbox.put([(0, lease(seq=1), Dialect.V1), (1, lease(device_id="ev-2", seq=2), Dialect.V1)])
        outbox.put([(0, lease(seq=3), Dialect.V1)])
        async with running({"outbox": outbox.run}):
            await asyncio.sleep(1.0)
            assert [(topic, b'"seq":3' in payload) for topic, payload in bus.sent] == [
                ("der/control/ev-001", True),
                ("der/control/ev-2", False),
            ]
            assert outbox.sent == sum(sent) == 2
            bus.down = True
            outbox.put([(0, lease(seq=4), Dialect.V1)])
            await asyncio.sleep(1.0)
            assert [(row, each.seq) for row, each in failed] == [(0, 4)]

    run_virtually(main())


def test_a_large_fleet_goes_out_whole_in_slices() -> None:
    async def main() -> None:
        bus = Bus()
        outbox = Outbox(sink=bus, topics=Topics(), on_sent=lambda _: None, on_failed=lambda *_: None)
        outbox.put((row, lease(device_id=f"ev-{row}", seq=row), Dialect.V1) for row in range(1001))
        async with running({"outbox": outbox.run}):
            await asyncio.sleep(1.0)
        assert len(bus.sent) == 1001

    run_virtually(main())


def test_a_lease_goes_to_the_broker_as_it_is_put_and_a_few_slices_do_not_wait_for_each_other() -> None:
    class Slow:
        def __init__(self) -> None:
            self.slices: list[int] = []
            self.answered = asyncio.Event()

        def publish_many(
            self, messages: Iterable[tuple[str, bytes]], *, retain: bool = False, expires_s: int | None = None,
            still: Callable[[], bool] | None = None,
        ) -> Awaitable[list[BrokerError | None]]:  # fmt: skip
            self.slices.append(len(list(messages)))
            return self._answers(self.slices[-1])

        async def _answers(self, count: int) -> list[BrokerError | None]:
            await self.answered.wait()
            return [None] * count

    async def main() -> None:
        bus = Slow()
        outbox = Outbox(sink=bus, topics=Topics(), on_sent=lambda _: None, on_failed=lambda *_: None)
        async with running({"outbox": outbox.run}):
            await asyncio.sleep(1.0)
            outbox.put([(0, lease(seq=1), Dialect.V1)])
            assert bus.slices == [1], "before anybody else had a turn"
            outbox.put((row, lease(device_id=f"ev-{row}", seq=row), Dialect.V1) for row in range(5000))
            await asyncio.sleep(1.0)
            under_way = sum(bus.slices)
            assert 500 < under_way < 5000, "so many wait for the broker, and no more"
            outbox.put([(5001, lease(device_id="ev-5001", seq=1), Dialect.V1)], first=True)
            assert (bus.slices[-1], sum(bus.slices)) == (1, under_way + 1), "what is first waits for none of them"
            bus.answered.set()
            await asyncio.sleep(1.0)
            assert outbox.sent == sum(bus.slices) == 5002

    run_virtually(main())
