"""The development loop: broker and database stay up, the controller and a simulated feeder start anew with the code.

`make dev`, until Ctrl-C. A file that does not compile is shown, and what runs goes on; a process that ends by itself is
shown too, and starts again with the next change. Broker, database and state lie in the directory that is named.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from watchfiles import PythonFilter, awatch

ROOT = Path(__file__).resolve().parent.parent
WATCHED = ("derms", "agent", "sim")
_SETTLE_MS = 150
"""Files that are written within this of each other are one change [ms]."""
_LOOK_MS = 50
_END_S = 10.0


def say(text: str) -> None:
    """Tell the developer."""
    sys.stdout.write(f"dev: {text}\n")
    sys.stdout.flush()


def faults(paths: Iterable[Path]) -> list[str]:
    """What keeps changed files from being compiled; files that are gone keep nothing."""
    found = []
    for path in sorted(paths):
        try:
            compile(path.read_bytes(), str(path), "exec")
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            found.append(f"{path.relative_to(ROOT)}:{line or '?'}: {error}")
        except OSError:
            continue
    return found


class Program:
    """One `derms ...` that is started anew.

    Args:
        words: Behind `derms`.
        environment: Its whole environment.
    """

    def __init__(self, words: list[str], environment: Mapping[str, str]) -> None:
        self._words, self._environment = words, dict(environment)
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C is for this loop, which ends it by its id."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "derms", *self._words, cwd=ROOT, env=self._environment, start_new_session=True
        )
        say(f"derms {self._words[0]} is process {self._process.pid}")
        self._watch = asyncio.create_task(self._told(self._process))

    async def _told(self, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        say(f"derms {self._words[0]} has ended with {code}; it starts again with the next change")

    async def end(self) -> None:
        """End it, whatever it takes."""
        if self._watch is not None:
            self._watch.cancel()
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def follow(programs: list[Program], stop: asyncio.Event) -> None:
    """Start them, and again with every change of the code that compiles."""
    try:
        await asyncio.gather(*(program.start() for program in programs))
        changes = awatch(
            *(ROOT / name for name in WATCHED), watch_filter=PythonFilter(), debounce=_SETTLE_MS, step=_LOOK_MS,
            stop_event=stop,
        )  # fmt: skip
        async for change in changes:
            paths = {Path(path) for _, path in change}
            names = ", ".join(sorted(str(path.relative_to(ROOT)) for path in paths)[:3])
            if wrong := faults(paths):
                say("\n     ".join([f"{names} has changed, and what ran goes on:", *wrong]))
                continue
            say(f"{names} has changed")
            await asyncio.gather(*(program.end() for program in programs))
            await asyncio.gather(*(program.start() for program in programs))
    finally:
        await asyncio.gather(*(program.end() for program in programs))


async def loop(directory: Path, *, api_port: int, devices: int) -> None:
    """Run everything until SIGINT or SIGTERM."""
    # What stays up must not change under it: it is loaded once, here.
    from derms.broker import EmbeddedBroker
    from derms.store.embedded import EmbeddedPostgres

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    password = secrets.token_urlsafe(12)
    async with EmbeddedPostgres(directory / "postgres") as database, EmbeddedBroker(directory / "broker") as broker:
        told = {
            "DERMS_DATABASE_URL": database.url, "DERMS_MQTT_URL": broker.url,
            "DERMS_STATE_DIR": str(directory / "state"),
            "DERMS_API_PORT": str(api_port), "DERMS_CONTROL_INTERVAL_S": "1", "DERMS_LEASE_S": "10",
            "DERMS_FEEDER_IMPORT_LIMIT_KW": "60", "PYTHONUNBUFFERED": "1",
            "DERMS_AUTH_USERS": f'[{{"username": "dev", "password": "{password}", "role": "admin"}}]',
        }  # fmt: skip
        environment = {**told, **os.environ, "PYTHONPATH": str(ROOT)}
        serve = Program(["serve"], environment)
        sim = Program(["sim", "run", "--mqtt-url", broker.url, "--devices", str(devices), "--interval", "1"],
                      environment)  # fmt: skip
        say(f"log in as dev, password {password}; broker {broker.url}; database {database.url}")
        await follow([serve, sim], stop)
    say("everything has ended")


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="Where broker, database and state lie; made when missing.")
    parser.add_argument("--api-port", type=int, default=8080, help="Of the controller; 0: one that is free.")
    parser.add_argument("--devices", type=int, default=20, help="Simulated ones.")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(loop(options.directory.absolute(), api_port=options.api_port, devices=options.devices))


if __name__ == "__main__":
    main()
