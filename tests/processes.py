"""A pytest plugin: the program as processes of their own, each in a home of its own, each ended by its id.

What a process wrote is in files, and is shown when the test that started it fails.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

ROOT = Path(__file__).resolve().parent.parent
OPERATOR, PASSWORD = "opal", "opal-password"
_USERS = json.dumps([{"username": OPERATOR, "password": PASSWORD, "role": "operator"}])
_SHOWN_BYTES = 6_000

T = TypeVar("T")


def eventually(ask: Callable[[], T], what: str, timeout_s: float = 30.0) -> T:
    """Ask until the answer is true; fail with `what` when that does not come."""
    deadline_s, pause = time.monotonic() + timeout_s, threading.Event()
    while not (answer := ask()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        pause.wait(0.05)
    return answer


class Program:
    """One `derms ...`, or another Python program, as a process."""

    def __init__(self, arguments: list[str], home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = {
            **{key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TMPDIR")},
            "HOME": str(home),
            **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")},
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self._out, self._err = home / "stdout", home / "stderr"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=home,
                env=self.environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def stdout(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def stderr(self) -> str:
        return self._err.read_text(encoding="utf-8")

    def logged(self, message: str) -> list[dict[str, Any]]:
        """The log records whose message holds these words."""
        whole = [line for line in self.stderr.split("\n")[:-1] if line.startswith("{")]
        records = [json.loads(line) for line in whole if message in line]
        return [record for record in records if message in record["message"]]

    def wait_logged(self, message: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until it logs such a record; fail when it ends first."""

        def look() -> list[dict[str, Any]]:
            found = self.logged(message)
            assert found or self.running, f"it ended with {self._process.returncode}: {self.stderr[-_SHOWN_BYTES:]}"
            return found

        return eventually(look, f"{message!r} in the log", timeout_s)[0]

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait until it ends by itself; its exit code."""
        return self._process.wait(timeout_s)

    def terminate(self, timeout_s: float = 10.0) -> int:
        """SIGTERM; its exit code, or a failure when that takes longer."""
        self._process.terminate()
        return self.wait(timeout_s)

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()
        self._process.wait(10.0)

    def end(self) -> None:
        """End it, whatever it takes."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(15.0)
            except subprocess.TimeoutExpired:
                self.kill()

    def show(self) -> None:
        """Write what it said where pytest keeps it for a failure."""
        for name, text in (("stdout", self.stdout), ("stderr", self.stderr)):
            sys.stdout.write(f"--- {name} of process {self.pid}\n{text[-_SHOWN_BYTES:]}\n")


def told(stderr: str) -> str:
    """An error that ends a program: what, and why and what to do next where there is something to say.

    Args:
        stderr: What the program wrote, log lines and all.
    """
    lines = [line for line in stderr.splitlines() if not line.startswith("{")]
    heads = [line[:7] for line in lines]
    assert heads[:1] == ["derms: "], stderr
    assert set(heads[1:]) <= {"  why: ", "  next:"}, stderr
    return "\n".join(lines)


class Daemon(Program):
    """`derms serve`, and its API as anyone may use it."""

    _token = ""

    @property
    def api(self) -> str:
        url: str = self.wait_logged("The API listens")["url"]
        return url

    def ask(self, path: str, body: object = None) -> Any:
        """GET, or POST a body, as the operator; what it answers, decoded when it is JSON."""
        if not self._token and path not in ("/api/health", "/api/auth/login"):
            self._token = self.ask("/api/auth/login", {"username": OPERATOR, "password": PASSWORD})["token"]
        request = urllib.request.Request(
            self.api + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        with urllib.request.urlopen(request, timeout=15.0) as response:
            text = response.read().decode()
        return json.loads(text) if text.startswith(("{", "[")) else text

    def admin_token(self) -> str:
        """A token of the role admin, as whoever may read the daemon's secret makes it."""
        made = subprocess.run(
            [sys.executable, "-m", "derms", "token", "--role", "admin"],
            env=self.environment, capture_output=True, text=True, timeout=30.0, check=True,
        )  # fmt: skip
        return made.stdout.strip()

    def health(self) -> dict[str, str]:
        """The state of each part."""
        return {name: part["state"] for name, part in self.ask("/api/health")["parts"].items()}

    def metric(self, name: str) -> float:
        """The sample of the metrics page that is written exactly so; 0: there is none."""
        for line in self.ask("/metrics").splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0


class Programs:
    """Starts processes, each in a directory below one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.started: list[Program] = []
        self.more: dict[str, str] = {}
        """Variables, as they are called, for whatever is started next."""

    def derms(self, *arguments: object, **environment: object) -> Program:
        """Start `derms` with these arguments and DERMS_* settings (`lease_s=6`)."""
        return self._start(Program, ["-m", "derms", *map(str, arguments)], environment)

    def serve(self, *arguments: object, **environment: object) -> Daemon:
        """Start `derms serve` on an API port that is free, ticking twice a second, with leases of 7 s."""
        settings = {"control_interval_s": 0.5, "lease_s": 7, "api_port": 0, "auth_users": _USERS,
                    "access_token_ttl_s": 3600, **environment}  # fmt: skip
        return self._start(Daemon, ["-m", "derms", "serve", *map(str, arguments)], settings)

    def python(self, *arguments: object) -> Program:
        """Start any Python program."""
        return self._start(Program, [str(argument) for argument in arguments], {})

    def _start(self, kind: type["P"], arguments: list[str], environment: Mapping[str, object]) -> "P":
        home = self._directory / str(len(self.started))
        home.mkdir(parents=True)
        settings = {f"DERMS_{key.upper()}": str(value) for key, value in environment.items()}
        program = kind(arguments, home, self.more | settings)
        self.started.append(program)
        return program


P = TypeVar("P", bound=Program)


@contextlib.contextmanager
def running_programs(directory: Path) -> Iterator[Programs]:
    """Start programs; all of them are ended, the newest first."""
    programs = Programs(directory)
    try:
        yield programs
    finally:
        for program in reversed(programs.started):
            program.end()
            program.show()


def children_of(pid: int) -> dict[int, str]:
    """The living processes below one: name by id."""
    found: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                state, parent, *_ = rest.split()
                if state != "Z":
                    found[int(entry.name)] = (int(parent), name)
    below = {pid}
    while more := {child for child, (parent, _) in found.items() if parent in below} - below:
        below |= more
    return {child: found[child][1] for child in below - {pid}}


def alive(pid: int) -> bool:
    """Whether a process lives, zombies not counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Processes of one test."""
    with running_programs(tmp_path / "programs") as started:
        yield started
