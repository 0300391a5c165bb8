"""`make dev`, in a copy of the code, while somebody changes files there."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, alive, children_of, eventually

_PROCESS = re.compile(r"^dev: derms (\w+) is process (\d+)$", re.MULTILINE)


class Loop:
    """The loop, as a process."""

    def __init__(self, code: Path, directory: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, code / "scripts" / "dev.py", directory, "--api-port", "0", "--devices", "12"],
                env={"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(log.parent), "PYTHONPATH": str(code)}, stdout=out,
                stderr=out, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def started(self, times: int) -> list[dict[str, int]]:
        """Wait until both were started so many times and the controller runs; each pair of ids."""

        def look() -> bool:
            assert self.process.poll() is None, self.said
            ran = len(re.findall(r'The controller runs|"message": "The controller runs"', self.said))
            return len(_PROCESS.findall(self.said)) == 2 * times and ran >= times

        eventually(look, f"{times} starts in {self.said}", 60.0)
        found = _PROCESS.findall(self.said)
        return [{name: int(pid) for name, pid in found[at : at + 2]} for at in range(0, 2 * times, 2)]


@pytest.fixture
def code(own_dir: Path) -> Path:
    """A copy that may be changed."""
    for name in ("derms", "agent", "sim", "scripts"):
        shutil.copytree(ROOT / name, own_dir / "code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    return own_dir / "code"


@pytest.fixture
def loop(code: Path, own_dir: Path, tmp_path: Path) -> Iterator[Loop]:
    there = Loop(code, own_dir / "dev", tmp_path / "log")
    yield there
    sys.stdout.write(there.said)
    if there.process.poll() is None:
        there.process.terminate()
        there.process.wait(30)


def test_a_change_starts_the_programs_anew_and_a_mistake_is_shown(loop: Loop, code: Path) -> None:
    (first,) = loop.started(1)
    assert set(first) == {"serve", "sim"}
    beside = {pid: name for pid, name in children_of(loop.process.pid).items() if name in ("postgres", "mosquitto")}
    assert "postgres" in beside.values()

    changed = code / "derms" / "presence.py"
    whole = changed.read_text()
    changed.write_text(whole + "def broken(:\n")
    eventually(lambda: "derms/presence.py:" in loop.said and "invalid syntax" in loop.said, "the mistake is shown")
    assert all(alive(pid) for pid in first.values()), "what ran goes on"

    changed.write_text(whole + "\n# changed\n")
    second = loop.started(2)[1]
    assert set(first.values()).isdisjoint(second.values())
    assert not any(alive(pid) for pid in first.values())

    now = children_of(loop.process.pid)
    # PostgreSQL has a process for each connection too; those end with it.
    assert {beside[pid] for pid in beside if pid in now} == set(beside.values()), "they stay up all the time"
    loop.process.send_signal(signal.SIGINT)
    assert loop.process.wait(30) == 0
    assert not any(alive(pid) for pid in {*now, *second.values()}), "all of it has ended"


def test_make_dev_is_this_loop() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^dev: \$\(VENV\)/\.test ## .+\n\t@\$\(BIN\)/python scripts/dev\.py \$\(VENV\)/dev$", text, re.M)
