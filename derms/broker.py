"""The embedded broker: Mosquitto when the machine has it, else amqtt, as a child process.

Rules:

- It listens on loopback only, and there anyone may connect without a login, so that a ten-line script can join a
  demo. For anything but one machine, run a broker of your own and name it in `DERMS_MQTT_URL`.
- The child has its own session, so the terminal's Ctrl-C reaches us only and we can say goodbye; but it never
  outlives us (Linux: the kernel ends it when we die, however we die).
- A child that dies is started again on the same port, with doubling pauses up to 5 s.
- Mosquitto writes what it holds for absent clients (retained messages, sessions, queues) to its directory at every
  change, milliseconds after it has acknowledged it: it survives kill -9. Started by root it runs as `mosquitto` or
  `nobody`, and nothing outside the directory is touched.
"""

import asyncio
import contextlib
import errno
import logging
import os
import pwd
import shutil
import socket
import sys
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from derms.errors import AddressInUseError, BrokerError

_log = logging.getLogger(__name__)

Kind = Literal["mosquitto", "amqtt"]

_NOTES: dict[Kind, str] = {
    "mosquitto": "Mosquitto: MQTT 5 and 3.1.1; what is retained or queued survives a crash.",
    "amqtt": (
        "amqtt: MQTT 3.1.1 only, so a lease rests on its valid_until alone; nothing survives a restart and nothing is "
        "sent a second time; enough for a demo of a few hundred devices. Install mosquitto for more."
    ),
}
_MOSQUITTO_CONF = """\
listener {port} {bind}
allow_anonymous true
persistence true
persistence_location ./
persistence_file mosquitto.db
# at every change, so that what was acknowledged is still there after kill -9; a snapshot is of everything, which
# takes a twentieth of a core at 300 devices, half of one at 1,000, and is too slow for many more
autosave_on_changes true
autosave_interval 1
# 3.1.1 clients cannot ask for a window; the reader of a whole fleet needs a wide one
max_inflight_messages 20000
max_queued_messages 100000
set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
log_type notice
connection_messages false
{user}"""
# MQTT 3.1.1 CONNECT, clean session, keep alive 5 s, no client id; answered by CONNACK with code 0
_HELLO = bytes((0x10, 12, 0, 4, *b"MQTT", 4, 2, 0, 5, 0, 0))
_HELLO_ANSWER = bytes((0x20, 2, 0, 0))
_GOODBYE = bytes((0xE0, 0))
_START_S = 10.0
_STOP_S = 3.0
_LONGEST_PAUSE_S = 5.0
_PORT_TRIES = 5


class EmbeddedBroker:
    """A broker that lives as long as the context.

    Args:
        directory: Its own; made if missing, and closed to other users.
        port: 0 lets the operating system choose.
        bind: An address of this machine; anyone who reaches it may connect.
        kind: Which broker; "auto" takes Mosquitto when there is one.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        bind: str = "127.0.0.1",
        kind: Literal["auto", "mosquitto", "amqtt"] = "auto",
    ) -> None:
        self._directory = directory
        self._wanted_port = port
        self._bind = bind
        self._mosquitto = find_mosquitto()
        if kind == "mosquitto" and self._mosquitto is None:
            raise BrokerError(
                "there is no mosquitto on this machine",
                why="it is neither on PATH nor in /usr/sbin or /usr/local/sbin",
                next_step="install the package mosquitto, or choose amqtt",
            )
        found: Kind = "mosquitto" if self._mosquitto else "amqtt"
        self.kind: Kind = found if kind == "auto" else kind
        """What runs."""
        self.protocol_note = _NOTES[self.kind]
        """One sentence for the user: what this broker can and cannot do."""
        self.link_protocol: Literal["auto", 4] = 4 if self.kind == "amqtt" else "auto"
        """For `derms.mqtt.MqttLink(protocol=...)`: saves asking amqtt for a version it lacks."""
        self.port = port
        self.restarts = 0
        """How often the child died and was started again."""
        self._child: asyncio.subprocess.Process | None = None
        self._last_lines: deque[str] = deque(maxlen=20)
        self._reader: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        host = f"[{self._bind}]" if ":" in self._bind else self._bind
        return f"mqtt://{host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._child.pid if self._child is not None and self._child.returncode is None else None

    async def __aenter__(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            AddressInUseError: The port is taken.
            BrokerError: It did not start; the text holds the last it said.
        """
        self._prepare_directory()
        try:
            await self._start_somewhere()
        except BaseException:
            await self._stop_child()
            raise
        self._keeper = asyncio.create_task(self._keep_running(), name="broker-keeper")
        _log.info("The embedded broker listens at %s (%s).", self.url, self.kind, extra={"port": self.port})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the child."""
        keeper, self._keeper = self._keeper, None
        try:
            if keeper is not None:
                keeper.cancel()
                await asyncio.wait([keeper])
        finally:
            await self._stop_child()

    # ------------------------------------------------------------------ starting

    def _prepare_directory(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            user = _unprivileged_user() if self.kind == "mosquitto" else None
            if user is not None:
                for path in (self._directory, *self._directory.glob("mosquitto.*")):
                    shutil.chown(path, user)
        except OSError as error:
            raise BrokerError(
                f"the broker's directory {str(self._directory)!r} cannot be used",
                why=error.strerror or str(error),
                next_step="choose a directory that this user may write to",
            ) from error

    async def _start_somewhere(self) -> None:
        for attempt in range(_PORT_TRIES):
            self.port = self._free_port()
            try:
                await self._start_child()
                return
            except AddressInUseError:
                # between our look and the child's bind someone else took it
                if self._wanted_port or attempt + 1 == _PORT_TRIES:
                    raise

    def _free_port(self) -> int:
        family = socket.AF_INET6 if ":" in self._bind else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self._bind, self._wanted_port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise self._in_use() from error
                raise BrokerError(
                    f"the broker cannot listen on {self._bind}:{self._wanted_port}", why=error.strerror or str(error)
                ) from error
            return int(probe.getsockname()[1])

    def _in_use(self) -> AddressInUseError:
        return AddressInUseError(
            f"port {self._wanted_port or self.port} on {self._bind} is taken",
            why="another program listens there",
            next_step="stop it, or set DERMS_EMBEDDED_BROKER_PORT to a free port",
        )

    async def _start_child(self) -> None:
        """Start the child and wait until it answers a client."""
        self._last_lines.clear()
        child = self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "derms.broker_child",
            *self._child_arguments(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert child.stderr is not None
        self._reader = asyncio.create_task(self._read_lines(child.stderr), name="broker-output")
        exited = asyncio.create_task(child.wait(), name="broker-exit")
        answers = asyncio.create_task(self._until_it_answers(), name="broker-hello")
        try:
            await asyncio.wait([exited, answers], timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
            if child.returncode is None and answers.done():
                return
            if exited.done():
                await asyncio.wait([self._reader], timeout=1.0)
            said = " ".join(self._last_lines)
            if "ddress already in use" in said or "address already in use" in said:
                raise self._in_use()
            raise BrokerError(
                f"the embedded broker ({self.kind}) did not start",
                why=self._last_lines[-1] if self._last_lines else f"no answer within {_START_S:g} s",
                next_step="name a broker of your own in DERMS_MQTT_URL",
            )
        finally:
            exited.cancel()
            answers.cancel()

    def _child_arguments(self) -> list[str]:
        common = ["--", str(os.getpid()), str(self._directory)]
        if self.kind == "amqtt":
            return ["--amqtt", f"{self._bind}:{self.port}", *common]
        user = _unprivileged_user()
        config = self._directory / "mosquitto.conf"
        config.write_text(
            _MOSQUITTO_CONF.format(port=self.port, bind=self._bind, user=f"user {user}\n" if user else "")
        )
        config.chmod(0o644)
        return [*(["--user", user] if user else []), *common, str(self._mosquitto), "-c", "mosquitto.conf"]

    async def _until_it_answers(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(2.0):
                    reader, writer = await asyncio.open_connection(self._bind, self.port)
                    try:
                        writer.write(_HELLO)
                        if await reader.readexactly(len(_HELLO_ANSWER)) == _HELLO_ANSWER:
                            writer.write(_GOODBYE)
                            return
                    finally:
                        writer.close()
            await asyncio.sleep(0.05)

    async def _read_lines(self, stream: asyncio.StreamReader) -> None:
        """Keep the child's last words, and its pipe empty."""
        while line := await stream.readline():
            text = line.decode(errors="replace").strip()
            if text:
                self._last_lines.append(text)
                _log.debug("broker: %s", text)

    # ------------------------------------------------------------------ staying and stopping

    async def _keep_running(self) -> None:
        pause_s = 0.2
        while True:
            assert self._child is not None
            code = await self._child.wait()
            _log.warning(
                "The embedded broker died (exit code %s); starting it again.",
                code,
                extra={"exit_code": code, "said": self._last_lines[-1] if self._last_lines else ""},
            )
            while True:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                try:
                    await self._start_child()
                except (BrokerError, AddressInUseError) as error:
                    _log.debug("The embedded broker could not be started again: %s", error)
                    await self._stop_child()
                else:
                    break
            self.restarts += 1
            _log.info("The embedded broker is back at %s.", self.url, extra={"restarts": self.restarts})

    async def _stop_child(self) -> None:
        child, reader = self._child, self._reader
        try:
            if child is not None and child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.terminate()
                try:
                    async with asyncio.timeout(_STOP_S):
                        await child.wait()
                except TimeoutError:
                    _log.debug("The embedded broker did not stop in time and is killed.")
        finally:
            if child is not None and child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
            if reader is not None:
                reader.cancel()
                await asyncio.wait([reader])


def find_mosquitto() -> str | None:
    """The path of Mosquitto; Debian puts it where an ordinary user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def _unprivileged_user() -> str | None:
    """Whom Mosquitto should run as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("mosquitto", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return "root"
