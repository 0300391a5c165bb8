"""The link against a broker made of bytes: order of PUBACKs, hang-ups, silence, garbage."""

import asyncio
import random
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from derms.errors import BrokerError
from derms.mqtt import BrokerAddress, BrokerRefusedError, MqttLink
from derms.ports import Message
from tests.brokers import until
from tests.fakes_mqtt import CONNACK, CONNECT, DISCONNECT, PUBACK, PUBLISH, FakeBroker, Peer


def link_to(port: int, **options: Any) -> MqttLink:
    settings: dict[str, Any] = {
        "subscriptions": [("t", 1)],
        "protocol": 4,
        "manual_ack": True,
        "backoff_first_s": 0.02,
        "backoff_max_s": 0.05,
        **options,
    }
    address = BrokerAddress(host="127.0.0.1", port=port, username="reader", password="secret")
    return MqttLink(address, client_id="reader", rng=random.Random(1), **settings)


async def take(link: MqttLink, count: int) -> Sequence[Message]:
    got: list[Message] = []
    async with asyncio.timeout(10):
        while len(got) < count:
            got.extend(await link.receive())
    return got


async def test_pubacks_go_out_in_the_order_of_receipt_whatever_the_order_of_acknowledging() -> None:
    acked: list[int] = []

    async def scene(peer: Peer, _: int) -> None:
        await peer.accept()
        for packet_id in (7, 3, 9, 1):
            peer.send_message("t", packet_id, b"%d" % packet_id)
        while True:
            kind, body = await peer.packet()
            if kind == PUBACK:
                acked.append(int.from_bytes(body[:2], "big"))
            elif kind == PUBLISH:
                peer.send(PUBACK, body[3:5])
            else:
                assert kind == DISCONNECT

    async with FakeBroker(scene) as broker, link_to(broker.port) as link:
        first, second, third, fourth = await take(link, 4)
        link.acknowledge([third])
        link.acknowledge([fourth, third])
        link.acknowledge([second])
        await link.publish("t", b"a round trip: what was due before is there now")
        assert acked == []
        link.acknowledge([first])
        await until(lambda: len(acked) == 4)
        assert acked == [7, 3, 9, 1]


async def test_a_receipt_of_an_earlier_connection_acknowledges_nothing_on_the_next() -> None:
    acked: list[tuple[int, int]] = []

    async def scene(peer: Peer, number: int) -> None:
        await peer.accept()
        for packet_id in (1, 2):
            peer.send_message("t", packet_id, b"connection %d" % number)
        if number == 1:
            await ready_to_drop.wait()
            return
        while True:
            kind, body = await peer.packet()
            if kind == PUBACK:
                acked.append((number, int.from_bytes(body[:2], "big")))

    ready_to_drop = asyncio.Event()
    async with FakeBroker(scene) as broker, link_to(broker.port) as link:
        old = await take(link, 2)
        ready_to_drop.set()
        new = await take(link, 2)
        assert {message.payload for message in new} == {b"connection 2"}
        # the same packet ids 1 and 2 are under way again, unacknowledged
        link.acknowledge(old)
        link.acknowledge(new[:1])
        await until(lambda: bool(acked))
        link.acknowledge(new[1:])
        await until(lambda: len(acked) == 2)
        assert acked == [(2, 1), (2, 2)]


async def test_a_broker_that_hangs_up_on_version_5_is_spoken_to_in_3_1_1() -> None:
    levels: list[int] = []

    async def scene(peer: Peer, _: int) -> None:
        body = await peer.expect(CONNECT)
        levels.append(body[6])
        if body[6] == 5:
            return
        peer.send(CONNACK, b"\x00\x00")
        await drop.wait()

    drop = asyncio.Event()
    async with FakeBroker(scene) as broker, link_to(broker.port, protocol="auto", subscriptions=[]) as link:
        await link.wait_connected(10)
        assert link.protocol_level == 4
        assert levels == [5, 4]
        drop.set()
        # it only hung up, so it is asked once more; then it is believed
        await until(lambda: levels[:6] == [5, 4, 5, 4, 4, 4])


async def test_a_broker_that_says_it_lacks_version_5_is_believed_at_once() -> None:
    levels: list[int] = []

    async def scene(peer: Peer, _: int) -> None:
        body = await peer.expect(CONNECT)
        levels.append(body[6])
        peer.send(CONNACK, b"\x00\x01" if body[6] == 5 else b"\x00\x00")
        await asyncio.wait_for(drop.wait(), 10)

    drop = asyncio.Event()
    async with FakeBroker(scene) as broker, link_to(broker.port, protocol="auto", subscriptions=[]) as link:
        await link.wait_connected(10)
        drop.set()
        await until(lambda: levels[:4] == [5, 4, 4, 4])


async def test_a_refused_login_is_told_apart_and_never_shows_the_password(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(peer: Peer, _: int) -> None:
        await peer.expect(CONNECT)
        peer.send(CONNACK, b"\x00\x04")
        await peer.packet()

    async with FakeBroker(scene) as broker, link_to(broker.port) as link:
        with pytest.raises(BrokerRefusedError, match="refused the login") as caught:
            await link.wait_connected(10)
        await until(lambda: broker.clients >= 3)
    assert "'reader'" in str(caught.value)
    assert "secret" not in str(caught.value) + caplog.text + repr(link.address)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


async def test_garbage_ends_the_connection_and_nothing_else() -> None:
    async def scene(peer: Peer, number: int) -> None:
        await peer.accept()
        if number == 1:
            # a topic that claims 255 bytes in a packet of 3
            peer.send(PUBLISH, b"\x00\xff\x00", flags=0b0010)
        else:
            # a topic that is not UTF-8, then a good one
            peer.send(PUBLISH, b"\x00\x01\xff\x00\x05x", flags=0b0010)
            peer.send_message("t", 6, b"good")
        while True:
            kind, body = await peer.packet()
            if kind == PUBACK:
                acked.append(int.from_bytes(body[:2], "big"))

    acked: list[int] = []
    async with FakeBroker(scene) as broker, link_to(broker.port) as link:
        (message,) = await take(link, 1)
        assert message.payload == b"good"
        link.acknowledge([message])
        await until(lambda: acked == [5, 6])
        assert broker.clients == 2


async def test_losing_the_connection_wakes_publishers_at_once() -> None:
    async def scene(peer: Peer, _: int) -> None:
        await peer.accept()
        await peer.expect(PUBLISH)

    async with FakeBroker(scene) as broker, link_to(broker.port, publish_timeout_s=60.0, backoff_first_s=9) as link:
        await link.wait_connected(10)
        async with asyncio.timeout(5):
            alone = asyncio.create_task(link.publish("t", b"1"))
            many = await link.publish_many([("t", b"2"), ("t", b"3")])
            assert all(isinstance(error, BrokerError) for error in many)
            with pytest.raises(BrokerError, match="lost"):
                await alone


async def test_a_broker_that_acknowledges_nothing_is_left_for_a_new_connection() -> None:
    async def scene(peer: Peer, number: int) -> None:
        await peer.accept()
        while True:
            kind, body = await peer.packet()
            if kind == PUBLISH and number > 1:
                peer.send(PUBACK, body[3:5])

    async with FakeBroker(scene) as broker, link_to(broker.port, publish_timeout_s=0.2) as link:
        await link.wait_connected(10)
        with pytest.raises(BrokerError, match="did not acknowledge"):
            await link.publish("t", b"x")
        await until(lambda: link.connections == 2)
        await link.publish("t", b"x")


async def test_a_cancelled_publish_leaves_the_others_alone() -> None:
    async def scene(peer: Peer, _: int) -> None:
        await peer.accept()
        bodies = [await peer.expect(PUBLISH), await peer.expect(PUBLISH)]
        await cancelled.wait()
        for body in bodies:
            peer.send(PUBACK, body[3:5])
        await peer.packet()

    cancelled = asyncio.Event()
    async with FakeBroker(scene) as broker, link_to(broker.port) as link:
        await link.wait_connected(10)
        doomed = asyncio.create_task(link.publish("t", b"1"))
        other = asyncio.create_task(link.publish("t", b"2"))
        await until(lambda: broker.clients == 1)
        await asyncio.sleep(0)
        doomed.cancel()
        cancelled.set()
        await other
        assert doomed.cancelled()


async def test_a_silent_broker_is_noticed_by_its_missing_ping_answer() -> None:
    async def scene(peer: Peer, number: int) -> None:
        await peer.accept()
        await asyncio.Event().wait()

    async with FakeBroker(scene) as broker, link_to(broker.port, keepalive_s=1) as link:
        await link.wait_connected(10)
        await until(lambda: broker.clients == 2)


async def test_the_loop_stays_responsive_while_the_broker_is_a_black_hole() -> None:
    """Two holes: a listener whose queue is full (TCP never connects) and one that never answers."""
    with socket.socket() as full, socket.socket() as mute:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        mute.bind(("127.0.0.1", 0))
        mute.listen(100)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        loop = asyncio.get_running_loop()
        worst_s = 0.0
        async with (
            link_to(full.getsockname()[1], connect_timeout_s=1.0, protocol="auto") as first,
            link_to(mute.getsockname()[1], connect_timeout_s=1.0, protocol="auto") as second,
        ):
            end_s = loop.time() + 2.5
            while (before_s := loop.time()) < end_s:
                await asyncio.sleep(0.01)
                worst_s = max(worst_s, loop.time() - before_s - 0.01)
            for link in (first, second):
                with pytest.raises(BrokerError, match="cannot be reached"):
                    await link.wait_connected(0.1)
        for filler in fillers:
            filler.close()
    # one blocking attempt would take the whole second; a busy machine may well take a part of it
    assert worst_s < 0.8


async def test_a_link_that_is_left_at_any_moment_of_connecting_hangs_up() -> None:
    gone = 0

    async def scene(peer: Peer, _: int) -> None:
        nonlocal gone
        try:
            while True:
                await peer.packet()
        finally:
            gone += 1

    async with FakeBroker(scene) as broker:
        for turns in range(20):
            async with link_to(broker.port):
                for _ in range(turns):
                    await asyncio.sleep(0)
        await until(lambda: gone == broker.clients > 10)


async def test_a_name_that_does_not_exist_is_said_to_be_unreachable() -> None:
    address = BrokerAddress(host="no-such-host.invalid", port=1883)
    async with MqttLink(address, client_id="x", rng=random.Random(1), backoff_first_s=0.01) as link:
        with pytest.raises(BrokerError, match="cannot be reached"):
            await link.wait_connected(1.0)


async def test_a_failing_callback_is_not_swallowed() -> None:
    async def scene(peer: Peer, _: int) -> None:
        await peer.accept()
        await peer.packet()

    def boom() -> None:
        raise RuntimeError("in the callback")

    async def use(port: int) -> None:
        async with link_to(port, on_connect=boom) as link:
            with pytest.raises(BrokerError, match="closed"):
                await link.receive()

    async with FakeBroker(scene) as broker:
        with pytest.raises(RuntimeError, match="in the callback"):
            await use(broker.port)
