"""Follows docs/tutorial.md: types its blocks into two terminals, and compares what is shown. Standard library alone.

What of a page counts::

    ```sh                                 typed into the second terminal; it must end with exit code 0
    ```text                               what is shown since then, line by line in this order
    <!-- first terminal -->               typed into the first one, where it stays
    <!-- first terminal: Ctrl-C -->       the key is pressed there; the block says what it ends with
    <!-- until it shows this -->          typed again and again, until it does

In what is shown a number stands for any number, an id for any id, `...` for the rest of a line.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<kind>sh|text)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
_CONTROL = re.compile(r"\x1b\][^\x07]*\x07|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z=>]|\x1b\([A-B0]|[\x00-\x08\x0e-\x1a]")
_NUMBER = re.compile(r"dr-[0-9a-f]{12}|\d+(?:\.\d+)?")
# With what stands behind them: a terminal may be read in the middle of a word.
_PASSWORD = re.compile(r"password (\S+)(?=\s)")
_API = re.compile(r"API (http://\S+)(?=\s)")
_USUAL_API = "http://127.0.0.1:8080"
_END = "\x1e"
"""Stands around the exit code of a block."""
_SEEN = "\x1f"
"""The same once control characters are taken away."""
_CTRL_C = "\x03"
_COLUMNS, _LINES = 200, 60


class NotAsWrittenError(Exception):
    """The page says something else than what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of the page that counts."""

    note: str
    kind: str
    """`sh` or `text`."""
    body: str


def blocks_of(page: str) -> list[Block]:
    """The blocks, in order."""
    return [
        Block(note=found["note"] or "", kind=found["kind"], body=found["body"].rstrip("\n"))
        for found in _BLOCK.finditer(page)
    ]


def missing(shown: str, expected: str) -> str | None:
    """The first expected line that is not shown where it should be; None: all are."""
    lines = [_loose(line) for line in shown.splitlines()]
    at = 0
    for line in filter(str.strip, expected.splitlines()):
        head, open_ended, _ = _loose(line).partition("...")
        wanted = head.strip()
        matches = str.__contains__ if open_ended else _whole
        found = next((number for number in range(at, len(lines)) if matches(lines[number], wanted)), None)
        if found is None:
            return line
        at = found + 1
    return None


def _whole(line: str, wanted: str) -> bool:
    """The line, with or without something in front that is no part of the words, such as a frame or an arrow."""
    return line.strip("▶│ ") == wanted.strip("▶│ ")


def _loose(text: str) -> str:
    return " ".join(_NUMBER.sub("#", text).split())


class Terminal:
    """A terminal with one program in it."""

    def __init__(
        self, words: list[str], directory: Path, environment: Mapping[str, str], columns: int = _COLUMNS
    ) -> None:
        self._fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))

        def lead() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        self._process = subprocess.Popen(
            words, cwd=directory, env=dict(environment), stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=lead
        )
        os.close(theirs)
        self._raw = b""

    @property
    def raw(self) -> str:
        """All it has shown, with colours and movements."""
        return self._raw.decode("utf-8", "replace").replace("\r\n", "\n")

    @property
    def text(self) -> str:
        """All it has shown, without colours and movements."""
        return _CONTROL.sub("", self.raw.replace(_END, _SEEN)).replace("\r", "\n")

    def forget(self) -> None:
        """Start anew with what is shown."""
        self._raw = b""

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._fd, text.encode())

    def wait(self, there: Callable[[str], bool], timeout_s: float, what: str) -> str:
        """Read until something is shown; what is shown then.

        Raises:
            NotAsWrittenError: It did not come, or the program ended before.
        """
        deadline_s = time.monotonic() + timeout_s
        while not there(self.text):
            if time.monotonic() > deadline_s:
                raise NotAsWrittenError(f"not within {timeout_s:g} s: {what}\n{self.text[-3000:]}")
            if select.select([self._fd], [], [], 0.1)[0] and not self._read():
                if there(self.text):
                    break
                raise NotAsWrittenError(f"it ended before: {what}\n{self.text[-3000:]}")
        return self.text

    def ended(self, timeout_s: float) -> int:
        """Wait for the end of the program; its exit code."""
        deadline_s = time.monotonic() + timeout_s
        while self._process.poll() is None and time.monotonic() < deadline_s:
            if select.select([self._fd], [], [], 0.1)[0]:
                self._read()
        while select.select([self._fd], [], [], 0.0)[0] and self._read():
            pass
        return self._process.wait(1.0)

    def close(self, goodbye: str) -> None:
        """Say goodbye, and end the program whatever it takes.

        Args:
            goodbye: What is typed to it.
        """
        if self._process.poll() is None:
            self.type(goodbye)
            try:
                self.ended(20.0)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(5.0)
        os.close(self._fd)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._fd, 65_536)
        except OSError:  # nobody holds the other end any more
            return False
        self._raw += chunk
        return bool(chunk)


def twice(pattern: re.Pattern[str], text: str) -> str | None:
    """What a live view says in the same words a second time; one frame may be cut by another program's word."""
    seen: set[str] = set()
    for found in pattern.findall(text):
        if found in seen:
            return str(found)
        seen.add(found)
    return None


class Follower:
    """Somebody with two terminals, in a directory.

    Args:
        directory: Of the source.
        environment: Of both terminals.
        say: Told what is typed and shown.
        start_s: How long the first terminal may take until it shows a password [s]; the first time it installs.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], say: Callable[[str], None], start_s: float
    ) -> None:
        self._directory, self._environment, self._say, self._start_s = directory, environment, say, start_s
        self._first: Terminal | None = None
        self._second = Terminal(["bash", "--noprofile", "--norc", "--noediting", "-i"], directory, environment)
        self._shown = ""
        self._password = ""

    def follow(self, page: str) -> None:
        """Do all that the page says.

        Raises:
            NotAsWrittenError: Something is not as the page says.
        """
        blocks = blocks_of(page)
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            if block.kind == "sh":
                wanted = after.body if after is not None and after.kind == "text" and not after.note else ""
                self._do(block, wanted)
            else:
                if block.note == "first terminal: Ctrl-C":
                    self._stop()
                if (line := missing(self._shown, block.body)) is not None:
                    raise NotAsWrittenError(
                        f"the page shows this, and nothing like it came: {line}\n{self._shown[-3000:]}"
                    )

    def close(self) -> None:
        """Leave nothing running."""
        self._second.close("exit\n")
        if self._first is not None:
            self._first.close(_CTRL_C)

    def _do(self, block: Block, wanted: str) -> None:
        self._say(f"$ {block.body}")
        if block.note == "first terminal":
            self._start(block.body)
            return
        deadline_s = time.monotonic() + 60.0
        while True:
            self._shown = self._type(block.body)
            if block.note != "until it shows this" or missing(self._shown, wanted) is None:
                break
            if time.monotonic() > deadline_s:
                break
        self._say(self._shown)

    def _start(self, command: str) -> None:
        self._first = Terminal(["bash", "--noprofile", "--norc", "-c", command], self._directory, self._environment)
        self._shown = self._first.wait(
            lambda text: all(twice(pattern, text) for pattern in (_PASSWORD, _API)),
            self._start_s,
            "a password and a URL",
        )
        self._password, api = twice(_PASSWORD, self._shown) or "", twice(_API, self._shown)
        if api != _USUAL_API:
            self._type(f"export DERMS_URL={api}")

    def _stop(self) -> None:
        assert self._first is not None, "the page presses a key in a terminal that does nothing"
        self._first.forget()
        self._first.type(_CTRL_C)
        code = self._first.ended(60.0)
        self._shown = self._first.text
        self._say(f"Ctrl-C\n{self._shown[-700:].strip()}")
        # make ends as its program was told to: by the signal.
        if code not in (0, -signal.SIGINT):
            raise NotAsWrittenError(f"the first terminal ended with {code}\n{self._shown[-3000:]}")

    def _type(self, command: str) -> str:
        """Type a command into the second terminal, and the password where it asks; what it shows."""
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
            script.write(command + "\n")
            script.flush()
            self._second.forget()
            # The mark is put together by printf, so that what is typed is not taken for what is answered.
            self._second.type(f" . {script.name}; printf '\\036%d\\036' $?\n")
            if re.search(r"^derms login", command, re.MULTILINE):
                self._second.wait(lambda text: "assword of" in text, 30.0, "the question for the password")
                self._second.type(self._password + "\n")
            text = self._second.wait(lambda text: text.count(_SEEN) == 2, 90.0, command)
        shown, code, _ = text.split(_SEEN)
        shown = shown.partition("$?\n")[2].lstrip("\n")
        if code != "0":
            raise NotAsWrittenError(f"exit code {code}: {command}\n{shown}")
        return shown


def environment_of(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What somebody has who never used derms: the machine's environment, and a home with nothing in it."""
    ours = ("DERMS_", "XDG_", "PYTEST_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHON", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    told = {"HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1", "DERMS_KEYRING": "0"}
    no_prompt = {"PS1": "", "VIRTUAL_ENV_DISABLE_PROMPT": "1"}
    return {**kept, **told, **no_prompt, **(more or {})}
