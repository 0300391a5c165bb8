"""A pair of controllers with everything around them, faults to be done to it, and how soon it is whole again."""

import contextlib
import os
import random
import resource
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.chargers import Chargers, charging
from tests.faults.cluster import (
    DEVICES,
    LIMIT_KW,
    controller,
    free_port,
    frozen,
    judge,
    led_since,
    most_commanded_kw,
    now_ms,
    ready,
    role,
)
from tests.faults.proxy import Proxy, proxied, through_proxy
from tests.processes import Daemon, Programs, eventually
from tests.stage import Broker, Database
from tests.wire import Observer, observing

TRUTH_S = 10.0
"""Readiness tells the truth within so long [s]."""
WHOLE_S = 60.0
"""The longest that anything may take to be whole again [s]; two shared cores need most of it to start programs."""
MEMORY_MB = 60.0
"""So much more than before a fault a controller may hold a while after it [MB]."""


@dataclass
class Book:
    """What was done, and how long it took to be whole again."""

    recoveries: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: int = 0
    most_kw: float = 0.0

    def page(self) -> str:
        """The table of `docs/reliability.md`."""
        lines = ["| fault | times | whole again, p50 [s] | max [s] |", "|---|---|---|---|"]
        for fault, times in self.recoveries.items():
            ordered = sorted(times)
            lines.append(f"| {fault} | {len(times)} | {ordered[len(ordered) // 2]:.1f} | {ordered[-1]:.1f} |")
        lines += [
            "",
            f"{self.acknowledged} measurements were acknowledged to their devices, and all of them are stored. The "
            f"most that live leases ever allowed together was {self.most_kw:.3f} kW of {LIMIT_KW:g} kW.",
        ]
        return "\n".join(lines) + "\n"


class Rig:
    """Two controllers, reached by the broker and the database through proxies."""

    def __init__(
        self, programs: Programs, broker: Broker, database: Database, directory: Path, rng: random.Random
    ) -> None:
        self.broker, self.database, self.rng = broker, database, rng
        self.book = Book()
        self._programs, self._directory = programs, directory
        self._exits = ExitStack()
        self._ports = {name: free_port() for name in ("north", "south")}
        self.controllers: dict[str, Daemon] = {}
        self.state_dirs = {name: directory / name for name in self._ports}

    def __enter__(self) -> "Rig":
        self.database.start()
        enter = self._exits.enter_context
        self.wire: Observer = enter(observing(self.broker.url))
        address = urlsplit(self.broker.url)
        self.broker_proxy: Proxy = enter(proxied(("127.0.0.1", int(address.port or 0))))
        self.database_proxy, self._database_url = enter(through_proxy(self.database.url))
        for name in self._ports:
            self.start(name)
        self.chargers: Chargers = enter(charging(self.broker.url))
        self.whole(now_ms())
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def start(self, name: str) -> None:
        """Start a controller, or start it again where it was."""
        port = self._ports[name]
        self.controllers[name] = controller(
            self._programs, name, f"mqtt://127.0.0.1:{self.broker_proxy.port}", self._database_url, api_port=port,
            advertise_url=f"http://127.0.0.1:{port}", state_dir=self.state_dirs[name],
        )  # fmt: skip

    @property
    def leader(self) -> str:
        """Who commands; there is exactly one when all is well."""
        leaders = [name for name, serve in self.controllers.items() if serve.running and role(serve) == "active"]
        assert len(leaders) <= 1, f"{leaders} command at once"
        return leaders[0] if leaders else ""

    def whole(self, since_ms: int) -> float:
        """Wait until everyone was led since then, and both are ready; how long that took from then on [s]."""

        def is_whole() -> bool:
            told = [ready(serve)["parts"] for serve in self.controllers.values()]
            # But for `lag`: that two cores have more to do than they can is no fault of what is tried here.
            well = all(parts and all(parts[part]["state"] == "ok" for part in parts.keys() - {"lag"}) for parts in told)
            return well and len(led_since(self.wire, since_ms)) == DEVICES and bool(self.leader)

        try:
            eventually(is_whole, "whole again", WHOLE_S)
        except AssertionError as error:
            missing = set(self.chargers.names) - led_since(self.wire, since_ms)
            told = {name: (serve.running, ready(serve)) for name, serve in self.controllers.items()}
            raise AssertionError(f"not whole again within {WHOLE_S:g} s; not led: {missing}; {told}") from error
        return (now_ms() - since_ms) / 1000.0

    def admits(self, names: list[str], part: str) -> None:
        """They say themselves, and in time, that a part is down."""

        def all_say() -> bool:
            told = [ready(self.controllers[name])["parts"] for name in names]
            return all(part in parts and parts[part]["state"] == "down" for parts in told)

        eventually(all_say, f"{names} say that {part} is down", TRUTH_S)

    def do(self, fault: str) -> None:
        """Do one of `FAULTS`, wait until all is whole again, and write down how long that took."""
        memory_mb = {name: _rss_mb(serve.pid) for name, serve in self.controllers.items()}
        pids = {name: serve.pid for name, serve in self.controllers.items()}
        sys.stdout.write(f"{now_ms()} {fault}\n")
        since_ms = FAULTS[fault](self)
        self.book.recoveries[fault].append(self.whole(since_ms))
        same = [serve.pid for name, serve in self.controllers.items() if serve.pid == pids[name]]
        allowed_mb = {pids[name]: before_mb + MEMORY_MB for name, before_mb in memory_mb.items()}
        eventually(lambda: all(_rss_mb(pid) < allowed_mb[pid] for pid in same), "no more memory than before", TRUTH_S)

    def judge(self) -> None:
        """Everything that must hold, seen from the wire and the tables alone."""
        self.book.acknowledged = judge(self.wire, self.chargers, self.database.url)
        self.book.most_kw = most_commanded_kw(self.wire)
        for serve in self.controllers.values():
            at = serve.stderr.find("Traceback")
            assert at < 0, serve.stderr[max(at - 300, 0) : at + 3000]


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _pass(seconds: float) -> None:
    """Let a fault last; there is nothing to wait for but time."""
    threading.Event().wait(seconds)


def _kill_leader(rig: Rig) -> int:
    name = rig.leader
    _pass(rig.rng.uniform(0.0, 1.0))
    rig.controllers[name].kill()
    since_ms = now_ms()
    rig.start(name)
    return since_ms


def _freeze_leader(rig: Rig) -> int:
    name = rig.leader
    other = next(one for one in rig.controllers if one != name)
    since_ms = now_ms()
    with frozen(rig.controllers[name].pid):
        eventually(lambda: role(rig.controllers[other]) == "active", "the other one takes over", WHOLE_S)
        _pass(rig.rng.uniform(0.0, 3.0))
    eventually(lambda: role(rig.controllers[name]) == "standby", "the thawed one stands by", TRUTH_S)
    return since_ms


def _kill_broker(rig: Rig) -> int:
    _pass(rig.rng.uniform(0.0, 1.0))
    rig.broker.kill()
    rig.admits(list(rig.controllers), "mqtt")
    rig.broker.start()
    return now_ms()


def _restart_broker(rig: Rig) -> int:
    rig.broker.stop()
    rig.broker.start()
    return now_ms()


def _kill_database(rig: Rig) -> int:
    _pass(rig.rng.uniform(0.0, 1.0))
    rig.database.kill()
    rig.admits(list(rig.controllers), "db")
    rig.database.start()
    return now_ms()


def _restart_database(rig: Rig) -> int:
    rig.database.stop()
    rig.database.start()
    return now_ms()


def _drop_connections(rig: Rig) -> int:
    since_ms = now_ms()
    for _ in range(3):
        rig.broker_proxy.drop()
        rig.database_proxy.drop()
        _pass(0.7)
    return since_ms


def _slow_lines(rig: Rig) -> int:
    for proxy in (rig.broker_proxy, rig.database_proxy):
        proxy.delay_s, proxy.halve = 0.05, True
    _pass(5.0)
    for proxy in (rig.broker_proxy, rig.database_proxy):
        proxy.mend()
    return now_ms()


def _bad_telemetry(rig: Rig) -> int:
    rig.chargers.mischief = random.Random(rig.rng.random())
    _pass(5.0)
    rig.chargers.mischief = None
    return now_ms()


def _readers_that_stop(rig: Rig) -> int:
    serve = rig.controllers[rig.leader]
    since_ms = now_ms()
    with _readers(serve, 50):
        _pass(3.0)
        eventually(lambda: len(led_since(rig.wire, since_ms)) == DEVICES, "control goes on", WHOLE_S)
    return now_ms()


def _few_descriptors(rig: Rig) -> int:
    serve = rig.controllers[rig.leader]
    used = len(os.listdir(f"/proc/{serve.pid}/fd"))
    before = resource.prlimit(serve.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(serve.pid, resource.RLIMIT_NOFILE, (used + 10, before[1]))
    try:
        since_ms = now_ms()
        with _readers(serve, 40):
            eventually(lambda: len(led_since(rig.wire, since_ms)) == DEVICES, "control goes on", WHOLE_S)
    finally:
        resource.prlimit(serve.pid, resource.RLIMIT_NOFILE, before)
    return now_ms()


@contextlib.contextmanager
def _readers(serve: Daemon, count: int) -> Iterator[None]:
    """Readers of the stream that ask and then read nothing."""
    address = urlsplit(serve.api)
    serve.ask("/api/feeder/summary")
    head = f"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {serve._token}\r\n\r\n".encode()
    with ExitStack() as exits:
        for _ in range(count):
            reader = exits.enter_context(socket.socket())
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect((str(address.hostname), int(address.port or 80)))
            reader.sendall(head)
        yield


def _full_disk(rig: Rig) -> int:
    """The disk of the leader's spool is full while the database is dead."""
    name = rig.leader
    spool = rig.state_dirs[name] / "spool"
    rig.controllers[name].terminate(10.0)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(spool)], check=True)
    try:
        rig.start(name)
        rig.whole(now_ms())
        (spool / "filler").write_bytes(b"x" * 60 * 1024)
        rig.database.kill()
        since_ms = now_ms()
        rig.controllers[name].wait_logged("the spool does not work", WHOLE_S)
        rig.admits([name], "db")
        eventually(lambda: len(led_since(rig.wire, since_ms)) == DEVICES, "control goes on", WHOLE_S)
        rig.database.start()
        back_ms = now_ms()
        rig.whole(back_ms)
        eventually(lambda: not list(spool.glob("*.spool")), "the spool is replayed", WHOLE_S)
    finally:
        rig.controllers[name].terminate(10.0)
        subprocess.run(["umount", str(spool)], check=True)
        rig.start(name)
    return back_ms


FAULTS = {
    "the controller that commands is killed (-9)": _kill_leader,
    "it is frozen (SIGSTOP), replaced, and thawed": _freeze_leader,
    "the broker is killed (-9)": _kill_broker,
    "the broker is restarted": _restart_broker,
    "the database is killed (-9)": _kill_database,
    "the database is restarted": _restart_database,
    "every connection is dropped, three times": _drop_connections,
    "slow lines: each chunk late and in two halves": _slow_lines,
    "telemetry twice, late, shuffled, and garbage": _bad_telemetry,
    "50 readers of the stream that stop reading": _readers_that_stop,
    "no file descriptors left": _few_descriptors,
    "the database dead and the spool's disk full": _full_disk,
}
NEEDS_ROOT = {"the database dead and the spool's disk full"}
