"""`compose.yaml` against the Compose specification, offline; and by Docker itself where it is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

COMPOSE = ROOT / "compose.yaml"


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    """Hold a file to the schema that the package brings along."""
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_specification_accepts_it() -> None:
    said = checked(COMPOSE)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize(
    ("there", "wrong", "named"),
    [
        ("  read_only: true\n", "  read_onyl: true\n", "read_onyl"),
        ("  pids_limit:", "  pids_limits:", "pids_limits"),
        ("  cap_drop: [ALL]\n", "  cap_drop: ALL\n", "ALL"),
    ],
)
def test_the_specification_refuses_what_is_misspelt(there: str, wrong: str, named: str, tmp_path: Path) -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    assert there in text
    file = tmp_path / "compose.yaml"
    file.write_text(text.replace(there, wrong, 1), encoding="utf-8")
    said = checked(file)
    assert (said.returncode, named in said.stdout) == (1, True), said.stdout + said.stderr


def test_docker_itself_composes_it() -> None:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("there is no docker on this machine")
    plugin = subprocess.run([docker, "compose", "version"], capture_output=True, check=False, timeout=60)
    if plugin.returncode != 0:
        pytest.skip("this docker has no plugin compose")
    asked = [docker, "compose", "-f", str(COMPOSE), "--profile", "sim", "--profile", "monitoring", "config", "--quiet"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert said.returncode == 0, said.stderr
