"""The control center as a user has it: the real program in a real terminal, against a real `serve` and `sim run`."""

import asyncio
import contextlib
import os
import pty
import re
import secrets
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from derms.store.embedded import EmbeddedPostgres
from tests.processes import OPERATOR, PASSWORD, ROOT, Daemon, Programs, children_of, eventually, running_programs
from tests.stage import Backstage, Broker, fresh_database

_TMUX = shutil.which("tmux")
_COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


@dataclass(slots=True)
class Plant:
    """A feeder whose controller can be killed and started again where it was."""

    programs: Programs
    daemon: Daemon
    settings: dict[str, object]
    home: Path

    def restart(self) -> None:
        port = self.daemon.api.rsplit(":", 1)[1]
        self.daemon = self.programs.serve(**self.settings, api_port=port)
        self.daemon.wait_logged("The controller runs")

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever watches it; nothing of this process's own."""
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", "TZ": "UTC",
            "DERMS_URL": self.daemon.api,
            **{f"XDG_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")},
        }  # fmt: skip

    def log_in(self) -> None:
        """As `derms login` does."""
        subprocess.run(
            [sys.executable, "-m", "derms", "login", OPERATOR, "--password-stdin"], input=PASSWORD + "\n", text=True,
            env=self.environment, check=True, capture_output=True, timeout=60.0,
        )  # fmt: skip


@pytest.fixture(scope="module")
def plant(
    backstage: Backstage, postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Plant]:
    directory = tmp_path_factory.mktemp("tui")
    with contextlib.ExitStack() as exits:
        broker = Broker(backstage, directory / "broker")
        exits.callback(broker.stop)
        url = exits.enter_context(fresh_database(postgres_server.url))
        programs = exits.enter_context(running_programs(directory / "programs"))
        settings: dict[str, object] = {
            "mqtt_url": broker.url, "database_url": url, "feeder_import_limit_kw": 60,
            "jwt_secret": secrets.token_hex(32),
        }  # fmt: skip
        daemon = programs.serve(**settings)
        daemon.wait_logged("The controller runs")
        programs.derms("sim", "run", "--mqtt-url", broker.url, "--devices", 12, "--interval", 0.5, "--speed", 20)
        home = directory / "home"
        home.mkdir()
        yield Plant(programs, daemon, settings, home)


class Tmux:
    """A terminal of its own, on a server of its own."""

    def __init__(self, directory: Path, environment: dict[str, str], *, term: str = "tmux-256color") -> None:
        assert _TMUX is not None
        self._base = [_TMUX, "-S", str(directory / "tmux"), "-f", "/dev/null"]
        self._environment = {**environment, "TERM": term}
        self.after = directory / "after"

    def _do(self, *arguments: str) -> str:
        return subprocess.run(
            [*self._base, *arguments], env=self._environment, check=True, capture_output=True, text=True, timeout=20.0
        ).stdout

    def start(self, *options: str, width: int = 100, height: int = 32) -> None:
        """Run `derms tui` in a shell that tells how the terminal was before and after."""
        derms = shlex.join([sys.executable, "-m", "derms", "tui", *options])
        shell = f"stty -a > {self.after}.before; {derms}; echo rc=$?; stty -a > {self.after}; exec sleep 600"
        self._do("new-session", "-d", "-x", str(width), "-y", str(height), "sh", "-c", shell)

    def keys(self, *keys: str) -> None:
        self._do("send-keys", *keys)

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", text)

    @property
    def screen(self) -> str:
        return self._do("capture-pane", "-p")

    @property
    def pane_pid(self) -> int:
        return int(self._do("display-message", "-p", "#{pane_pid}"))

    def resize(self, width: int, height: int) -> None:
        self._do("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, *texts: str, timeout_s: float = 40.0) -> str:
        """Wait until all of these are on the screen."""
        seen = [""]

        def look() -> bool:
            seen[0] = self.screen
            return all(text in seen[0] for text in texts)

        try:
            eventually(look, f"{texts} on the screen", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{seen[0]}") from error
        return seen[0]

    def gone(self, text: str) -> None:
        """Wait until this is not on the screen any more; escape and the next key would be one, sent together."""
        eventually(lambda: text not in self.screen, f"the end of {text!r}", 40.0)

    def restored(self, code: int) -> None:
        """The program has ended, and left the terminal as it was."""
        self.wait(f"rc={code}")
        eventually(self.after.exists, "the terminal's settings afterwards")
        before = _settings(self.after.with_name(self.after.name + ".before"))
        eventually(lambda: _settings(self.after) == before, "the terminal as it was")
        assert self._do("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}").split() == [
            "0", "1", "0",
        ]  # fmt: skip

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._do("kill-server")


def _settings(path: Path) -> str:
    """What `stty -a` says, without the size, which the test itself changes."""
    return re.sub(r"rows \d+; columns \d+;", "", path.read_text())


@pytest.fixture
def tmux(plant: Plant, tmp_path: Path) -> Iterator[Tmux]:
    if _TMUX is None:
        pytest.skip("there is no tmux to look through")
    terminal = Tmux(tmp_path, plant.environment)
    yield terminal
    terminal.close()


def test_an_engineer_logs_in_filters_makes_an_event_and_outlives_the_controller(plant: Plant, tmux: Tmux) -> None:
    tmux.start()
    tmux.wait("control center", "password")
    tmux.type(OPERATOR)
    tmux.keys("Enter")
    tmux.type(PASSWORD)
    tmux.keys("Enter")
    tmux.wait("live", "opal (operator)", "feeder-1", "Last 30 minutes")

    tmux.keys("2")
    tmux.wait("device", "12 devices")
    tmux.keys("/")
    tmux.type("type:ev soc<2")
    tmux.wait(" of 12", "/type:ev soc<2")
    tmux.keys("Escape")
    tmux.wait("12 devices")
    tmux.keys("?")
    tmux.wait("filter while you write", "half a page down")
    tmux.keys("Escape")
    tmux.gone("half a page down")
    tmux.keys(":")
    tmux.wait("Search for commands")
    tmux.type("export")
    tmux.wait("CSV")
    tmux.keys("Escape")
    tmux.gone("CSV")

    tmux.keys("4")
    tmux.wait("Timeline")
    tmux.keys("n")
    tmux.wait("New demand-response event", "default", "feeder-1")
    tmux.keys("Down")
    tmux.type("45")
    tmux.keys("Enter")
    tmux.wait("Create this event?", "import at most 45 kW", "context", "feeder")
    assert plant.daemon.ask("/api/events")["events"] == []
    tmux.keys("y")
    tmux.wait("import 45 kW", "active", "Outcome of")
    assert plant.daemon.ask("/api/events")["events"][0]["import_limit_kw"] == 45.0

    plant.daemon.kill()
    tmux.wait("reconnecting", "old")
    tmux.keys("1")
    tmux.wait("Last 30 minutes", "reconnecting")
    plant.restart()
    tmux.keys("C-r")
    tmux.wait("● live", "45.0 kW by DR event")
    tmux.keys("7")
    tmux.wait("the connection broke", "connected to")

    for width, height in ((40, 10), (80, 24), (61, 19), (200, 50), (40, 10)):
        tmux.resize(width, height)
    tmux.wait("40x10 is too small")
    tmux.resize(80, 24)
    tmux.wait("the connection broke")
    tmux.keys("q")
    tmux.restored(0)


def test_the_terminal_is_given_back_after_sigterm_and_ctrl_c(plant: Plant, tmux: Tmux, tmp_path: Path) -> None:
    plant.log_in()
    tmux.start("--reset-ui")
    tmux.wait("live", "feeder-1")
    program = next(pid for pid, name in children_of(tmux.pane_pid).items() if name.startswith("python"))
    os.kill(program, signal.SIGTERM)
    tmux.restored(128 + signal.SIGTERM)
    tmux.close()
    (tmp_path / "other").mkdir()
    other = Tmux(tmp_path / "other", plant.environment, term="screen")
    try:
        other.start("--reset-ui")
        other.wait("live", "feeder-1")
        other.keys("C-c")
        other.restored(0)
    finally:
        other.close()


def written(plant: Plant, *options: str, until: bytes, keys: bytes = b"", **environment: str) -> bytes:
    """What the program writes to a terminal of 80x24 until this is there, some keys later, and `q`."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "derms", "tui", *options], stdin=slave, stdout=slave, stderr=slave,
        env={**plant.environment, **environment}, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    data = b""
    waiting = [until, *([] if not keys else [b"Timeline"])]
    deadline_s = time.monotonic() + 60.0
    try:
        while process.poll() is None:
            assert time.monotonic() < deadline_s, data[-2000:]
            if not select.select([master], [], [], 0.5)[0]:
                continue
            try:
                data += os.read(master, 1 << 16)
            except OSError:
                break
            if waiting and waiting[0] in data:
                waiting.pop(0)
                os.write(master, keys if waiting else b"q")
        assert process.wait(10.0) == 0
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait()
    return data


def test_a_terminal_without_unicode_and_colour_is_sent_neither(plant: Plant) -> None:
    plant.log_in()
    data = written(plant, "--reset-ui", until=b"feeder-1", keys=b"23564", LANG="C", NO_COLOR="1", TERM="xterm")
    assert data.isascii(), {bytes(data[at - 20 : at + 20]) for at, byte in enumerate(data) if byte >= 0x80}
    assert not _COLOUR.search(data)
    assert b"\x1b[?1049l" in data
    old = written(plant, "--reset-ui", "--ascii", until=b"feeder-1", TERM="vt100")
    assert all(byte < 0x80 for byte in old)
    assert not _COLOUR.search(old)


def test_a_terminal_with_colour_is_sent_colours_and_the_mouse_is_asked_for_unless_refused(plant: Plant) -> None:
    plant.log_in()
    data = written(plant, "--reset-ui", until=b"feeder-1", TERM="linux")
    assert _COLOUR.search(data)
    assert b"\x1b[?1000h" in data
    assert b"\x1b[?1000h" not in written(plant, "--reset-ui", "--no-mouse", until=b"feeder-1", TERM="xterm-256color")


def test_lines_tell_the_same_without_any_drawing(plant: Plant) -> None:
    plant.log_in()
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "derms", "tui", "--plain"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**plant.environment, "LANG": "C"}, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if "logged in as" in line:
                    process.stdin.write("status\ndevices type:ev\nnonsense\nquit\n")
                    process.stdin.flush()
            assert process.wait(20.0) == 0
        finally:
            process.kill()
    text = "".join(lines)
    assert text.isascii()
    assert "\x1b" not in text
    assert re.search("feeder-1: (import|export) [0-9.]+ kW, ", text)
    for words in ("connection: live", "devices", "'nonsense' is not known"):
        assert words in text


class Page:
    """`derms tui --web`, and where it is."""

    def __init__(self, plant: Plant, directory: Path) -> None:
        path = directory / "web.stderr"
        with path.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "derms", "tui", "--web", "--port", "0"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=err, env=plant.environment, start_new_session=True,
            )  # fmt: skip
        try:
            said = eventually(
                lambda: re.search(r"at (http://127\.0\.0\.1:\d+)", path.read_text()), "where the page is", 60.0
            )
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
        assert said is not None
        self.url = said[1]

    def close(self) -> None:
        self.process.terminate()
        try:
            assert self.process.wait(20.0) == 0
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def page(plant: Plant, tmp_path: Path) -> Iterator[Page]:
    plant.log_in()  # which must be of no use to a browser
    page = Page(plant, tmp_path)
    yield page
    page.close()


async def test_a_browser_meets_the_login_and_other_sites_meet_nothing(page: Page) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(page.url) as answer:
            text = await answer.text()
            assert answer.status == 200
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert {host.split(":")[0] for host in re.findall(r"https?://([^/\"]+)", text)} <= {"127.0.0.1"}
        async with session.get(page.url, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{page.url}/ws", headers={"Origin": "http://evil.example"})
        async with session.ws_connect(f"{page.url}/ws?width=90&height=30") as socket:
            seen = b""
            async with asyncio.timeout(60.0):
                while b"password" not in seen:
                    seen += (await socket.receive()).data or b""
        assert b"control center" in seen
        assert b"Last 30 minutes" not in seen
        assert PASSWORD.encode() not in seen


def test_chromium_opens_the_page(page: Page, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium to open it with")
    browser = subprocess.Popen(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--remote-debugging-port=0", page.url],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        # The page's script has run, and its socket has started a program of its own.
        eventually(lambda: children_of(page.process.pid), "the page's program", 60.0)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait(10.0)
    eventually(lambda: not children_of(page.process.pid), "the end of the page's program", 40.0)
