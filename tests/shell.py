"""A person, or a script, at the command line: a home, an environment, pipes or a terminal, and real processes."""

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from derms.cli import invoke
from derms.cli.output import exit_code_of
from tests.processes import ROOT

KEYBOARD_INTERRUPT = "\x03"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str = ""
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Shell:
    """A user's home, from which commands are run."""

    home: Path
    url: str
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm", "HOME": str(self.home),
            "PYTHONPATH": str(ROOT), "DERMS_KEYRING": "0", **self.more,
        }  # fmt: skip

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "derms", *words],
            env=self.environment | {"DERMS_URL": self.url} | environment,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def derms(self, *words: str, typed: str = "", **environment: str) -> Ran:
        """Run a command in pipes, within this process: what starts Python a hundred times takes minutes."""
        began_s = time.monotonic()
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with (
            _as_of_a_process(self.environment | {"DERMS_URL": self.url} | environment, self.home, io.StringIO(typed)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = exit_code_of(lambda: invoke(list(words)), debug="--debug" in words)
        texts = [one.buffer.getvalue().decode() for one in (out, err)]
        return Ran(code=code, out=texts[0], err=texts[1], took_s=time.monotonic() - began_s)

    def process(self, *words: str, typed: str = "", **environment: str) -> Ran:
        """Run a command in pipes, as a process of its own."""
        began_s = time.monotonic()
        process = self.start(*words, **environment)
        out, err = process.communicate(typed, timeout=60.0)
        return Ran(code=process.returncode, out=out, err=err, took_s=time.monotonic() - began_s)

    def on_terminal(
        self,
        *words: str,
        answers: Sequence[tuple[str, str]] = (),
        lines: int = 24,
        columns: int = 100,
        until: Callable[[str], bool] | None = None,
        **environment: str,
    ) -> Ran:
        """Run a command on a terminal of its own.

        Args:
            words: Behind `derms`.
            answers: What is waited for on the screen, and what is typed then.
            lines: Of the terminal.
            columns: Of the terminal.
            until: Ctrl-C is pressed when this is true of what was written.
            environment: Further variables.
        """
        began_s = time.monotonic()
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

        def lead() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        process = subprocess.Popen(
            [sys.executable, "-m", "derms", *words],
            env=self.environment | {"DERMS_URL": self.url} | environment,
            cwd=self.home, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=lead, close_fds=True,
        )  # fmt: skip
        os.close(theirs)
        try:
            out = _conversation(ours, process, list(answers), until)
            return Ran(code=process.wait(10.0), out=out, took_s=time.monotonic() - began_s)
        finally:
            os.close(ours)
            if process.poll() is None:
                process.kill()
                process.wait(10.0)

    @property
    def token_file(self) -> Path:
        return self.home / ".local/state/derms/tokens/default.json"


@contextlib.contextmanager
def _as_of_a_process(environment: dict[str, str], directory: Path, stdin: io.StringIO) -> Iterator[None]:
    before, was, keyboard = dict(os.environ), Path.cwd(), sys.stdin
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    time.tzset()
    sys.stdin = stdin
    try:
        yield
    finally:
        sys.stdin = keyboard
        os.chdir(was)
        os.environ.clear()
        os.environ.update(before)
        time.tzset()


def _conversation(
    ours: int, process: subprocess.Popen[bytes], answers: list[tuple[str, str]], until: Callable[[str], bool] | None
) -> str:
    said, deadline_s, pressed = b"", time.monotonic() + 30.0, False
    while time.monotonic() < deadline_s:
        if select.select([ours], [], [], 0.05)[0]:
            try:
                chunk = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            said += chunk
        text = said.decode("utf-8", "replace")
        if answers and answers[0][0] in text:
            os.write(ours, answers.pop(0)[1].encode())
        elif until is not None and not pressed and until(text):
            pressed = True
            os.write(ours, KEYBOARD_INTERRUPT.encode())
    else:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        raise AssertionError(f"it did not end: {said[-2000:]!r}")
    return said.decode("utf-8", "replace").replace("\r\n", "\n")
