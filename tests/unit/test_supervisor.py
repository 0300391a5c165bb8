"""What the service manager is told, and the unit that asks for it."""

import configparser
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.guard import TIMEOUT_S
from derms.supervisor import Supervisor
from tests.systemd import told

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "derms-agent.service"


class Clock:
    s = 100.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.s


def test_it_is_ready_once_and_alive_at_half_the_watchdogs_time(service_manager: socket.socket) -> None:
    clock = Clock()
    environment = {
        "NOTIFY_SOCKET": service_manager.getsockname(),
        "WATCHDOG_USEC": "10000000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    supervisor = Supervisor(environment, clock=clock)
    supervisor.alive()
    assert told(service_manager) == [], "not ready, so not alive"
    for _ in range(60):
        supervisor.ready()
        supervisor.alive()
        clock.s += 0.5
    supervisor.stopping()
    # 30 s of turns, a sign of life each 5 s
    assert told(service_manager) == ["READY=1\nWATCHDOG=1", *["WATCHDOG=1"] * 5, "STOPPING=1"]


def test_a_watchdog_that_is_anothers_is_left_alone(service_manager: socket.socket) -> None:
    clock = Clock()
    environment = {"NOTIFY_SOCKET": service_manager.getsockname(), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    supervisor = Supervisor(environment, clock=clock, turn_s=60.0)
    for _ in range(10):
        supervisor.ready()
        supervisor.alive()
        clock.s += 1
    assert told(service_manager) == ["READY=1\nWATCHDOG=1"]


def test_a_start_that_goes_on_puts_its_end_off_until_it_is_ready(service_manager: socket.socket) -> None:
    clock = Clock()
    supervisor = Supervisor({"NOTIFY_SOCKET": service_manager.getsockname()}, clock=clock)
    for _ in range(11):
        supervisor.starting()
        clock.s += 1
    assert told(service_manager) == ["EXTEND_TIMEOUT_USEC=60000000"] * 3  # at 0, 5 and 10 s
    supervisor.ready()
    clock.s += 100
    supervisor.starting()
    assert told(service_manager) == ["READY=1\nWATCHDOG=1"]


def test_a_watchdog_too_short_for_the_turns_is_made_longer(service_manager: socket.socket) -> None:
    clock = Clock()
    environment = {"NOTIFY_SOCKET": service_manager.getsockname(), "WATCHDOG_USEC": "30000000"}
    supervisor = Supervisor(environment, clock=clock, turn_s=20.0)
    supervisor.ready()
    for _ in range(4):  # a turn each 20 s, of 80 s that are allowed
        clock.s += 20
        supervisor.alive()
    assert told(service_manager) == ["READY=1\nWATCHDOG=1\nWATCHDOG_USEC=80000000", "WATCHDOG=1", "WATCHDOG=1"]
    long_enough = Supervisor(environment, clock=clock, turn_s=7.5)
    long_enough.ready()
    assert told(service_manager) == ["READY=1\nWATCHDOG=1"]


def test_how_it_does_is_one_line_and_said_once(service_manager: socket.socket) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": service_manager.getsockname()}, clock=Clock())
    for text in ("Starting", "Starting", "Commands\nREADY=1", "Starting"):
        supervisor.status(text)
    assert told(service_manager) == ["STATUS=Starting", "STATUS=Commands READY=1", "STATUS=Starting"]


def test_a_socket_without_a_file_is_spoken_to(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        name = f"derms-test-{os.getpid()}"
        there.bind("\0" + name)
        there.setblocking(False)
        Supervisor({"NOTIFY_SOCKET": "@" + name}, clock=Clock()).stopping()
        assert told(there) == ["STOPPING=1"]


@pytest.mark.parametrize(
    "environment", [{}, {"NOTIFY_SOCKET": "/nowhere"}, {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "x"}]
)
def test_without_a_manager_nothing_happens(environment: dict[str, str]) -> None:
    supervisor = Supervisor(environment, clock=Clock(), turn_s=5.0)
    supervisor.starting()
    supervisor.ready()
    supervisor.alive()
    supervisor.status("x")
    supervisor.stopping()


def unit() -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's keys have capitals
    parser.read_string(UNIT.read_text())
    return {name: dict(parser[name]) for name in parser.sections()}


def test_the_unit_gives_a_slow_device_time_and_a_hung_agent_none() -> None:
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"
    # half the watchdog's time must hold a turn in which the device lets both verbs time out
    assert int(service["WatchdogSec"]) / 2 >= 2 * TIMEOUT_S
    assert service["ExecStart"].endswith("agent run --config /etc/derms/agent.json")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze on this machine")
def test_systemd_itself_finds_nothing_wrong_with_the_unit_and_little_exposed(tmp_path: Path) -> None:
    text = re.sub(r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(), flags=re.MULTILINE)
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60
    )
    ours = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert (verified.returncode, ours) == (0, []), verified.stderr
    secure = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", str(copy)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert secure.returncode == 0, secure.stdout[-2000:] + secure.stderr
