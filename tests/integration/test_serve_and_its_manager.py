"""`derms serve` as a service of type notify: a real process, and somebody who listens as systemd does."""

import itertools
import os
import socket
import time
from collections.abc import Iterator

import pytest

from tests.faults.cluster import ready
from tests.processes import Programs
from tests.stage import Broker

WATCHDOG_S = 2.0


class Listening:
    """What was said, and when."""

    def __init__(self, there: socket.socket) -> None:
        self._socket = there
        self.said: list[tuple[float, str]] = []

    def until(self, word: str, timeout_s: float = 60.0) -> str:
        """Wait for something that begins so."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self._socket.settimeout(max(deadline_s - time.monotonic(), 0.001))
            try:
                text = self._socket.recv(4096).decode()
            except TimeoutError:
                break
            self.said.append((time.monotonic(), text))
            if text.startswith(word):
                return text
        raise AssertionError(f"{word} was not said within {timeout_s:g} s: {self.said}")

    def words(self) -> list[str]:
        return [text for _, text in self.said]


@pytest.fixture
def listening(programs: Programs) -> Iterator[Listening]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        name = f"derms-manager-{os.getpid()}"
        there.bind("\0" + name)  # as systemd's own is named in containers
        programs.more |= {"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
        yield Listening(there)


def test_it_is_ready_when_it_says_so_alive_with_its_ticks_and_says_that_it_ends(
    listening: Listening, programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    stage_broker.stop()
    daemon = programs.serve(mqtt_url=stage_broker.url, database_url=postgres_url, control_interval_s=0.5)
    daemon.wait_logged("The controller runs")
    assert listening.until("STATUS=Stands by; not ready").count("mqtt is down") == 1
    assert not ready(daemon)["ready"]
    assert not [text for text in listening.words() if text.startswith("READY")]
    assert "EXTEND_TIMEOUT_USEC=60000000" in listening.words(), "it may take its time"

    stage_broker.start()
    assert listening.until("READY=1") == "READY=1\nWATCHDOG=1"
    assert ready(daemon)["ready"]
    listening.until("STATUS=Commands; ready")
    for _ in range(2):
        listening.until("WATCHDOG=1")
    at_s = [moment for moment, text in listening.said if "WATCHDOG=1" in text]
    gaps_s = [after - before for before, after in itertools.pairwise(at_s)]
    # half of what is allowed, and then the next tick; the machine may be slow by some more
    assert min(gaps_s) >= WATCHDOG_S / 2 - 0.1
    assert max(gaps_s) < WATCHDOG_S

    assert daemon.terminate() == 0
    listening.until("STOPPING=1", 5.0)
    # The event loop does not end a service of itself: what is said last is that it ends.
    assert [text for text in listening.words() if text.startswith("READY")] == ["READY=1\nWATCHDOG=1"]


def test_a_start_that_waits_for_its_database_puts_its_end_off(
    listening: Listening, programs: Programs, closed_port: int
) -> None:
    url = f"postgresql://nobody@127.0.0.1:{closed_port}/derms"
    daemon = programs.serve(database_url=url, mqtt_url="mqtt://127.0.0.1:1")
    listening.until("EXTEND_TIMEOUT_USEC")  # again and again, as a unit test has it
    assert daemon.running
    assert daemon.terminate() == 0
    listening.until("STOPPING=1", 5.0)
