"""Several controllers on one broker and one database, a simulated fleet, and who judges them from the outside."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.chargers import Chargers
from tests.processes import Daemon, Programs, eventually
from tests.stage import stored_samples
from tests.wire import Lease, Observer

DEVICES = 12
LIMIT_KW = 24.0
INTERVAL_S = 0.5
LEADER_LEASE_S = 3.0
SECRET = "a-secret-that-all-controllers-share-0123456789"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def controller(programs: Programs, name: str, broker_url: str, database_url: str, **settings: object) -> Daemon:
    """One of several; all of them take one another's tokens."""
    port = free_port()
    said = {"control_interval_s": INTERVAL_S, "lease_s": 9, "leader_lease_s": LEADER_LEASE_S, "jwt_secret": SECRET,
            "api_port": port, "advertise_url": f"http://127.0.0.1:{port}", "feeder_import_limit_kw": LIMIT_KW,
            **settings}  # fmt: skip
    serve = programs.serve(controller_id=name, mqtt_url=broker_url, database_url=database_url, **said)
    serve.wait_logged("The controller runs")
    return serve


def role(serve: Daemon) -> str:
    """What it says of itself; empty: it does not answer."""
    try:
        return str(serve.ask("/api/health")["role"])
    except (urllib.error.URLError, OSError):
        return ""


def is_ready(serve: Daemon) -> bool:
    return ready(serve)["ready"] is True


def ready(serve: Daemon) -> Any:
    """What it says of its readiness, whatever the status."""
    try:
        with urllib.request.urlopen(serve.api + "/api/ready", timeout=5.0) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())
    except OSError:
        return {"ready": False, "parts": {}}


def led_since(wire: Observer, since_ms: int) -> set[str]:
    """Who was sent a lease since then."""
    return {lease.device_id for lease in wire.leases() if lease.at_ms > since_ms and not lease.retained}


def all_led(wire: Observer, since_ms: int, timeout_s: float = 30.0) -> None:
    eventually(lambda: len(led_since(wire, since_ms)) == DEVICES, "everyone is led", timeout_s)


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stopped while the body runs, as if the machine had been paused."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def fresh(leases: Iterable[Lease]) -> list[Lease]:
    """Those that were sent while we looked, in order."""
    return [lease for lease in leases if not lease.retained]


def judge_epochs(wire: Observer) -> None:
    """On the wire epochs only rise: after the first word of a new controller the one before says nothing more."""
    newest: dict[str, Lease] = {}
    seen: set[tuple[str, int, int]] = set()
    order: list[tuple[str, int, int]] = []
    for lease in fresh(wire.leases()):
        if (lease.device_id, lease.epoch, lease.seq) in seen:
            continue  # the broker's second try
        seen.add((lease.device_id, lease.epoch, lease.seq))
        order.append((lease.device_id, lease.epoch, lease.seq))
        known = newest.get(lease.device_id)
        assert known is None or lease.epoch >= known.epoch, f"{lease} after {known}"
        newest[lease.device_id] = lease
    began: dict[int, int] = {}
    for at, (_, epoch, _) in enumerate(order):
        began.setdefault(epoch, at)
        later = [other for other, first in began.items() if other > epoch and first < at]
        assert not later, f"a word of epoch {epoch} after the first of {later}"


def most_commanded_kw(wire: Observer) -> float:
    """The most that all leases alive at one time ever came to [kW], discharging and generating left out."""
    alive: dict[str, Lease] = {}
    most = 0.0
    for lease in fresh(wire.leases()):
        alive[lease.device_id] = lease
        total = sum(max(one.p_kw, 0.0) for one in alive.values() if one.valid_until_ms > lease.at_ms)
        most = max(most, total)
    return most


def judge_limit(wire: Observer) -> None:
    """What lives is never more than the feeder may draw."""
    most_kw = most_commanded_kw(wire)
    assert most_kw <= LIMIT_KW + 1e-6, f"{most_kw} kW were commanded of {LIMIT_KW} kW"


def judge_rows(chargers: Chargers, database_url: str, timeout_s: float = 40.0) -> int:
    """Every measurement that the broker acknowledged to its device is stored; how many those were."""
    acknowledged = set(chargers.acknowledged)
    eventually(
        lambda: acknowledged <= set(stored_samples(database_url)),
        f"{len(acknowledged)} acknowledged measurements are stored", timeout_s,
    )  # fmt: skip
    return len(acknowledged)


def judge(wire: Observer, chargers: Chargers, database_url: str) -> int:
    """Everything that must hold whatever happened; how many measurements were acknowledged."""
    judge_epochs(wire)
    assert chargers.older_accepted == 0
    judge_limit(wire)
    return judge_rows(chargers, database_url)
