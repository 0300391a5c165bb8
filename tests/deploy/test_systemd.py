"""The controller's units: what systemd itself says of them, and that what they start is there."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from derms.settings import Settings
from tests.processes import ROOT

UNITS = ROOT / "deploy" / "systemd"
SERVICES = ("derms.service", "derms-backup.service")


def read(name: str) -> configparser.RawConfigParser:
    """A unit; of words that stand there several times the last."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep capitals
    parser.read_string((UNITS / name).read_text(encoding="utf-8"))
    return parser


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze on this machine")
@pytest.mark.parametrize("name", [*SERVICES, "derms-backup.timer"])
def test_systemd_itself_finds_nothing_wrong_with_a_unit_and_little_exposed(name: str, tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        # The programs are not installed here.
        text = path.read_text(encoding="utf-8").replace("/opt/derms/bin/derms", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    ours = [line for line in verified.stderr.splitlines() if "derms" in line]
    assert (verified.returncode, ours) == (0, []), verified.stderr
    if name in SERVICES:
        secure = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=25", "--no-pager", str(tmp_path / name)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert secure.returncode == 0, secure.stdout[-2000:] + secure.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_runs_commands_and_settings_that_derms_knows(name: str) -> None:
    service = read(name)["Service"]
    (words,) = re.findall(r"/opt/derms/bin/derms ((?:[a-z]+ ?)+)", service["ExecStart"])
    asked = [sys.executable, "-m", "derms", *words.split(), "--help"]
    assert subprocess.run(asked, capture_output=True, check=False, timeout=30).returncode == 0, words
    for variable in service["Environment"].split():
        assert variable.partition("=")[0].removeprefix("DERMS_").lower() in Settings.model_fields
    assert service["User"] == "derms"


def test_the_controller_is_started_again_unless_its_settings_are_refused() -> None:
    unit = read("derms.service")
    assert unit["Service"]["Restart"] == "always"
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_a_loop_that_stands_is_started_again_and_a_start_that_waits_is_not() -> None:
    service = read("derms.service")["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    # A turn of the loop by its default, and what a start says before its time is over.
    interval_s = Settings.model_fields["control_interval_s"].default
    assert int(service["WatchdogSec"]) >= 4 * interval_s, "else the controller asks for a longer one"
    assert int(service["TimeoutStartSec"]) == 60, "what `derms.supervisor` puts off, each time"
    assert service["LimitCORE"] == "0"


def test_the_backup_is_of_the_database_that_the_controller_uses() -> None:
    controller, backup = read("derms.service")["Service"], read("derms-backup.service")["Service"]
    assert backup["Environment"] == controller["Environment"]
    assert backup["User"] == controller["User"]
    assert backup["ReadWritePaths"] in backup["ExecStart"]
    assert "%%Y" in backup["ExecStart"], "a percent sign alone is systemd's own"
