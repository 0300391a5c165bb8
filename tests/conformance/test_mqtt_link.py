"""The link on real brokers: what holds on Mosquitto (MQTT 5) must hold on amqtt (MQTT 3.1.1) too."""

import asyncio
import contextlib
import logging

import pytest

from derms.errors import BrokerError, UsageError
from derms.mqtt import MqttLink, Will
from derms.ports import Message, SetpointSink, TelemetryFeed
from tests.brokers import Cable, RunningBroker, until


async def take(link: MqttLink, count: int, *, acknowledge: bool = True, timeout_s: float = 20.0) -> list[Message]:
    """Receive exactly so many messages."""
    got: list[Message] = []
    async with asyncio.timeout(timeout_s):
        while len(got) < count:
            messages = await link.receive()
            got.extend(messages)
            if acknowledge:
                link.acknowledge(messages)
    assert len(got) == count
    return got


async def test_a_published_message_is_received_once_and_in_order(broker: RunningBroker) -> None:
    async with (
        broker.link("reader", subscriptions=[("der/telemetry/+", 1)]) as reader,
        broker.link("writer") as writer,
    ):
        feed: TelemetryFeed = reader
        sink: SetpointSink = writer
        await reader.wait_connected(10)
        await writer.wait_connected(10)
        outcomes = await sink.publish_many(("der/telemetry/ev-1", b"%d" % number) for number in range(50))
        assert list(outcomes) == [None] * 50
        got = await take(reader, 50)
        assert [message.payload for message in got] == [b"%d" % number for number in range(50)]
        assert {message.topic for message in got} == {"der/telemetry/ev-1"}
        assert feed is reader


async def test_the_newest_version_the_broker_speaks_is_found_and_told(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "derms.mqtt")
    async with broker.link("asker", manual_ack=True, protocol="auto") as link:
        await link.wait_connected(10)
        assert link.connected
        assert link.protocol_level == broker.level
    assert not link.connected
    told = [record for record in caplog.records if record.levelno == logging.INFO]
    assert len(told) == 1
    assert getattr(told[0], "protocol_level", None) == broker.level


async def test_a_retained_message_reaches_a_later_subscriber_marked_as_such(broker: RunningBroker) -> None:
    async with broker.link("writer") as writer:
        await writer.wait_connected(10)
        await writer.publish("der/control/ev-1", b"lease", retain=True, expires_s=60)
    async with broker.link("reader", subscriptions=[("der/control/ev-1", 1)]) as reader:
        (message,) = await take(reader, 1)
        assert message.payload == b"lease"
        assert message.retained


@pytest.mark.parametrize("level", [4, 5])
async def test_a_message_that_was_not_acknowledged_comes_again_after_a_drop(
    mosquitto_broker: RunningBroker, level: int
) -> None:
    # Mosquitto only: amqtt forgets a message that was sent once
    broker = mosquitto_broker
    options = {"subscriptions": [("t", 1)], "manual_ack": True, "session_expiry_s": 60, "protocol": level}
    async with broker.link("writer") as writer:
        await writer.wait_connected(10)
        async with broker.link("reader", **options) as reader:
            await reader.wait_connected(10)
            for number in range(4):
                await writer.publish("t", b"%d" % number)
            got = await take(reader, 4, acknowledge=False)
            # out of order and incomplete: 0 and 1 are due, 3 has to wait for 2
            reader.acknowledge([got[3], got[1], got[0]])
        await writer.publish("t", b"while away")
        async with broker.link("reader", **options) as reader:
            again = await take(reader, 3)
            assert [message.payload for message in again] == [b"2", b"3", b"while away"]


async def test_the_link_comes_back_after_the_broker_was_killed(broker: RunningBroker) -> None:
    lost: list[str] = []
    found: list[str] = []
    async with (
        broker.link(
            "reader",
            subscriptions=[("t", 1)],
            on_connect=lambda: found.append("up"),
            on_disconnect=lambda: lost.append("down"),
        ) as reader,
        broker.link("writer") as writer,
    ):
        await reader.wait_connected(10)
        await writer.wait_connected(10)
        await broker.kill()
        await until(lambda: not writer.connected and not reader.connected)
        with pytest.raises(BrokerError, match=r"not connected|was lost"):
            await writer.publish("t", b"lost")
        await broker.restart()
        await reader.wait_connected(10)
        await writer.wait_connected(10)
        await writer.publish("t", b"after")
        (message,) = await take(reader, 1)
        assert message.payload == b"after"
        assert reader.connections == 2
        assert (len(found), len(lost)) == (2, 1)


async def test_an_outage_is_logged_once_when_it_starts_and_once_when_it_ends(
    broker: RunningBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with broker.link("watcher", backoff_first_s=0.01, backoff_max_s=0.02) as link:
        await link.wait_connected(10)
        caplog.set_level(logging.INFO, "derms.mqtt")
        caplog.clear()
        await broker.kill()
        await until(lambda: link.last_error is not None and "refused" in link.last_error.why.lower())
        await broker.restart()
        await link.wait_connected(10)
    levels = [record.levelno for record in caplog.records if record.name.startswith("derms.mqtt")]
    assert levels == [logging.WARNING, logging.INFO]


async def test_what_mosquitto_has_acknowledged_for_an_absent_reader_survives_kill_9(
    mosquitto_broker: RunningBroker,
) -> None:
    broker = mosquitto_broker
    options = {"subscriptions": [("t", 1)], "manual_ack": True, "session_expiry_s": 600}
    async with broker.link("reader", **options) as reader:
        await reader.wait_connected(10)
    async with broker.link("writer") as writer:
        await writer.wait_connected(10)
        await writer.publish("kept", b"newest", retain=True)
        for number in range(3):
            await writer.publish("t", b"sample %d" % number)
        # its database is written one turn of its loop after the acknowledgement: a few milliseconds
        database = broker.directory / "mosquitto.db"
        await until(lambda: database.exists() and b"sample 2" in database.read_bytes())
        await broker.kill()
    await broker.restart()
    async with broker.link("reader", **options) as reader:
        again = await take(reader, 3)
        assert [message.payload for message in again] == [b"sample 0", b"sample 1", b"sample 2"]
    async with broker.link("late", subscriptions=[("kept", 1)]) as late:
        (kept,) = await take(late, 1)
        assert kept.payload == b"newest"


async def test_an_acknowledgement_for_a_connection_that_is_gone_does_nothing(mosquitto_broker: RunningBroker) -> None:
    options = {"subscriptions": [("t", 1)], "manual_ack": True, "session_expiry_s": 600}
    async with mosquitto_broker.link("writer") as writer, Cable(mosquitto_broker.port) as cable:
        await writer.wait_connected(10)
        async with mosquitto_broker.link("reader", port=cable.port, **options) as reader:
            await reader.wait_connected(10)
            await writer.publish("t", b"sample")
            first = await take(reader, 1, acknowledge=False)
            cable.cut()
            await until(lambda: not reader.connected)
            reader.acknowledge(first)
            again = await take(reader, 1)
            assert again[0].payload == b"sample"
            assert again[0].receipt != first[0].receipt


async def test_the_will_is_published_when_cut_off_and_not_after_a_goodbye(broker: RunningBroker) -> None:
    will = Will(topic="der/status/ev-1", payload=b"offline")
    async with broker.link("watcher", subscriptions=[("der/status/#", 1)]) as watcher:
        await watcher.wait_connected(10)
        async with broker.link("polite", will=will) as device:
            await device.wait_connected(10)
        async with (
            Cable(broker.port) as cable,
            broker.link("rude", will=will, port=cable.port, backoff_first_s=30.0, backoff_max_s=30.0) as device,
            broker.link("marker") as marker,
        ):
            await device.wait_connected(10)
            await marker.wait_connected(10)
            await marker.publish("der/status/marker", b"so far no will")
            # the first to come is the marker: the goodbye has not released the will
            (first,) = await take(watcher, 1)
            assert first.topic == "der/status/marker"
            cable.cut()
            (second,) = await take(watcher, 1)
            assert (second.topic, second.payload) == (will.topic, will.payload)


@pytest.mark.parametrize("inbox_size", [10, 10_000])
async def test_a_goodbye_amid_a_flood_does_not_release_the_will(broker: RunningBroker, inbox_size: int) -> None:
    async def pour(writer: MqttLink) -> None:
        while True:
            await writer.publish_many([("flood", b"x" * 200)] * 100)

    async with broker.link("writer") as writer, broker.link("reader", subscriptions=[("will", 1)]) as reader:
        await writer.wait_connected(20)
        await reader.wait_connected(20)
        pouring = asyncio.create_task(pour(writer))
        for number in range(10):
            options = {"subscriptions": [("flood", 1)], "inbox_size": inbox_size}
            async with broker.link("polite", will=Will(topic="will", payload=b"of %d" % number), **options) as polite:
                await polite.receive()
        pouring.cancel()
        await asyncio.wait([pouring])
        await writer.publish("will", b"none so far")
        (first,) = await take(reader, 1)
        assert first.payload == b"none so far"


async def test_a_burst_of_publishes_is_acknowledged_whole(broker: RunningBroker) -> None:
    count = 2_000
    async with (
        broker.link("reader", subscriptions=[("t/#", 1)], manual_ack=True) as reader,
        broker.link("writer") as writer,
    ):
        await reader.wait_connected(10)
        await writer.wait_connected(10)
        burst = asyncio.ensure_future(writer.publish_many([(f"t/{number}", b"x") for number in range(count)]))
        got = await take(reader, count, timeout_s=60.0)
        assert await burst == [None] * count
        assert {message.topic for message in got} == {f"t/{number}" for number in range(count)}


async def test_a_full_inbox_makes_the_broker_wait_and_loses_nothing(broker: RunningBroker) -> None:
    count = 600
    async with (
        broker.link("reader", subscriptions=[("t", 1)], inbox_size=50) as reader,
        broker.link("writer") as writer,
    ):
        await reader.wait_connected(10)
        await writer.wait_connected(10)
        assert await writer.publish_many([("t", b"%d" % number) for number in range(count)]) == [None] * count
        await until(lambda: reader.inbox_full > 0)
        first = await reader.receive()
        assert len(first) == 50
        rest = await take(reader, count - 50)
        assert [int(message.payload) for message in [*first, *rest]] == list(range(count))


@pytest.mark.parametrize("level", [4, 5])
async def test_a_reader_that_was_away_takes_more_than_its_inbox_holds(
    mosquitto_broker: RunningBroker, level: int
) -> None:
    # The broker sends what it kept before it answers the subscription, so a link that read only once it is subscribed
    # would never come back.
    broker, count = mosquitto_broker, 500
    options = {
        "subscriptions": [("t", 1)], "manual_ack": True, "session_expiry_s": 60, "protocol": level,
        "inbox_size": 20, "connect_timeout_s": 8.0,
    }  # fmt: skip
    async with broker.link("writer") as writer:
        await writer.wait_connected(10)
        async with broker.link("reader", **options) as reader:
            await reader.wait_connected(10)
        assert await writer.publish_many([("t", b"%d" % number) for number in range(count)]) == [None] * count
    async with broker.link("reader", **options) as reader:
        got = await take(reader, count)
        await reader.wait_connected(10)
        assert [int(message.payload) for message in got] == list(range(count))
        assert reader.connections == 1
    # And what was acknowledged before the subscription was answered stays acknowledged: at most the last of it, which a
    # busy broker had not read when we left, comes again.
    async with broker.link("reader", **options) as reader, broker.link("writer") as writer:
        await writer.wait_connected(10)
        await writer.publish("t", b"new")
        again: list[bytes] = []
        async with asyncio.timeout(20):
            while b"new" not in again:
                messages = await reader.receive()
                reader.acknowledge(messages)
                again += [message.payload for message in messages]
        assert b"0" not in again


@pytest.mark.parametrize("level", [4, 5])
async def test_what_is_refused_makes_room_for_what_comes_next_and_does_not_come_again(
    mosquitto_broker: RunningBroker, level: int
) -> None:
    broker = mosquitto_broker
    options = {
        "subscriptions": [("t", 1)], "manual_ack": True, "session_expiry_s": 60, "protocol": level,
        "receive_maximum": 20,
    }  # fmt: skip
    async with broker.link("writer") as writer:
        await writer.wait_connected(10)
        async with broker.link("reader", **options) as reader:
            await reader.wait_connected(10)
            assert await writer.publish_many([("t", b"%d" % number) for number in range(60)]) == [None] * 60
            seen: list[bytes] = []
            while len(seen) < 60:  # three times as many as the broker sends to one who answers for none
                async with asyncio.timeout(20):
                    messages = await reader.receive()
                reader.refuse(messages)
                seen += [message.payload for message in messages]
            assert seen == [b"%d" % number for number in range(60)]
            # a round trip: the broker has read the refusals before it
            await reader.publish("elsewhere", b"")
        async with broker.link("reader", **options) as reader:
            await reader.wait_connected(10)
            await writer.publish("t", b"new")
            assert [message.payload for message in await take(reader, 1)] == [b"new"]


async def test_a_qos_0_message_is_handed_over(broker: RunningBroker) -> None:
    async with broker.link("reader", subscriptions=[("t", 0)], manual_ack=True) as reader:
        await reader.wait_connected(10)
        await reader.publish("t", b"x", qos=0)
        (message,) = await take(reader, 1)
        assert message.receipt == 0


@pytest.mark.parametrize("topic", ["t/#", "t/+/x", ""])
async def test_a_topic_that_cannot_be_published_to_is_refused(any_broker: RunningBroker, topic: str) -> None:
    async with any_broker.link("writer", protocol=4) as writer:
        await writer.wait_connected(10)
        with pytest.raises(UsageError):
            await writer.publish(topic, b"x")
        await writer.publish("fine", b"x")


async def test_expiring_messages_are_forgotten_by_the_broker(mosquitto_broker: RunningBroker) -> None:
    broker = mosquitto_broker
    async with broker.link("writer") as writer:
        await writer.wait_connected(10)
        await writer.publish("lease", b"short", retain=True, expires_s=1)
        await writer.publish("marker", b"x", retain=True)
        topics = {"lease"}
        async with asyncio.timeout(20):
            while "lease" in topics:
                topics = set()
                async with broker.link("reader", subscriptions=[("lease", 1), ("marker", 1)]) as reader:
                    while "marker" not in topics:
                        topics |= {message.topic for message in await reader.receive()}


async def test_a_late_reader_is_told_how_long_a_retained_message_has_left(mosquitto_broker: RunningBroker) -> None:
    async with mosquitto_broker.link("writer") as writer:
        await writer.wait_connected(10)
        await writer.publish("lease", b"x", retain=True, expires_s=90)
        await writer.publish("for-ever", b"x", retain=True)
        for protocol, left in ((5, 90), (4, None)):
            found: dict[str, int | None] = {}
            topics = [("lease", 1), ("for-ever", 1)]
            async with mosquitto_broker.link("reader", subscriptions=topics, protocol=protocol) as reader:
                while len(found) < 2:
                    found.update({message.topic: message.expires_s for message in await reader.receive()})
            assert found["for-ever"] is None
            assert found["lease"] is None if left is None else 80 <= (found["lease"] or 0) <= left


async def test_links_that_lose_a_broker_together_come_back_one_by_one(mosquitto_broker: RunningBroker) -> None:
    loop, back = asyncio.get_running_loop(), list[float]()
    async with Cable(mosquitto_broker.port) as cable, contextlib.AsyncExitStack() as stack:
        links = [
            mosquitto_broker.link(
                f"agent-{number}",
                port=cable.port,
                return_within_s=3.0,
                on_connect=lambda: back.append(loop.time()),
            )
            for number in range(100)
        ]
        for link in links:
            await stack.enter_async_context(link)
        async with asyncio.timeout(30):
            for link in links:
                await link.wait_connected(30)
        back.clear()
        cut_s = loop.time()
        cable.cut()
        async with asyncio.timeout(30):
            while len(back) < len(links):  # noqa: ASYNC110 - each link says it by itself
                await asyncio.sleep(0.05)
    a_second = [sum(1 for at in back if second <= at - cut_s < second + 1) for second in range(4)]
    assert max(a_second) <= 60
    assert min(a_second[:3]) >= 10


async def test_leaving_is_quick_and_publishing_afterwards_says_so(broker: RunningBroker) -> None:
    async with broker.link("leaver") as link:
        await link.wait_connected(10)
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 1.5
    with pytest.raises(BrokerError, match="closed"):
        await link.publish("t", b"x")
    with pytest.raises(BrokerError, match="closed"):
        await link.receive()


async def test_what_may_not_be_said_any_more_is_not_written_and_costs_the_connection(broker: RunningBroker) -> None:
    async with (
        broker.link("reader", subscriptions=[("der/control/+", 1)]) as reader,
        broker.link("writer") as writer,
    ):
        await reader.wait_connected(10)
        await writer.wait_connected(10)
        outcomes = await writer.publish_many([("der/control/ev-1", b"late")], still=lambda: False)
        assert [type(outcome) for outcome in outcomes] == [BrokerError]
        await until(lambda: writer.connections == 2)
        assert list(await writer.publish_many([("der/control/ev-1", b"good")], still=lambda: True)) == [None]
        (message,) = await take(reader, 1)
        assert message.payload == b"good"


async def test_in_the_middle_of_a_burst_the_rest_is_held_back(mosquitto_broker: RunningBroker) -> None:
    async with (
        mosquitto_broker.link("reader", subscriptions=[("der/control/+", 1)]) as reader,
        mosquitto_broker.link("writer") as writer,
    ):
        await reader.wait_connected(10)
        await writer.wait_connected(10)
        asked: list[int] = []

        def still() -> bool:
            asked.append(1)
            return len(asked) <= 40

        outcomes = await writer.publish_many(((f"der/control/ev-{n}", b"x") for n in range(20_000)), still=still)
        failed = [outcome for outcome in outcomes if outcome is not None]
        assert 0 < len(failed) < 20_000
        assert all(isinstance(outcome, BrokerError) for outcome in failed)


async def test_who_wants_no_echo_hears_others_and_not_itself(mosquitto_broker: RunningBroker) -> None:
    async with (
        mosquitto_broker.link("one", subscriptions=[("der/control/+", 1)], no_echo=True) as one,
        mosquitto_broker.link("other") as other,
    ):
        await one.wait_connected(10)
        await other.wait_connected(10)
        await one.publish("der/control/ev-1", b"own")
        await other.publish("der/control/ev-1", b"another's")
        (message,) = await take(one, 1)
        assert message.payload == b"another's"
