import asyncio

from derms.contract import Topics
from derms.control.dispatch import Outbox
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
