"""Packets against what paho makes of the same, and cut wherever a network may cut them."""

import random

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from derms.mqtt.packets import (
    PacketBuffer,
    PacketError,
    Publish,
    connect,
    pubacks,
    publish,
    read_puback,
    read_publish,
    subscribe,
)
from derms.mqtt.receipts import REFUSED


def _taken(chunks: list[bytes]) -> list[bytes]:
    buffer, found = PacketBuffer(), []
    for chunk in chunks:
        buffer.feed(chunk)
        while (packet := buffer.take()) is not None:
            start, _, end = packet
            found.append(buffer.chunk[start:end])
    return found


def _cut(stream: bytes, rng: random.Random) -> list[bytes]:
    at, chunks = 0, []
    while at < len(stream):
        size = rng.choice([1, 2, 3, 50, 200, 5000])
        chunks.append(stream[at : at + size])
        at += size
    return chunks


SIZES = [0, 1, 50, 120, 127, 128, 129, 16_000, 16_383, 16_384, 300_000]
"""Around the sizes at which a length needs one byte more."""


@pytest.mark.parametrize("seed", range(20))
def test_packets_come_out_whole_wherever_the_stream_is_cut(seed: int) -> None:
    rng = random.Random(seed)
    packets = [publish(b"a/b", bytes(rng.choice(SIZES)), 1 + number) for number in range(20)] + [b"\xd0\x00"]
    assert _taken(_cut(b"".join(packets), rng)) == packets


def test_a_packet_that_was_taken_while_others_wait_does_not_come_again() -> None:
    buffer = PacketBuffer()
    buffer.feed(b"\xd0\x00\xd0\x00")
    assert buffer.take() == (0, 2, 2)
    buffer.feed(b"\xc0\x00")
    assert [buffer.take() for _ in range(3)] == [(0, 2, 2), (2, 4, 4), None]


@pytest.mark.parametrize(
    ("packet", "level", "expected"),
    [
        (b"\x32\x07\x00\x01a\x01\x02hi", 4, Publish(b"a", b"hi", 1, False, 258)),
        (b"\x32\x08\x00\x01a\x01\x02\x00hi", 5, Publish(b"a", b"hi", 1, False, 258)),
        (b"\x3b\x0d\x00\x01a\x00\x07\x05\x02\x00\x00\x00\x09hi", 5, Publish(b"a", b"hi", 1, True, 7, 9)),
        (b"\x3a\x0d\x00\x01a\x00\x07\x05\x02\x00\x00\x00\x09hi", 5, Publish(b"a", b"hi", 1, False, 7)),
        (b"\x31\x03\x00\x01a", 4, Publish(b"a", b"", 0, True, 0)),
        (b"\x30\x04\x00\x01a\x00", 5, Publish(b"a", b"", 0, False, 0)),
        (b"\x30\x02\x00\x00", 4, Publish(b"", b"", 0, False, 0)),
    ],
)
def test_a_publish_is_taken_apart(packet: bytes, level: int, expected: Publish) -> None:
    assert read_publish(packet, 0, 2, len(packet), level=level) == expected


def test_the_expiry_of_a_retained_publish_is_found_among_all_other_properties() -> None:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 1
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "a/b"
    properties.CorrelationData = b"\x02\x00\x00\x00\x01"
    properties.UserProperty = [("\x02", "x"), ("y", "")]
    properties.SubscriptionIdentifier = 300
    properties.TopicAlias = 2
    for expires_s in (None, 0, 9, 4_294_967_295):
        if expires_s is not None:
            properties.MessageExpiryInterval = expires_s
        body = b"\x00\x01a" + properties.pack() + b"hi"  # type: ignore[no-untyped-call]
        packet = b"\x31" + bytes([len(body)]) + body
        assert read_publish(packet, 0, 2, len(packet), level=5) == Publish(b"a", b"hi", 0, True, 0, expires_s)


@pytest.mark.parametrize(
    "properties",
    [b"\x02\x00\x00\x00", b"\x7f\x00", b"\x26\x00\x01a", b"\x03\x00\x05a", b"\x0b\xff", b"\x0b\xff\xff\xff\xff\x01"],
    ids=["an expiry cut off", "none of the standard", "half a pair", "a text cut off", "a number cut off", "too long"],
)
def test_properties_that_do_not_add_up_are_no_properties(properties: bytes) -> None:
    body = b"\x00\x01a" + bytes([len(properties)]) + properties + b"\x00" * 100
    packet = b"\x31" + bytes([len(body)]) + body
    with pytest.raises(PacketError):
        read_publish(packet, 0, 2, len(packet), level=5)


@pytest.mark.parametrize("level", [4, 5])
def test_a_publish_that_is_cut_anywhere_in_its_head_is_no_publish(level: int) -> None:
    whole = b"\x32\x0c\x00\x01a\x01\x02\x05\x02\x00\x00\x00\x09" if level == 5 else b"\x32\x05\x00\x01a\x01\x02"
    assert read_publish(whole, 0, 2, len(whole), level=level).payload == b""
    for end in range(2, len(whole)):
        with pytest.raises(PacketError):
            read_publish(whole + b"rest of the stream", 0, 2, end, level=level)


def test_a_length_of_five_bytes_is_no_length() -> None:
    buffer = PacketBuffer()
    buffer.feed(b"\x30\xff\xff\xff\xff\x01")
    with pytest.raises(PacketError):
        buffer.take()


def test_acknowledgements_and_logins_are_the_bytes_of_the_standard() -> None:
    for level in (4, 5):
        assert pubacks([1, 258], level=level) == b"\x40\x02\x00\x01\x40\x02\x01\x02"
        assert pubacks([], level=level) == b""


def test_a_refusal_is_said_in_mqtt_5_and_looks_like_any_other_in_3_1_1() -> None:
    assert pubacks([1, 258 | REFUSED], level=5) == b"\x40\x02\x00\x01\x40\x03\x01\x02\x97"
    assert pubacks([1, 258 | REFUSED], level=4) == b"\x40\x02\x00\x01\x40\x02\x01\x02"
    assert connect("ab") == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02ab"


@pytest.mark.parametrize(
    ("level", "expires_s", "retain", "expected"),
    [
        # Fixed header, length, topic, packet id, in MQTT 5 the length of the properties and those, payload.
        (4, None, False, b"\x32\x06\x00\x01t\x01\x02x"),
        (4, None, True, b"\x33\x06\x00\x01t\x01\x02x"),
        (5, None, False, b"\x32\x07\x00\x01t\x01\x02\x00x"),
        (5, 300, True, b"\x33\x0c\x00\x01t\x01\x02\x05\x02\x00\x00\x01\x2cx"),
    ],
)
def test_a_publish_is_put_together_as_the_standard_says(
    level: int, expires_s: int | None, retain: bool, expected: bytes
) -> None:
    assert publish(b"t", b"x", 258, level=level, retain=retain, expires_s=expires_s) == expected


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"\x40\x02\x01\x02", (258, 0)),
        (b"\x40\x03\x01\x02\x10", (258, 0x10)),
        (b"\x40\x04\x01\x02\x87\x00", (258, 0x87)),
    ],
)
def test_an_acknowledgement_says_which_and_in_mqtt_5_how(packet: bytes, expected: tuple[int, int]) -> None:
    assert read_puback(packet, 2, len(packet)) == expected


def test_an_acknowledgement_without_a_whole_id_is_none() -> None:
    with pytest.raises(PacketError):
        read_puback(b"\x40\x01\x01\x02", 2, 3)


def test_a_subscription_names_each_topic_with_its_qos() -> None:
    assert subscribe([b"a", b"bc"], 258) == b"\x82\x0b\x01\x02\x00\x01a\x01\x00\x02bc\x01"
