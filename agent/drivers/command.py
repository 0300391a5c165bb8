"""Two executables as a driver: one measures, one commands. For everything that has no driver of its own.

::

    read                      prints {"p_actual_kw": 1.5, "soc": 0.4, ...} on one line or more, and ends with 0
    apply 2.5 87.3            2.5 kW for at most 87.3 s (both also on stdin: {"p": 2.5, "seconds": 87.3})
    apply none none           not under command; until told otherwise

A program gets little: an environment of a few words, the configuration's directory, no open file of ours, a time after
which it and all its children are killed, and a bound on what it may print. What it prints is believed as little as
any message from outside.
"""

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.driver import Capabilities, Reading
from agent.drivers.options import CommandOptions
from agent.drivers.units import PowerWords
from derms.contract.strict import Refused, read_slowly
from derms.errors import ConfigError, DeviceError, DeviceFaultError
from derms.model import DeviceKind, DeviceStatus
from derms.ports import Clock

MAX_OUTPUT_BYTES = 64 * 1024
"""A program that prints more is killed."""
_RENEW_S = 1.0
"""A deadline that moved by less is not told again [s]."""
_INHERITED = ("PATH", "HOME", "LANG", "TZ")
_SHOWN = 200

_Power = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Energy = Annotated[float, Meta(ge=0, le=1_000_000)]


class _Printed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `read` prints; the names are those of telemetry on the wire."""

    p_actual_kw: _Power | UnsetType = UNSET
    p_actual_w: _Power | UnsetType = UNSET
    """One of them: the one that names the table's unit."""
    soc: Annotated[float, Meta(ge=0, le=1)] | None = None
    status: DeviceStatus = DeviceStatus.OK
    ready_by: Annotated[int, Meta(ge=1, le=253_402_300_799_999)] | None = None
    p_max_kw: _Energy | None = None
    capacity_kwh: _Energy | None = None
    energy_needed_kwh: _Energy | None = None


_DECODER = msgspec.json.Decoder(_Printed)


class CommandDriver:
    """Implements `agent.driver.Driver`.

    Args:
        options: Which programs.
        capabilities: By configuration.
        clock: Tells when `apply` is due again.
        directory: Where the programs run.

    Raises:
        ConfigError: A program is not there, or may not be run.
    """

    def __init__(self, options: CommandOptions, capabilities: Capabilities, *, clock: Clock, directory: Path) -> None:
        self._options = options
        self._capabilities = capabilities
        self._clock = clock
        self._directory = directory.resolve()
        self._words = PowerWords(options.unit, options.sign)
        self._environment = {key: os.environ[key] for key in _INHERITED if key in os.environ} | options.environment
        self._read = self._found(options.read, "read")
        self._apply = None if options.apply is None else self._found(options.apply, "apply")
        self._told: tuple[float | None, float, float] | None = None

    def capabilities(self) -> Capabilities:
        """By configuration."""
        return self._capabilities

    async def read(self) -> Reading:
        """Run the first program and believe what it prints, if that can be."""
        printed = _understood(await self._run(self._read, b""), self._read[0])
        in_words = {"kW": printed.p_actual_kw, "W": printed.p_actual_w}
        value = in_words.pop(self._options.unit)
        if value is UNSET or set(in_words.values()) != {UNSET}:
            raise DeviceFaultError(
                f"{self._read[0]} prints no power, or not in {self._options.unit}",
                why=f"the driver's table says unit = {self._options.unit!r}",
                next_step=f"let it print `p_actual_{self._options.unit.lower()}` and no other power",
            )
        return Reading(
            p_actual_kw=self._words.to_kw(value),
            soc=printed.soc,
            status=printed.status,
            ready_by_ms=printed.ready_by,
            p_max_kw=printed.p_max_kw,
            capacity_kwh=printed.capacity_kwh,
            energy_needed_kwh=printed.energy_needed_kwh,
        )

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        """Run the second program, when there is something new to tell or the last time is long ago."""
        now_s = self._clock.monotonic_s()
        if self._capabilities.kind in (DeviceKind.LOAD, DeviceKind.METER):
            return
        if self._apply is None:
            if p_kw is None:
                return
            raise DeviceFaultError(
                f"{self._read[0]} only measures", why="there is no `apply` in the driver's table", next_step="add it"
            )
        if self._told is not None:
            told_kw, deadline_s, at_s = self._told
            same_end = now_s + seconds == deadline_s or abs(now_s + seconds - deadline_s) < _RENEW_S
            if told_kw == p_kw and same_end and now_s - at_s < self._options.refresh_s:
                return
        self._told = None
        value = None if p_kw is None else self._words.from_kw(p_kw)
        span_s = None if math.isinf(seconds) else round(seconds, 3)
        words = ["none" if word is None else repr(word) for word in (value, span_s)]
        await self._run([*self._apply, *words], json.dumps({"p": value, "seconds": span_s}).encode() + b"\n")
        self._told = (p_kw, now_s + seconds, now_s)

    async def close(self) -> None:
        """Nothing runs between the verbs."""

    def _found(self, words: Sequence[str], key: str) -> list[str]:
        """The program's full path, and its arguments."""
        program = words[0]
        path = str(self._directory / program) if "/" in program else program
        full = shutil.which(path, path=self._environment.get("PATH"))
        if full is None:
            there = Path(path).is_file()
            raise ConfigError(
                f"driver: {key} = {program!r} cannot be run",
                why=f"{path} is not executable" if there else "there is no such program",
                next_step=f"chmod +x {path}" if there else "give its path, relative to the configuration's directory",
            )
        return [full, *words[1:]]

    async def _run(self, words: Sequence[str], given: bytes) -> bytes:
        """Run a program to its end.

        Returns:
            What it printed.

        Raises:
            DeviceError: It takes too long, or cannot be started.
            DeviceFaultError: It fails, or prints too much.
        """
        program, limit_s = words[0], self._options.timeout_s
        process = await _started(words, self._directory, self._environment)
        try:
            async with asyncio.timeout(limit_s):
                printed, complaint = await _talk(process, given)
                code = await process.wait()
        except TimeoutError as error:
            raise DeviceError(
                f"{program} does not end",
                why=f"it ran for more than timeout_s = {limit_s:g} s, or a child of it kept its output open",
                next_step="let it answer sooner, or raise timeout_s",
            ) from error
        finally:
            await _ended(process)
        if printed is None:
            raise DeviceFaultError(
                f"{program} prints more than {MAX_OUTPUT_BYTES} bytes",
                why="one JSON object is far smaller",
                next_step="let it print that alone",
            )
        if code != 0:
            last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing on stderr"]
            raise DeviceFaultError(
                f"{program} failed with {f'signal {-code}' if code < 0 else f'exit code {code}'}",
                why="".join(c for c in last[0] if c.isprintable())[:_SHOWN],
                next_step="run it by hand",
            )
        return printed


async def _started(words: Sequence[str], directory: Path, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=directory,
            env=environment,
            start_new_session=True,  # its children are in its group, and can be ended with it
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # asyncio itself waits for ever when it is cancelled in the middle of this; it takes milliseconds
        await _ended(await starting)
        raise
    except OSError as error:
        raise DeviceError(
            f"{words[0]} cannot be started", why=error.strerror or str(error), next_step="check that it is there"
        ) from error


async def _talk(process: asyncio.subprocess.Process, given: bytes) -> tuple[bytes | None, bytes]:
    """Give and take; the output is None when there was too much of it."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(OSError):
        process.stdin.write(given)
        await process.stdin.drain()
    process.stdin.close()
    async with asyncio.TaskGroup() as group:
        complaining = group.create_task(_drained(process.stderr, lambda: None))
        printed, whole = await _drained(process.stdout, lambda: _kill(process))
    complaint, _ = complaining.result()
    return printed if whole else None, complaint


async def _drained(stream: asyncio.StreamReader, flooded: Callable[[], None]) -> tuple[bytes, bool]:
    """Read a stream to its end and keep the beginning; call `flooded` when that is not all."""
    kept, whole = b"", True
    while part := await stream.read(8192):
        if whole and len(kept) + len(part) > MAX_OUTPUT_BYTES:
            whole = False
            flooded()
        if whole:
            kept += part
    return kept, whole


async def _ended(process: asyncio.subprocess.Process) -> None:
    """See to it that nothing is left of a run, also when it was cancelled."""
    _kill(process)
    # asyncio waits for the pipes too, which a child that left the group may hold for ever
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]  # there is no public way
    transport.close()
    await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    # The group outlives its leader while a member does, and so does its number.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _understood(raw: bytes, program: str) -> _Printed:
    try:
        read_slowly(raw)  # refuses what msgspec would let pass, such as a key that stands twice
        return _DECODER.decode(raw)
    except (Refused, msgspec.DecodeError) as error:
        shown = "".join(c for c in raw.decode(errors="replace")[:60] if c.isprintable())
        raise DeviceFaultError(
            f"{program} prints {shown!r}" if shown else f"{program} prints nothing",
            why=str(error)[:_SHOWN],
            next_step='let it print one JSON object such as {"p_actual_kw": 1.5}',
        ) from error
