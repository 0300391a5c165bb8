"""The link itself: one client of a broker that stays up. Its rules are in `derms.mqtt`."""

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from itertools import islice
from types import TracebackType
from typing import Literal, Self

from derms.errors import BrokerError, UsageError
from derms.mqtt.address import BrokerAddress, TlsFiles, Will, tls_context
from derms.mqtt.client import ConnectOptions, Level
from derms.mqtt.connection import Connection
from derms.mqtt.refusals import BrokerRefusedError
from derms.mqtt.retry import Backoff, ProtocolChoice
from derms.ports import Message

_log = logging.getLogger(__name__)

_STABLE_S = 5.0
"""A connection that held so long was a good one: the next pause is short again."""
_GOODBYE_S = 2.0
_INBOX_BYTES = 64 << 20
_VERSION_SILENCE_S = 3.0
_SLICE = 200
"""Publishes queued before the event loop gets a turn (a few milliseconds of work)."""


class MqttLink:
    """One client of a broker; implements `derms.ports.TelemetryFeed` and `derms.ports.SetpointSink`.

    Use it as a context manager: entering starts connecting and returns at once (see `wait_connected`), leaving says
    goodbye to the broker, so that the will is not published.

    Args:
        address: Where the broker is.
        client_id: Unique at the broker: a second client of that name throws out the first.
        subscriptions: Topic filters with their QoS (0 or 1), subscribed anew at every connection.
        may_be_refused: Of these, the filters that a broker may refuse without ending the connection.
        rng: Spreads the retries of many links.
        will: What the broker publishes when this link is cut off.
        tls: Certificates, or a context to share between links; only looked at for a ``mqtts`` address.
        manual_ack: Messages of QoS 1 are acknowledged to the broker by `acknowledge` only.
        no_echo: The broker does not send us what we publish ourselves (MQTT 5; in 3.1.1 it does).
        inbox_size: Messages that may wait for `receive`; and no more than 64 MiB of them.
        session_expiry_s: For how long the broker keeps subscriptions and unacknowledged messages when we are away;
            3.1.1 has no such time and keeps them for good when this is not 0.
        receive_maximum: Unacknowledged messages the broker may have under way (MQTT 5); by default the inbox's size.
        keepalive_s: A silent connection is probed after this long.
        protocol: 5, 4 (3.1.1) or "auto".
        connect_timeout_s: For TCP and TLS, and again for login and subscribing.
        publish_timeout_s: For the broker's acknowledgement.
        backoff_first_s: The first pause before a retry.
        backoff_max_s: The longest pause, also the one after a refused login.
        return_within_s: A connection that is lost is missed by all links at once: each first waits, at random, up to
            this long before it tries to return.
        on_connect: Called on the event loop after every (re)connection, once subscribed.
        on_disconnect: Called on the event loop when a connection is lost.
        log_changes: Log connections and outages; switch off where hundreds of links share a process.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        client_id: str,
        subscriptions: Sequence[tuple[str, int]] = (),
        may_be_refused: Collection[str] = (),
        rng: random.Random,
        will: Will | None = None,
        tls: TlsFiles | ssl.SSLContext | None = None,
        manual_ack: bool = False,
        no_echo: bool = False,
        inbox_size: int = 10_000,
        session_expiry_s: int = 0,
        receive_maximum: int | None = None,
        keepalive_s: int = 30,
        protocol: Literal["auto", 5, 4] = "auto",
        connect_timeout_s: float = 5.0,
        publish_timeout_s: float = 10.0,
        backoff_first_s: float = 0.2,
        backoff_max_s: float = 30.0,
        return_within_s: float = 0.0,
        on_connect: Callable[[], None] | None = None,
        on_disconnect: Callable[[], None] | None = None,
        log_changes: bool = True,
    ) -> None:
        if any(qos not in (0, 1) for _, qos in subscriptions):
            raise UsageError("a subscription has another QoS than 0 or 1", why="QoS 2 is not used here")
        if receive_maximum is None and manual_ack:
            receive_maximum = min(inbox_size, 65_535)
        context = tls if isinstance(tls, ssl.SSLContext) else tls_context(tls or TlsFiles()) if address.tls else None
        self._options = ConnectOptions(
            address=address,
            client_id=client_id,
            subscriptions=tuple(subscriptions),
            will=will,
            tls=context if address.tls else None,
            manual_ack=manual_ack,
            no_echo=no_echo,
            session_expiry_s=session_expiry_s,
            receive_maximum=receive_maximum,
            keepalive_s=keepalive_s,
            connect_timeout_s=connect_timeout_s,
            may_be_refused=frozenset(may_be_refused),
        )
        self.address = address
        self.client_id = client_id
        self.protocol_level: Level | None = None
        """What the broker spoke when last connected: 5, or 4 for MQTT 3.1.1; None before the first connection."""
        self.connections = 0
        """How often this link has been connected."""
        self.inbox_full = 0
        """How often reading had to stop because the inbox was full."""
        self.last_error: BrokerError | None = None
        """Why there is no connection now; None when connected."""
        self._inbox_size = inbox_size
        self._publish_timeout_s = publish_timeout_s
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        self._log_level_down = logging.WARNING if log_changes else logging.DEBUG
        self._log_level_up = logging.INFO if log_changes else logging.DEBUG
        self._rng = rng
        self._return_within_s = return_within_s
        self._backoff = Backoff(first_s=backoff_first_s, longest_s=backoff_max_s, rng=rng)
        self._choice = ProtocolChoice((5, 4) if protocol == "auto" else (protocol,))
        self._generation = 0
        self._inbox: list[Message] = []
        self._inbox_bytes = 0
        self._arrived = asyncio.Event()
        self._settled = asyncio.Event()
        self._connection: Connection | None = None
        """What can be published on."""
        self._source: Connection | None = None
        """Where messages come from: the same, or one that is being made. A broker that kept messages for us sends them
        before it answers the subscription, and more than the inbox holds."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start connecting."""
        self._task = asyncio.create_task(self._run(), name=f"mqtt-{self.client_id}")
        self._task.add_done_callback(lambda _: self._wake_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye and stop, within a few seconds. What is in the inbox stays readable by nobody."""
        task, self._task = self._task, None
        connection = self._connection
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
            if connection is not None:
                await connection.close(_GOODBYE_S)
        finally:
            self._connection = self._source = None
            if connection is not None:
                connection.abort("closed")
            self._wake_all()
        if task is not None and not task.cancelled() and (failure := task.exception()) is not None and error is None:
            raise failure

    @property
    def connected(self) -> bool:
        """Logged in and subscribed."""
        return self._connection is not None and not self._connection.lost.done()

    async def wait_connected(self, timeout_s: float) -> None:
        """Wait until the link is up.

        Raises:
            BrokerRefusedError: The broker refused the login (the link goes on trying, slowly).
            BrokerError: It was not up in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError as error:
            raise self.last_error or BrokerError(
                f"the MQTT broker at {self.address} cannot be reached", why=f"no connection within {timeout_s:g} s"
            ) from error
        self._check_running()
        if self.last_error is not None:
            raise self.last_error

    # ------------------------------------------------------------------ the feed

    @property
    def waiting(self) -> int:
        """How many messages wait for `receive`."""
        return len(self._inbox)

    async def receive(self) -> Sequence[Message]:
        """Wait for at least one message and take all that are there, in order of arrival.

        Raises:
            BrokerError: The link has been closed.
        """
        while not self._inbox:
            self._arrived.clear()
            self._check_running()
            await self._arrived.wait()
        messages, self._inbox, self._inbox_bytes = self._inbox, [], 0
        if self._source is not None:
            self._source.resume()
        return messages

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these are safe; see `derms.ports.TelemetryFeed.acknowledge`."""
        if self._source is not None:
            self._source.acknowledge([message.receipt for message in messages])

    def refuse(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these will not be kept, so that it goes on sending. Never waits."""
        if self._source is not None:
            self._source.refuse([message.receipt for message in messages])

    def _deliver(self, message: Message) -> bool:
        self._inbox.append(message)
        self._inbox_bytes += len(message.payload)
        self._arrived.set()
        if len(self._inbox) < self._inbox_size and self._inbox_bytes < _INBOX_BYTES:
            return True
        self.inbox_full += 1
        return False

    # ------------------------------------------------------------------ the sink

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, expires_s: int | None = None
    ) -> None:
        """Hand over one message and wait until the broker has acknowledged it (QoS 1) or TCP has taken it (QoS 0).

        Args:
            topic: Without wildcards.
            payload: The bytes.
            qos: 0 or 1.
            retain: The broker keeps it for later subscribers.
            expires_s: The broker forgets it after this long [s]; MQTT 5 only, ignored in 3.1.1.

        Raises:
            BrokerError: Not connected, refused, or not acknowledged in time.
            UsageError: The topic cannot be published to.
        """
        connection = self._usable()
        try:
            async with asyncio.timeout(self._publish_timeout_s):
                answer = connection.send(topic, payload, qos=qos, retain=retain, expires_s=expires_s)
                if answer is not None:
                    await answer
                else:
                    await connection.writable()
        except TimeoutError as error:
            raise self._timed_out(connection) from error

    def publish_many(
        self,
        messages: Iterable[tuple[str, bytes]],
        *,
        retain: bool = False,
        expires_s: int | None = None,
        still: Callable[[], bool] | None = None,
    ) -> Awaitable[list[BrokerError | None]]:
        """Publish many messages at QoS 1, letting the event loop breathe in between; cheaper than a task each.

        The first of them are written before this returns.

        Returns:
            What waits for the broker: for every message None, or why it failed, in the order given.
        """
        left, connection = iter(messages), self._connection
        guard = contextlib.ExitStack()
        if connection is not None and still is not None:
            guard.enter_context(connection.guarded(still))

        def some() -> list[asyncio.Future[None] | BrokerError]:
            return [self._sent(*each, retain=retain, expires_s=expires_s) for each in islice(left, _SLICE)]

        try:
            first = some()
            if connection is not None:
                connection.write()
        except BaseException:
            guard.close()
            raise
        answers = asyncio.ensure_future(self._rest(first, some))
        # Also where it is cancelled before its first turn: a guard that is left would end whatever is sent later.
        answers.add_done_callback(lambda _: guard.close())
        return answers

    async def _rest(
        self, answers: list[asyncio.Future[None] | BrokerError],
        some: Callable[[], list[asyncio.Future[None] | BrokerError]],
    ) -> list[BrokerError | None]:  # fmt: skip
        """Publish what is left, and wait for all answers."""
        more = answers
        while len(more) == _SLICE:
            await asyncio.sleep(0)
            answers += (more := some())
        await self._settle([answer for answer in answers if isinstance(answer, asyncio.Future)])
        return [answer if isinstance(answer, BrokerError) else _outcome(answer) for answer in answers]

    def _sent(
        self, topic: str, payload: bytes, *, retain: bool, expires_s: int | None
    ) -> asyncio.Future[None] | BrokerError:
        try:
            answer = self._usable().send(topic, payload, qos=1, retain=retain, expires_s=expires_s)
        except BrokerError as error:
            return error
        assert answer is not None
        return answer

    async def _settle(self, answers: Sequence[asyncio.Future[None]]) -> None:
        """Wait until all are done; those on which the broker makes no progress are failed."""
        connection, waiting = self._connection, set(answers)
        try:
            while waiting:
                _, waiting = await asyncio.wait(waiting, timeout=self._publish_timeout_s)
                if waiting and (connection is None or self._stalled(connection)):
                    failure = self._timed_out(connection)
                    for future in waiting:
                        if not future.done():
                            future.set_exception(failure)
                    return
        finally:
            for future in waiting:
                future.cancel()

    def _usable(self) -> Connection:
        self._check_running()
        if self._connection is None:
            why = self.last_error.why if self.last_error else "the first connection is not made yet"
            raise BrokerError(f"not connected to the MQTT broker at {self.address}", why=why)
        return self._connection

    def _stalled(self, connection: Connection) -> bool:
        return asyncio.get_running_loop().time() - connection.last_answer_s >= self._publish_timeout_s

    def _timed_out(self, connection: Connection | None) -> BrokerError:
        """Give up on a broker that acknowledges nothing: a new connection is the only cure."""
        why = f"no acknowledgement within {self._publish_timeout_s:g} s"
        if connection is not None and self._stalled(connection):
            connection.abort(why)
        return BrokerError("the MQTT broker did not acknowledge a message", why=why)

    # ------------------------------------------------------------------ staying connected

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection = await self._connect()
            except BrokerError as error:
                refused = isinstance(error, BrokerRefusedError)
                self._note_down(error, refused=refused)
                await asyncio.sleep(self._backoff.longest_s() if refused else self._backoff.next_s())
                continue
            opened = loop.time()
            self._note_up(connection)
            # not awaited directly: cancelling this task must not cancel the future others look at
            await asyncio.wait([connection.lost])
            why = connection.lost.result()
            connection.abort(why)
            self._connection = None
            if loop.time() - opened >= _STABLE_S:
                self._backoff.reset()
            self._note_down(BrokerError(f"the connection to the MQTT broker at {self.address} was lost", why=why))
            if self._on_disconnect is not None:
                self._on_disconnect()
            await asyncio.sleep(self._backoff.next_s() + self._rng.uniform(0, self._return_within_s))

    async def _connect(self) -> Connection:
        async def attempt(level: Level, is_last: bool) -> Connection:
            self._generation += 1
            connection = Connection(self._options, level=level, generation=self._generation, deliver=self._deliver)
            self._source = connection
            # some brokers answer a version they lack with silence: with another one left, not much is lost
            patience_s = self._options.connect_timeout_s
            await connection.open(answer_within_s=patience_s if is_last else min(patience_s, _VERSION_SILENCE_S))
            return connection

        connection = await self._choice.first_that_works(attempt)
        self.protocol_level = connection.level
        return connection

    def _note_up(self, connection: Connection) -> None:
        self._connection = connection
        self.connections += 1
        self.last_error = None
        self._settled.set()
        version = "MQTT 5" if connection.level == 5 else "MQTT 3.1.1"
        _log.log(
            self._log_level_up,
            "Connected to the broker at %s with %s.",
            self.address,
            version,
            extra={"client_id": self.client_id, "broker": str(self.address), "protocol_level": connection.level},
        )
        if self._on_connect is not None:
            self._on_connect()

    def _note_down(self, error: BrokerError, *, refused: bool = False) -> None:
        known = self.last_error is not None and isinstance(self.last_error, BrokerRefusedError) == refused
        self.last_error = error
        if refused:
            self._settled.set()
        else:
            self._settled.clear()
        if not known:
            _log.log(
                self._log_level_down,
                "%s. Trying again until it can be used.",
                error,
                extra={"client_id": self.client_id, "broker": str(self.address), "error": error.code},
            )

    def _check_running(self) -> None:
        if self._task is None or self._task.done():
            raise BrokerError(f"the link to the MQTT broker at {self.address} is closed")

    def _wake_all(self) -> None:
        self._arrived.set()
        self._settled.set()


def _outcome(answer: asyncio.Future[None]) -> BrokerError | None:
    error = answer.exception()
    if error is not None and not isinstance(error, BrokerError):
        raise error
    return error
