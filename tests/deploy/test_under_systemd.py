"""The controller's unit under a systemd that runs: a manager of a test's own, in namespaces of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import free_port
from tests.processes import ROOT, children_of, eventually
from tests.stage import Broker

UNIT = ROOT / "deploy" / "systemd" / "derms.service"
SYSTEMD = Path("/lib/systemd/systemd")
# It looks there whether the machine was started by it, and as the first process it would serve the machine, not a user.
_INSIDE = 'mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system; "$0" --user --unit=basic.target; exit $?'
_NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-euc")

# Of this machine's own: accounts, directories, and bounds. The sandbox below it needs a machine that systemd has
# started; `systemd-analyze` looks at it in another test.
_OF_THE_PLACE = ("User=", "Group=", "ExecStart=", "Environment=", "StateDirectory", "ConfigurationDirectory",
                 "OOMScoreAdjust=", "WatchdogSec=")  # fmt: skip


class Manager:
    """A systemd of a test's own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"),
                             "XDG_CONFIG_HOME": str(home / "config")}  # fmt: skip
        self.units = home / "config" / "systemd" / "user"
        self.units.mkdir(parents=True)
        (home / "run").mkdir(mode=0o700)
        with (home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*_NAMESPACES, _INSIDE, SYSTEMD], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def systemctl(self, *words: str, check: bool = True) -> str:
        # From within: who asks from without has no process there, and is refused.
        inside = [pid for pid, name in children_of(self._process.pid).items() if name == "systemd"]
        enter = ["nsenter", "--mount", "--pid", f"--target={inside[0]}"] if inside else ["false"]
        done = subprocess.run(
            [*enter, "systemctl", "--user", "--no-pager", *words], env=self._environment, capture_output=True,
            text=True, timeout=90, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def shown(self, *names: str) -> dict[str, str]:
        """Properties of the controller's unit."""
        out = self.systemctl("show", "derms.service", *(f"--property={name}" for name in names))
        return dict(row.split("=", 1) for row in out.splitlines())

    @property
    def runs(self) -> bool:
        return self._process.poll() is None and self.systemctl("is-active", "basic.target", check=False) == "active"

    def end(self) -> None:
        """It takes its control groups with it; what does not end ends with its namespace."""
        self.systemctl("exit", check=False)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


@pytest.fixture
def manager(own_dir: Path) -> Iterator[Manager]:
    if os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("unshare") is None:
        pytest.skip("a systemd of its own needs root, systemd and unshare")
    tried = subprocess.run([*_NAMESPACES, "mount -t tmpfs tmpfs /run"], capture_output=True, check=False, timeout=30)
    if tried.returncode != 0:
        pytest.skip("this machine gives no namespaces")
    there = Manager(own_dir)
    try:
        yield there
    finally:
        there.end()
        sys.stdout.write((own_dir / "serve.log").read_text() if (own_dir / "serve.log").exists() else "")


def unit_here(home: Path, settings: dict[str, object]) -> str:
    """The unit as it is shipped, with this place's program, directory and settings, and less patience."""
    shipped = UNIT.read_text().partition("NoNewPrivileges=")[0].splitlines()
    kept = [row for row in shipped if not row.startswith(_OF_THE_PLACE)]
    told = [f'Environment="DERMS_{name.upper()}={value}"' for name, value in settings.items()]
    place = [
        *told, f"Environment=PYTHONPATH={ROOT}", f"WorkingDirectory={home}",
        f"ExecStart={sys.executable} -m derms serve", f"StandardError=append:{home}/serve.log", "WatchdogSec=3",
    ]  # fmt: skip
    at = kept.index("[Service]") + 1
    return "\n".join([*kept[:at], *place, *kept[at:]]) + "\n"


@pytest.mark.slow
def test_systemd_starts_it_shows_how_it_does_and_starts_it_again_when_it_stands(
    manager: Manager, stage_broker: Broker, postgres_url: str
) -> None:
    settings = {"mqtt_url": stage_broker.url, "database_url": postgres_url, "api_port": free_port(),
                "state_dir": manager.home / "state", "control_interval_s": 0.5, "lease_s": 7}  # fmt: skip
    (manager.units / "derms.service").write_text(unit_here(manager.home, settings))
    eventually(lambda: manager.runs, "systemd runs")

    manager.systemctl("start", "derms.service")  # comes back when it is ready
    was = manager.shown("ActiveState", "StatusText", "MainPID", "NRestarts")
    eventually(lambda: manager.shown("StatusText")["StatusText"] == "Commands; ready", "it says how it does")
    assert (was["ActiveState"], was["NRestarts"]) == ("active", "0")

    manager.systemctl("kill", "--signal=STOP", "--kill-who=main", "derms.service")
    eventually(lambda: manager.shown("NRestarts")["NRestarts"] == "1", "the watchdog ends what stands")
    now = eventually(
        lambda: manager.shown("MainPID") if manager.shown("ActiveState")["ActiveState"] == "active" else {},
        "it is back",
    )
    assert now["MainPID"] != was["MainPID"]

    manager.systemctl("stop", "derms.service")
    ended = manager.shown("ActiveState", "Result", "ExecMainStatus")
    assert (ended["ActiveState"], ended["Result"], ended["ExecMainStatus"]) == ("inactive", "success", "0")
