"""What `derms doctor` looks at, one function a question. Each finds out for itself and never fails."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from derms.cli.run import Run
from derms.errors import AccessError, BrokerError, ConfigError, DermsError

if TYPE_CHECKING:
    from derms.client.health import Seen
    from derms.settings import Settings

_SKEW_WARN_S, _SKEW_FAIL_S = 2.0, 60.0
"""Beyond the first, what is shown is off; beyond the second, telemetry and tokens are refused for their time."""
_CERTIFICATE_DAYS = 30
_DISK_WARN, _DISK_FAIL = 1 << 30, 100 << 20
"""Free bytes."""
_SMALLEST = (80, 24)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class State(StrEnum):
    """How it is."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    name: str
    state: State
    detail: str
    next_step: str = ""
    """What to do; nothing where it is well."""


def _ok(name: str, detail: str) -> Check:
    return Check(name=name, state=State.OK, detail=detail)


def _failed(name: str, error: DermsError) -> Check:
    return Check(name=name, state=State.FAIL, detail="; ".join(filter(None, (error.what, error.why))),
                 next_step=error.next_step)  # fmt: skip


def configuration() -> "tuple[list[Check], Settings | None]":
    """The daemon's settings on this machine: what `derms serve` would refuse, and the settings where it is nothing."""
    from derms.settings import Settings
    from derms.settings_load import examine
    from derms.start_checks import refusals

    try:
        found = examine()
        wrong = [str(one) for one in (refusals(found) if isinstance(found, Settings) else found)]
    except ConfigError as error:
        return [_failed("configuration", error)], None
    if wrong or not isinstance(found, Settings):
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        check = Check(
            name="configuration",
            state=State.FAIL,
            detail=wrong[0] + more,
            next_step="see all of it with `derms config check`",
        )
        return [check], found if isinstance(found, Settings) else None
    return [_ok("configuration", "`derms serve` would refuse none of the settings here")], found


async def controller(run: Run) -> AsyncIterator[Check]:
    """The API, its certificate, clock, release and parts, and the login; ends where it does not answer."""
    try:
        async with run.client(anonymous=True) as client:
            asked = datetime.now(UTC)
            seen = await client.seen()
            answered = datetime.now(UTC)
            health = seen.health
            yield _ok("api", f"{run.context.url} answers, up for {_span(health.uptime_s)}")
            yield await _tls(run, client.certificate_until)
    except DermsError as error:
        yield _failed("tls" if "not trusted" in error.what else "api", error)
        return
    yield clock(seen, asked, answered)
    yield release(health.version)
    for name, one in health.parts.items():
        yield part(name, one.state.value, one.age_s, one.detail)
    yield await _login(run)


async def _tls(run: Run, until: Callable[[], Awaitable[datetime | None]]) -> Check:
    where = urlsplit(run.context.url)
    if where.scheme != "https":
        if where.hostname in _LOOPBACK:
            return _ok("tls", "plain HTTP, which does not leave this machine")
        return Check(
            name="tls",
            state=State.WARN,
            detail=f"{where.hostname} is spoken to in plain HTTP: whoever is on the way reads passwords and tokens",
            next_step="set DERMS_API_TLS_CERT_FILE and DERMS_API_TLS_KEY_FILE there, and use https here",
        )
    try:
        ends = await until()
    except OSError as error:
        return Check(name="tls", state=State.WARN, detail=str(error), next_step="look at the server's certificate")
    if ends is None:
        return _ok("tls", "the certificate is trusted")
    days = (ends - datetime.now(UTC)).days
    if days < _CERTIFICATE_DAYS:
        return Check(
            name="tls",
            state=State.WARN,
            detail=f"the certificate ends in {days} days, {run.local(ends)}",
            next_step="renew it, and restart the controller",
        )
    return _ok("tls", f"the certificate is trusted, and good for {days} days more")


def clock(seen: "Seen", asked: datetime, answered: datetime) -> Check:
    """Whether the server's clock and this one agree; by this one it was asked and had answered then."""
    if seen.said_at is None:
        return Check(name="clock", state=State.WARN, detail="the server does not say what time it is",
                     next_step="look at what stands between it and here")  # fmt: skip
    # Its clock is told to the second, so that an answer may be a second older than it was given.
    early = (seen.said_at - answered).total_seconds()
    late = (asked - seen.said_at).total_seconds() - 1.0
    skew_s = max(early, late, 0.0)
    if skew_s < _SKEW_WARN_S:
        return _ok("clock", "the server's clock and this one agree")
    ahead = "ahead of" if early > late else "behind"
    return Check(
        name="clock",
        state=State.FAIL if skew_s >= _SKEW_FAIL_S else State.WARN,
        detail=f"the server's clock is {skew_s:.0f} s {ahead} this one",
        next_step="let both machines keep their time by NTP (`timedatectl set-ntp true`)",
    )


def release(served: str) -> Check:
    """Whether the server is of this program's release."""
    from derms import __version__

    if served == __version__:
        return _ok("version", f"{served}, here and there")
    return Check(
        name="version",
        state=State.WARN,
        detail=f"the controller is {served}, this program {__version__}",
        next_step="install the same release on both",
    )


def part(name: str, state: str, age_s: float, detail: str) -> Check:
    """How a part of the controller says it does, and for how long [s]."""
    told = f"the controller's {name} is {state}{': ' + detail if detail else ''}"
    if state == "ok":
        return _ok(name, told)
    return Check(
        name=name,
        state=State.WARN if state == "starting" else State.FAIL,
        detail=f"{told}, for {_span(age_s)}",
        next_step="wait a moment" if state == "starting" else "see the controller's log, and docs/operations.md",
    )


async def _login(run: Run) -> Check:
    if run.tokens() is None and not os.environ.get("DERMS_TOKEN"):
        return Check(name="login", state=State.WARN, detail=f"nobody is logged in to {run.context.url}",
                     next_step="run `derms login`")  # fmt: skip
    try:
        async with run.client() as client:
            me = await client.me()
    except AccessError as error:
        return Check(name="login", state=State.FAIL, detail=error.what, next_step="run `derms login`")
    except DermsError as error:
        return _failed("login", error)
    return _ok("login", f"{me.username}, {me.role.value}, good until {run.local(me.expires_at)}")


async def broker(settings: "Settings", timeout_s: float) -> Check:
    """Whether the broker of the settings lets us in; as a client of its own, so that nobody is thrown out."""
    import random
    import secrets

    from derms.mqtt import MqttLink, TlsFiles
    from derms.serve.access import address_of

    assert settings.mqtt_url is not None
    try:
        address = address_of(settings, settings.mqtt_url)
        link = MqttLink(
            address,
            client_id=f"derms-doctor-{secrets.token_hex(4)}",
            rng=random.Random(),
            tls=TlsFiles(
                ca_file=settings.mqtt_ca_file, cert_file=settings.mqtt_cert_file, key_file=settings.mqtt_key_file
            ),
            connect_timeout_s=timeout_s,
            log_changes=False,
        )
        async with link:
            await link.wait_connected(timeout_s)
    except (BrokerError, ConfigError) as error:
        return _failed("broker", error)
    return _ok("broker", f"{address} lets us in")


def machine(run: Run, settings: "Settings | None") -> Iterator[Check]:
    """The terminal, and the disk."""
    terminal = run.terminal
    told = f"{'UTF-8' if terminal.unicode else 'ASCII alone'}, {'colours' if terminal.colour else 'no colours'}"
    size = shutil.get_terminal_size()
    if not terminal.looks:
        yield _ok("terminal", f"stdout is none; {told}, nothing is cut")
    elif size.columns < _SMALLEST[0] or size.lines < _SMALLEST[1]:
        yield Check(
            name="terminal",
            state=State.WARN,
            detail=f"{size.columns}x{size.lines}, {told}",
            next_step=f"make it {_SMALLEST[0]}x{_SMALLEST[1]} at least",
        )
    elif not terminal.unicode and not run.shared.ascii:
        yield Check(
            name="terminal",
            state=State.WARN,
            detail=f"{size.columns}x{size.lines}, {told}",
            next_step="set LANG to a UTF-8 locale such as C.UTF-8",
        )
    else:
        yield _ok("terminal", f"{size.columns}x{size.lines}, {told}")
    if settings is not None:
        yield disk(settings.state_dir)


def disk(directory: Path) -> Check:
    """Whether there is room where the directory is, or will be."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(name="disk", state=State.FAIL, detail=str(error), next_step="correct DERMS_STATE_DIR")
    told = f"{free / 1e9:.1f} GB free for the state directory {directory}"
    if free >= _DISK_WARN:
        return _ok("disk", told)
    return Check(
        name="disk",
        state=State.WARN if free >= _DISK_FAIL else State.FAIL,
        detail=told,
        next_step="make room, or set DERMS_STATE_DIR to a larger file system",
    )


def _span(seconds: float) -> str:
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
