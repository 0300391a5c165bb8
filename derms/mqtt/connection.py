"""One MQTT connection: the only door to paho.

paho parses and builds the packets, but for messages of QoS 1 in both directions and their acknowledgements, and those
that come at QoS 0 (see `derms.mqtt.packets`);
asyncio moves the bytes (names, TCP, TLS, back-pressure), so there is neither a thread nor a blocking call. A connection
is never reused: every attempt gets a fresh paho client, so nothing of an earlier one (packet ids, half-sent packets,
unanswered publishes) can reach the next.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, topic_matches_sub
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from derms.errors import BrokerError, UsageError
from derms.mqtt.client import ConnectOptions, Level, Wire, expiring, new_client
from derms.mqtt.dial import dial
from derms.mqtt.outgoing import Outgoing, checked
from derms.mqtt.packets import PUBACK, PUBLISH, PacketBuffer, Publish, pubacks, read_puback, read_publish
from derms.mqtt.receipts import Receipts
from derms.mqtt.refusals import BrokerRefusedError, VersionRefusedError
from derms.ports import Message

_log = logging.getLogger(__name__)

_MESSAGES_A_TURN = 200
"""After so many messages the event loop gets a turn (about 4 ms of parsing)."""
_FAILURE = 0x80
"""Reason codes from here on are refusals."""
_UNSUPPORTED_VERSION, _BAD_CLIENT_ID, _BAD_LOGIN, _NOT_AUTHORIZED, _BANNED = 132, 133, 134, 135, 138


class Connection(asyncio.Protocol):
    """One connection, from the name lookup to its end.

    Args:
        options: Shared by all connections of the link.
        level: 4 for MQTT 3.1.1, 5 for MQTT 5.
        generation: Counts the connections of the link; part of every receipt.
        deliver: Takes a message; False when there is no room for another until `resume`.
    """

    def __init__(
        self, options: ConnectOptions, *, level: Level, generation: int, deliver: Callable[[Message], bool]
    ) -> None:
        self.level = level
        self._options = options
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Done when the connection is over; says why."""
        self.last_answer_s = 0.0
        """When the broker last acknowledged a publish [s, the loop's clock]."""
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._answer: asyncio.Future[Any] | None = None
        self._outgoing = Outgoing(level=level, loop=self._loop)
        self._writing = False
        """A write is due in this turn."""
        self._receipts = Receipts(generation)
        self._full = False
        self._buffer = PacketBuffer()
        self._waiting: asyncio.Timeout | None = None
        """For the answer to the subscriptions."""
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._wire: Wire | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._logged_in = False
        self._guards: list[Callable[[], bool]] = []
        client = self._client = new_client(options, level)
        client.on_connect = self._on_connack
        client.on_subscribe = self._on_suback
        client.on_disconnect = self._on_disconnect
        client.on_socket_register_write = self._write_soon

    # ------------------------------------------------------------------ opening and closing

    async def open(self, *, answer_within_s: float) -> None:
        """Connect, log in and subscribe.

        Args:
            answer_within_s: For the login, and again for the subscriptions.

        Raises:
            BrokerRefusedError: The broker refused the login or a subscription.
            VersionRefusedError: It may not speak this MQTT version.
            BrokerError: It cannot be reached or does not answer in time.
        """
        address = self._options.address
        what = f"the MQTT broker at {address} cannot be reached"
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._loop.create_connection(
                    lambda: self,
                    sock=await dial(address.host, address.port),
                    ssl=self._options.tls,
                    server_hostname=address.host if self._options.tls else None,
                )
            async with asyncio.timeout(answer_within_s):
                await self._log_in(what)
            async with self._patience():
                await self._subscribe()
        except TimeoutError as error:
            self.abort("no answer in time")
            why = "no answer in time"
            if self._wire is not None and not self._logged_in:
                raise VersionRefusedError(what, why=why, said_so=False) from error
            raise BrokerError(what, why=why) from error
        except (OSError, ssl.CertificateError) as error:
            self.abort("not connected")
            raise BrokerError(what, why=_reason(error)) from error
        except BaseException:
            self.abort("not connected")
            raise

    async def _log_in(self, what: str) -> None:
        self._client.reconnect()
        self._answer = self._loop.create_future()
        try:
            reason: ReasonCode = await self._answer
        except BrokerError as error:
            raise VersionRefusedError(what, why=error.why, said_so=False) from error
        match int(reason.value):
            case 0:
                self._logged_in = True
            case code if code == _UNSUPPORTED_VERSION:
                raise VersionRefusedError(what, why=f"it does not speak MQTT level {self.level}", said_so=True)
            case code if code in (_BAD_LOGIN, _NOT_AUTHORIZED, _BANNED, _BAD_CLIENT_ID):
                raise BrokerRefusedError(
                    f"the MQTT broker at {self._options.address} refused the login",
                    why=f"user {self._options.address.username!r}, client id {self._options.client_id!r}: {reason}",
                    next_step="check the user name and password in the broker URL",
                )
            case _:
                raise BrokerError(what, why=f"it answered: {reason}")

    async def _subscribe(self) -> None:
        if self._options.subscriptions:
            self._answer = self._loop.create_future()
            self._client.subscribe(self._wanted())
            granted: list[ReasonCode] = await self._answer
            for (topic, _), reason in zip(self._options.subscriptions, granted, strict=False):
                if reason.is_failure and topic in self._options.may_be_refused:
                    _log.info("The broker refused a subscription that is not needed: %s", topic)
                elif reason.is_failure:
                    raise BrokerRefusedError(
                        f"the MQTT broker at {self._options.address} refused the subscription to {topic!r}",
                        why=f"user {self._options.address.username!r}: {reason}",
                        next_step="allow this user to read the topic in the broker's access rules",
                    )
        self._answer = None
        self.last_answer_s = self._loop.time()
        self._schedule_tick()

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Time for an answer that may come behind all that the broker has kept for us: as long as that comes."""
        try:
            async with asyncio.timeout(self._options.connect_timeout_s) as self._waiting:
                yield
        finally:
            self._waiting = None

    def _wait_on(self) -> None:
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(self._loop.time() + self._options.connect_timeout_s)

    def _wanted(self) -> list[tuple[str, int]] | list[tuple[str, SubscribeOptions]]:
        if self.level == 4 or not self._options.no_echo:
            return list(self._options.subscriptions)
        # the standard forbids it for shared subscriptions
        return [
            (topic, SubscribeOptions(qos=qos, noLocal=not topic.startswith("$share/")))
            for topic, qos in self._options.subscriptions
        ]

    async def close(self, timeout_s: float) -> None:
        """Say goodbye (the will is not published) and wait until the broker hangs up, at most `timeout_s`."""
        try:
            if not self.lost.done() and self._wire is not None:
                self._wire.parting = True
                self._client.disconnect()
                self._client.loop_write()
                async with asyncio.timeout(timeout_s):
                    await asyncio.shield(self._closed)
        except TimeoutError:
            _log.debug("The broker did not take the goodbye in time.", extra={"client_id": self._options.client_id})
        finally:
            self.abort("closed")

    def abort(self, why: str) -> None:
        """Cut the connection without a goodbye."""
        if self._transport is not None:
            self._transport.abort()
        self._finish(why)

    def _finish(self, why: str) -> None:
        """Wake everyone who waits for this connection; it is over."""
        if self.lost.done():
            return
        self.lost.set_result(why)
        if self._tick is not None:
            self._tick.cancel()
        waiting = [*self._outgoing.give_up(), *([self._answer] if self._answer is not None else [])]
        for future in waiting:
            if not future.done():
                future.set_exception(BrokerError("the connection to the MQTT broker was lost", why=why))
        self._writable.set()

    # ------------------------------------------------------------------ bytes: asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the new transport to paho."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._client.wire = self._wire = Wire(transport)

    def data_received(self, data: bytes) -> None:
        """Read what came; after the goodbye it is dropped."""
        if self._wire is not None and not self.lost.done():
            self._wait_on()
            self._buffer.feed(data)
            self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """Read what is left, then end."""
        if not self._closed.done():
            self._closed.set_result(None)
        if self._wire is not None and not self.lost.done():
            self._wire.at_end = True
            self._pump()
        self._finish(_reason(exc) if exc else "the broker closed the connection")

    def pause_writing(self) -> None:
        """The broker reads slower than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def resume(self) -> None:
        """There is room for messages again."""
        if self._full:
            self._full = False
            self._wait_on()
            self._pump()

    def _pump(self) -> None:
        """Take packets until there is none, the reader is full or the turn is over."""
        wire, transport = self._wire, self._transport
        if wire is None or transport is None or self.lost.done():
            return
        if self._full and not wire.at_end:
            transport.pause_reading()
            return
        try:
            over = self._take_packets(wire)
        except Exception as error:
            # bytes that are no MQTT, or whatever paho raises on them: the stream is out of step for good
            _log.warning(
                "The MQTT broker sent something unreadable; connecting anew.",
                extra={"client_id": self._options.client_id, "error": repr(error)},
            )
            self.abort("the broker sent something unreadable")
            return
        if wire.at_end:
            return  # nothing more comes, and a TLS transport that is closed cannot be asked to read
        if not over:
            transport.resume_reading()
        else:
            transport.pause_reading()
            if not self._full:
                self._loop.call_soon(self._pump)

    def _take_packets(self, wire: Wire) -> bool:
        """Take packets; True: reading has to stop for now.

        Raises:
            Exception: The bytes cannot be read.
        """
        buffer, turn = self._buffer, 0
        while (packet := buffer.take()) is not None:
            start, body, end = packet
            chunk = buffer.chunk
            if chunk[start] & 0xF0 == PUBLISH and chunk[start] & 0x06 in (0, 2):
                self._take_message(read_publish(chunk, start, body, end, level=self.level))
                turn += 1
                if not wire.at_end and (self._full or turn >= _MESSAGES_A_TURN):
                    return True
            elif chunk[start] == PUBACK:
                self._take_puback(*read_puback(chunk, body, end))
            else:
                wire.feed(chunk[start:end])
                while wire.unread and not self.lost.done():
                    if self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                        self.abort("the broker closed the connection")
            if self.lost.done():
                return False
        if wire.at_end and self._client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.abort("the broker closed the connection")
        return False

    def _write_soon(self, *_: object) -> None:
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self.write)

    def write(self) -> None:
        """Hand over everything that was queued, at the end of the turn at the latest."""
        self._writing = False
        if self.lost.done() or self._wire is None:
            return
        if not all(guard() for guard in self._guards):
            # the rest of a burst is held back until the broker has answered the first; what was good when it was handed
            # over need not be good any more
            self.abort("what is to be sent may not be sent any more")
            return
        self._client.loop_write()
        self._wire.flush()
        if self._outgoing.due and self._transport is not None:
            # paho hands over whole packets only, so these never come to stand within one of its own
            self._transport.write(self._outgoing.take())

    @contextmanager
    def guarded(self, still: Callable[[], bool]) -> Iterator[None]:
        """Cut the connection rather than write anything once `still` says no, while the body runs."""
        self._guards.append(still)
        try:
            yield
        finally:
            self._guards.remove(still)

    def _schedule_tick(self) -> None:
        self._tick = self._loop.call_later(max(0.25, self._client.keepalive / 8), self._on_tick)

    def _on_tick(self) -> None:
        if not self.lost.done():
            # a reader that is full has not looked for the broker's answers, so it cannot judge it
            if not self._full:
                self._client.loop_misc()
            self._schedule_tick()

    # ------------------------------------------------------------------ messages

    def send(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, expires_s: int | None
    ) -> asyncio.Future[None] | None:
        """Queue one message.

        Returns:
            For QoS 1, what is done when the broker has acknowledged it.

        Raises:
            BrokerError: The connection is over, or too many messages wait for the broker.
            UsageError: The topic or the QoS cannot be published to.
        """
        if self.lost.done():
            raise BrokerError("not connected to the MQTT broker", why=self.lost.result())
        if qos not in (0, 1):
            raise UsageError(f"QoS {qos} is not used here", why="leases and telemetry are QoS 0 or 1")
        if qos == 1:
            answer = self._outgoing.put(topic, payload, retain=retain, expires_s=expires_s if self.level == 5 else None)
            self._write_soon()
            return answer
        checked(topic, payload)
        properties = expiring(expires_s) if expires_s is not None and self.level == 5 else None
        self._client.publish(topic, payload, 0, retain, properties)
        return None

    async def writable(self) -> None:
        """Wait until the broker has taken most of what was written."""
        await self._writable.wait()

    def acknowledge(self, receipts: Iterable[int]) -> None:
        """Note messages as safe; send the PUBACKs that are due, in the order of receipt, as one write."""
        if not self.lost.done():
            self._confirm(self._receipts.acknowledge(receipts))

    def refuse(self, receipts: Iterable[int]) -> None:
        """Note messages as such that nobody will keep; as `acknowledge`."""
        if not self.lost.done():
            self._confirm(self._receipts.refuse(receipts))

    def _confirm(self, packet_ids: Iterable[int]) -> None:
        answers = pubacks(packet_ids, level=self.level)
        # paho hands over whole packets only, so these never come to stand within one of its own
        if answers and self._transport is not None:
            self._transport.write(answers)

    # ------------------------------------------------------------------ paho's side

    def _on_connack(
        self, _c: Client, _u: object, _f: ConnectFlags, reason: ReasonCode, said: Properties | None
    ) -> None:
        receive_maximum: int | None = getattr(said, "ReceiveMaximum", None)
        if receive_maximum is not None:
            self._outgoing.limit(receive_maximum)
        self._answered(reason)

    def _on_suback(self, _c: Client, _u: object, _mid: int, reasons: list[ReasonCode], _p: Properties | None) -> None:
        self._answered(reasons)

    def _answered(self, answer: object) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _take_puback(self, packet_id: int, code: int) -> None:
        self.last_answer_s = self._loop.time()
        future = self._outgoing.acknowledged(packet_id)
        if self._outgoing.due:
            self._write_soon()
        if future is None or future.done():
            return
        if code >= _FAILURE:
            reason = ReasonCode(PacketTypes.PUBACK, identifier=code)
            future.set_exception(BrokerError("the MQTT broker refused a message", why=str(reason)))
        else:
            future.set_result(None)

    def _subscribed(self, topic: str) -> bool:
        return any(topic_matches_sub(pattern, topic) for pattern, _ in self._options.subscriptions)

    def _take_message(self, message: Publish) -> None:
        receipt = 0
        if message.qos == 1:
            if self._options.manual_ack:
                receipt = self._receipts.issue(message.packet_id)
            else:
                self._confirm((message.packet_id,))
        try:
            topic = message.topic.decode()
        except UnicodeDecodeError:
            # no reader could be told about it; keeping it unacknowledged would only block the ones behind it
            self.acknowledge([receipt])
            return
        if message.retained and self.level == 4 and not self._subscribed(topic):
            # amqtt hands out retained messages that others have subscribed to
            self.acknowledge([receipt])
            return
        self._full = not self._deliver(Message(topic, message.payload, message.retained, receipt, message.expires_s))

    def _on_disconnect(
        self, _c: Client, _u: object, flags: DisconnectFlags, reason: ReasonCode, _p: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._finish(f"the broker said: {reason}")
        elif reason.getName() == "Keep alive timeout":
            self._finish("the broker did not answer a ping in time")
        else:
            self._finish("the broker closed the connection")


def _reason(error: BaseException) -> str:
    """An operating-system or TLS error in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.errno and not isinstance(error, (ssl.SSLError, socket.gaierror)):
        return os.strerror(error.errno)  # asyncio puts its own words and the address into `strerror`
    return str(error) or type(error).__name__
