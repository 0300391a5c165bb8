"""Messages of QoS 1 on their way: as many at once as the broker takes, each under an id of its own."""

import asyncio

import pytest

from derms.errors import BrokerError, UsageError
from derms.mqtt import outgoing
from derms.mqtt.outgoing import Outgoing
from derms.mqtt.packets import PacketBuffer, read_publish


def _put(out: Outgoing, topic: str = "t", payload: bytes = b"x") -> asyncio.Future[None]:
    return out.put(topic, payload, retain=False, expires_s=None)


def _taken(out: Outgoing) -> list[tuple[int, bytes]]:
    """Packet ids and payloads of what is to be written."""
    buffer, found = PacketBuffer(), []
    buffer.feed(out.take())
    while (packet := buffer.take()) is not None:
        message = read_publish(buffer.chunk, *packet, level=4)
        found.append((message.packet_id, message.payload))
    return found


async def test_no_more_are_under_way_than_the_broker_takes_and_the_rest_follows_in_order() -> None:
    out = Outgoing(level=4, loop=asyncio.get_running_loop())
    out.limit(2)
    for number in range(5):
        _put(out, payload=b"%d" % number)
    assert _taken(out) == [(1, b"0"), (2, b"1")]
    assert not out.due
    assert out.acknowledged(2) is not None
    assert _taken(out) == [(3, b"2")]
    assert out.acknowledged(1) is not None
    assert out.acknowledged(3) is not None
    assert _taken(out) == [(4, b"3"), (5, b"4")]
    assert len(out) == 2


async def test_an_acknowledgement_of_what_never_was_changes_nothing() -> None:
    out = Outgoing(level=4, loop=asyncio.get_running_loop())
    out.limit(1)
    _put(out)
    _put(out)
    out.take()
    assert out.acknowledged(77) is None
    assert not out.due


async def test_an_id_that_still_waits_is_not_given_again() -> None:
    out = Outgoing(level=4, loop=asyncio.get_running_loop())
    first = _put(out)
    for _ in range(65_534):
        _put(out)
        assert out.acknowledged(_taken(out)[-1][0]) is not None
    _put(out)
    assert [packet_id for packet_id, _ in _taken(out)] == [2]  # 1 is the first one's, 0 is no id
    assert out.acknowledged(1) is first


async def test_too_many_that_wait_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "MAX_PENDING", 2)
    out = Outgoing(level=5, loop=asyncio.get_running_loop())
    _put(out)
    _put(out)
    with pytest.raises(BrokerError, match="too many messages wait"):
        _put(out)


async def test_what_is_given_up_is_not_written_any_more() -> None:
    out = Outgoing(level=5, loop=asyncio.get_running_loop())
    out.limit(1)
    waiting = [_put(out), _put(out)]
    assert out.give_up() == waiting
    assert (out.take(), len(out)) == (b"", 0)


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0", "x" * 65_536])
async def test_a_topic_that_cannot_be_published_to_is_refused(topic: str) -> None:
    out = Outgoing(level=5, loop=asyncio.get_running_loop())
    with pytest.raises(UsageError, match="cannot publish"):
        _put(out, topic=topic)
    assert not out.due
