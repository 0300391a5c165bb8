"""Whether an agent will work where it stands: its configuration, device, broker, credentials, rights and clock.

Tries what can be tried, and changes nothing: it reads the device once and asks nothing of it; it says on its own status
topic what is true anyway; what it says in another's name is on topics of a device that does not exist, and is such that
a controller refuses it. A running agent may lose its connection for a moment: the broker takes both for the same.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from agent.buffer import in_use
from agent.config import AgentConfig
from agent.driver import Reading
from agent.drivers import open_driver
from agent.findings import Finding, failed, ok, skipped, warning
from agent.process import agent_link, state_directory
from derms.contract import FUTURE_TOLERANCE_MS, ControllerPresence, Topics, decode_controller, encode_status
from derms.errors import AccessError, BrokerError, ClockError, DermsError, DeviceError
from derms.mqtt import BrokerRefusedError, MqttLink, parse_broker_url
from derms.ports import Clock, Message

CONNECT_S = 12.0
HEARTBEAT_S = 12.0
"""A controller beats every 10 s [s]."""
LISTEN_S = 1.5
"""What should not be delivered has this long to be delivered all the same [s]."""
READ_S = 10.0
SKEW_MS = 2_000
"""A clock that is farther off than this is worth a word [ms]."""
_LOCAL = ("127.0.0.1", "::1", "localhost")


async def check_agent(
    config: AgentConfig,
    *,
    path: Path,
    environment: Mapping[str, str],
    clock: Clock,
    rng: random.Random,
    tell: Callable[[Finding], None],
    heartbeat_s: float = HEARTBEAT_S,
) -> list[Finding]:
    """Try everything.

    Args:
        config: What the agent is told.
        path: The file that says so.
        environment: Of the agent, for where it keeps its state.
        clock: This machine's clocks.
        rng: Names the device that does not exist.
        tell: Told each finding as it is made.
        heartbeat_s: How long to wait for a controller [s].

    Returns:
        All findings.
    """
    findings: list[Finding] = []

    def note(finding: Finding) -> None:
        findings.append(finding)
        tell(finding)

    note(_configuration(config, path))
    running = in_use(state_directory(config, environment, path.parent))
    if running:
        note(warning("agent", "it runs", "it may lose its connection for a moment during this check"))
    note(await _device(config, path.parent, clock, rng, running=running))
    topics = Topics(config.topic_prefix)
    try:
        async with _visit(config, topics, path.parent, rng) as visitor:
            for finding in await visitor.try_all(running=running):
                note(finding)
            note(await visitor.compare_clocks(clock, heartbeat_s))
    except DermsError as error:
        for finding in _no_visit(config, error):
            note(finding)
    return findings


def _configuration(config: AgentConfig, path: Path) -> Finding:
    name = "configuration"
    address = parse_broker_url(config.url())
    secret = address.password is not None
    if secret and path.stat().st_mode & 0o077:
        return warning(name, f"{path} holds a password and others may read it", f"chmod 600 {path}")
    if secret and not address.tls and address.host not in _LOCAL:
        return warning(name, "the password crosses the network in clear", "use a broker_url that begins with mqtts://")
    return ok(name, f"{path}: {config.device_id}, {config.device_type.value}, {config.dialect.value}")


async def _device(config: AgentConfig, directory: Path, clock: Clock, rng: random.Random, *, running: bool) -> Finding:
    name = "device"
    try:
        driver = open_driver(config.driver, config.capabilities(), clock=clock, rng=rng, directory=directory)
        try:
            async with asyncio.timeout(READ_S):
                reading = await driver.read()
        finally:
            with contextlib.suppress(DeviceError, TimeoutError):
                async with asyncio.timeout(READ_S):
                    await driver.close()
    except TimeoutError:
        error: DermsError = DeviceError(f"the device did not answer within {READ_S:g} s", next_step="check its cable")
    except DermsError as raised:
        error = raised
    else:
        kind = config.driver.get("kind", "simulated")
        said = f"{kind}: {_power(reading)}, status {reading.status.value}"
        if kind == "simulated":
            return warning(name, said, "there is no device behind this agent; name a driver in the configuration")
        return ok(name, said)
    if running:
        return warning(
            name, f"cannot be asked beside the running agent: {error.what}", "stop the agent and check again"
        )
    return failed(name, error)


def _power(reading: Reading) -> str:
    p_kw = reading.p_actual_kw
    words = "0 kW" if p_kw == 0 else f"{'import' if p_kw > 0 else 'export'} {abs(p_kw):.3g} kW"
    return words if reading.soc is None else f"{words}, state of charge {reading.soc:.0%}"


def _no_visit(config: AgentConfig, error: DermsError) -> list[Finding]:
    if isinstance(error, BrokerRefusedError):
        first = AccessError(error.what, why=error.why, next_step=error.next_step)
        if "subscription" in error.what:
            reached = [ok("broker", str(parse_broker_url(config.url()))), ok("credentials", "the broker let us in")]
            return [*reached, failed("rights", first), skipped("clock", "no setpoints can be received")]
        reached = [ok("broker", str(parse_broker_url(config.url()))), failed("credentials", first)]
        return [*reached, skipped("rights", "not let in"), skipped("clock", "not let in")]
    why = "the broker cannot be reached"
    return [failed("broker", error), *(skipped(name, why) for name in ("credentials", "rights", "clock"))]


@contextlib.asynccontextmanager
async def _visit(config: AgentConfig, topics: Topics, directory: Path, rng: random.Random) -> AsyncIterator["_Visitor"]:
    """Connect as the device, once."""
    everything = [f"{topics.prefix}/{word}/#" for word in ("telemetry", "status", "control", "setpoints")]
    own = topics.agent_subscriptions(config.device_type, config.device_id, config.dialect)
    link = agent_link(
        config, topics, rng=rng, directory=directory,
        client_id=f"{config.device_id}-check", will=None, log_changes=False,
        subscriptions=[*own, (topics.controllers, 1), *((each, 1) for each in everything)],
        may_be_refused=[topics.controllers, *everything],
    )  # fmt: skip
    async with link:
        await link.wait_connected(CONNECT_S)
        visitor = _Visitor(config, topics, link, stranger=f"derms-check-{rng.getrandbits(40):010x}")
        listening = asyncio.create_task(visitor.listen(), name="check-listen")
        try:
            yield visitor
        finally:
            listening.cancel()
            await asyncio.wait([listening])


class _Visitor:
    """Speaks and listens as the device, and in the name of one that does not exist."""

    def __init__(self, config: AgentConfig, topics: Topics, link: MqttLink, *, stranger: str) -> None:
        self._config = config
        self._topics = topics
        self._link = link
        self._stranger = stranger
        self._heard: list[str] = []
        self._beat = asyncio.Event()
        self._presence: tuple[ControllerPresence, bool] | None = None
        """The newest heartbeat, and whether it is live."""

    async def listen(self) -> None:
        while True:
            for message in await self._link.receive():
                if self._topics.controller_of(message.topic) is not None:
                    self._take_heartbeat(message)
                else:
                    self._heard.append(message.topic)

    def _take_heartbeat(self, message: Message) -> None:
        presence = decode_controller(self._topics, message.topic, message.payload)
        if isinstance(presence, ControllerPresence) and presence.online:
            if self._presence is None or not message.retained:
                self._presence = (presence, not message.retained)
            if not message.retained:
                self._beat.set()

    async def try_all(self, *, running: bool) -> list[Finding]:
        """Broker, credentials, rights."""
        address = parse_broker_url(self._config.url())
        version = "MQTT 5" if self._link.protocol_level == 5 else "MQTT 3.1.1"
        login = (
            "a certificate" if self._config.tls_cert_file else f"user {address.username}" if address.username else ""
        )
        found = [ok("broker", f"{address}, {version}")]
        if login:
            found.append(ok("credentials", f"let in as {login}"))
        else:
            found.append(
                warning("credentials", "anybody is let in", "enrol this device: `derms agent enroll` at the broker")
            )
        own_error = await self._speak(self._topics.status(self._config.device_id), encode_status(running), retain=True)
        if own_error is not None:
            why = f"it may not publish {self._topics.status(self._config.device_id)}: {own_error.why or own_error.what}"
            error = AccessError(why, next_step="use deploy/mosquitto/derms.acl, and the device's name as user name")
            return [*found, failed("rights", error)]
        return [*found, await self._isolation(known=bool(login))]

    async def _isolation(self, *, known: bool) -> Finding:
        """Whether it can speak for another, or hear what is another's."""
        name = "rights"
        spoke = [topic for topic, payload in self._lies() if await self._speak(topic, payload) is None]
        await asyncio.sleep(LISTEN_S)
        own = {self._config.device_id}
        others = sorted({topic for topic in self._heard if topic.rpartition("/")[2] not in own})
        # MQTT 3.1.1 acknowledges what it does not deliver: there only hearing ourselves proves anything
        proven = spoke if self._link.protocol_level == 5 else [topic for topic in spoke if topic in others]
        wrong = []
        if proven:
            wrong.append(f"it may speak for another device (on {proven[0]})")
        if others:
            wrong.append(f"it hears what is not its own (on {others[0]})")
        if not wrong:
            return ok(name, "speaks for itself alone and hears its own setpoints alone")
        what, how = " and ".join(wrong), "set acl_file to deploy/mosquitto/derms.acl in the broker's configuration"
        if known:
            return failed(name, AccessError(what, next_step=how))
        return warning(name, what, how)

    def _lies(self) -> list[tuple[str, bytes]]:
        """What a device must not be able to say; all of it is refused by whoever hears it."""
        t, who, kind = self._topics, self._stranger, self._config.device_type
        nothing = b'{"v":0}'
        return [
            (t.telemetry(who), nothing),
            (t.envelope_telemetry(kind, who), nothing),
            (t.status(who), b"?"),
            (t.control(who), nothing),
            (t.envelope_setpoint(kind, who), nothing),
        ]

    async def _speak(self, topic: str, payload: bytes, *, retain: bool = False) -> BrokerError | None:
        try:
            await self._link.publish(topic, payload, qos=1, retain=retain)
        except BrokerError as error:
            return error
        return None

    async def compare_clocks(self, clock: Clock, heartbeat_s: float) -> Finding:
        """Against the heartbeat of a controller."""
        name = "clock"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(heartbeat_s):
                await self._beat.wait()
        if self._presence is None:
            how = "start the controller, or let this device read der/controller/+ in the broker's access rules"
            return warning(name, "no controller was heard, so the clock has nothing to be compared with", how)
        presence, live = self._presence
        ahead_ms = clock.now_ms() - presence.heartbeat_ms
        if not live:
            if ahead_ms < -SKEW_MS:
                return failed(name, _skewed(ahead_ms))
            how = "start the controller and check again"
            return warning(name, f"controller {presence.controller_id} has not been heard for a while", how)
        if abs(ahead_ms) > FUTURE_TOLERANCE_MS:
            return failed(name, _skewed(ahead_ms))
        if abs(ahead_ms) > SKEW_MS:
            return warning(name, _off(ahead_ms), "synchronise it: timedatectl set-ntp true")
        return ok(name, f"agrees with controller {presence.controller_id} within {SKEW_MS / 1000:g} s")


def _off(ahead_ms: int) -> str:
    where = "ahead of" if ahead_ms > 0 else "behind"
    return f"this machine's clock is {abs(ahead_ms) / 1000:.1f} s {where} the controller's"


def _skewed(ahead_ms: int) -> ClockError:
    why = (
        f"measurements from more than {FUTURE_TOLERANCE_MS // 1000} s ahead are refused, and old ones count for nothing"
    )
    return ClockError(_off(ahead_ms), why=why, next_step="synchronise it: timedatectl set-ntp true")
