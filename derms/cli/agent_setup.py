"""`derms agent init` and `derms agent check`: from a bare machine to an agent that is known to work."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derms.cli.terminal import Terminal, here, printable
from derms.errors import UsageError

if TYPE_CHECKING:
    from agent.config import AgentConfig
    from agent.findings import Finding

CONFIG = Path("/etc/derms/agent.json")
"""Where the service expects it."""
_KINDS = ("pv", "battery", "ev", "load", "meter")
_ConfigOption = Annotated[Path, typer.Option(help="The agent's configuration, a JSON file.")]


def init(
    config: _ConfigOption = CONFIG,
    credentials: Annotated[
        Path | None, typer.Option(help="What `derms agent enroll --out` wrote: name, login, broker.")
    ] = None,
    device_id: Annotated[str | None, typer.Option(help="The device's name.")] = None,
    device_type: Annotated[str | None, typer.Option("--type", help="pv, battery, ev, load or meter.")] = None,
    broker: Annotated[str | None, typer.Option(help="The broker, mqtts://host:8883 or mqtt://host:1883.")] = None,
    username: Annotated[str | None, typer.Option(help="At the broker; the device's name.")] = None,
    password_from: Annotated[
        Path | None, typer.Option(help="A file with the password; also DERMS_AGENT_PASSWORD in the environment.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Whom to trust, where the system does not.")] = None,
    cert_file: Annotated[Path | None, typer.Option(help="The client certificate.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    p_max_kw: Annotated[float | None, typer.Option(help="The rating [kW].")] = None,
    min_power_kw: Annotated[float | None, typer.Option(help="The smallest charging power [kW].")] = None,
    capacity_kwh: Annotated[float | None, typer.Option(help="Of a battery or car [kWh].")] = None,
    default_power_kw: Annotated[float | None, typer.Option(help="Without a lease [kW], import positive.")] = None,
    driver: Annotated[str | None, typer.Option(help="simulated, sunspec, modbus or command.")] = None,
    driver_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE for the driver; may be repeated.")] = None,
    dialect: Annotated[str | None, typer.Option(help="v1, plain or envelope.")] = None,
    site: Annotated[str | None, typer.Option(help="Where the device says it is.")] = None,
    ha_discovery: Annotated[bool, typer.Option("--ha-discovery", help="Tell Home Assistant of the device.")] = False,
    no_input: Annotated[bool, typer.Option("--no-input", help="Never ask; fail instead.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Replace a configuration that is there.")] = False,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Try it afterwards.")] = True,
) -> int:
    r"""Write an agent's configuration, asking for what is not given, and check it.

    \b
    Examples:
      derms agent init --credentials pi-batt-1.json --type battery --p-max-kw 5
      derms agent init --type pv --driver sunspec --driver-option host=192.168.1.20
    """
    from agent import setup

    setup.refuse_to_replace(config, replace=yes)
    keys: dict[str, Any] = {} if credentials is None else dict(setup.read_credentials(credentials))
    given = {
        "device_id": device_id, "device_type": device_type, "broker_url": broker, "username": username,
        "password": _password(password_from), "tls_ca_file": _absolute(ca_file),
        "tls_cert_file": _absolute(cert_file), "tls_key_file": _absolute(key_file), "p_max_kw": p_max_kw,
        "min_power_kw": min_power_kw, "capacity_kwh": capacity_kwh, "default_power_kw": default_power_kw,
        "dialect": dialect, "site_id": site, "ha_discovery": ha_discovery or None,
    }  # fmt: skip
    keys |= {key: value for key, value in given.items() if value is not None}
    terminal = here(no_input=no_input)
    asks = terminal.asks
    _ask_for_the_rest(keys, asks=asks, name=setup.device_name())
    if driver is None and asks:
        driver = typer.prompt("Driver (simulated, sunspec, modbus, command)", default="simulated", err=True)
    if driver is not None:
        keys["driver"] = setup.driver_table(driver, _driver_words(driver, driver_option or [], asks=asks))
    elif driver_option:
        raise UsageError("--driver-option without --driver", why="it belongs to one", next_step="name the driver")
    checked = setup.write_config(config, keys, replace=yes)
    typer.echo(f"wrote {config}", err=True)
    if not check:
        typer.echo(f"next: derms agent check --config {config}", err=True)
        return 0
    return _run_check(checked, config, terminal, as_json=False)


def check(
    config: _ConfigOption = CONFIG,
    output: Annotated[str, typer.Option("-o", "--output", help="text or json.")] = "text",
    wait: Annotated[float, typer.Option(help="For a controller's heartbeat [s].", min=0.0, max=120.0)] = 12.0,
) -> int:
    r"""Try an agent's broker, login, rights, clock and device, and say what is wrong.

    The exit code is 0 where nothing failed, else that of the first thing that did: 2 configuration, 4 login or
    rights, 6 broker or device, 7 clock.

    \b
    Examples:
      derms agent check
      derms agent check --config agent.json -o json
    """
    from agent.config import load_config

    if output not in ("text", "json"):
        raise UsageError(f"-o {output}", why="it is text or json")
    return _run_check(load_config(config), config, here(), as_json=output == "json", wait_s=wait)


def _run_check(
    config: "AgentConfig", path: Path, terminal: Terminal, *, as_json: bool, wait_s: float | None = None
) -> int:
    from agent.check import HEARTBEAT_S, check_agent
    from derms.cli.output import exit_code_for
    from derms.log import configure_logging
    from derms.runtime import SystemClock

    configure_logging(level="error")

    def tell(finding: "Finding") -> None:
        if not as_json:
            sys.stdout.write(printable(_line(finding), terminal) + "\n")
            sys.stdout.flush()

    findings = asyncio.run(
        check_agent(
            config, path=path, environment=os.environ, clock=SystemClock(), rng=random.Random(), tell=tell,
            heartbeat_s=HEARTBEAT_S if wait_s is None else wait_s,
        )
    )  # fmt: skip
    errors = [finding.error for finding in findings if finding.error is not None]
    if as_json:
        sys.stdout.write(json.dumps(_as_tree(config, path, findings)) + "\n")
    return int(exit_code_for(errors[0])) if errors else 0


def _line(finding: "Finding") -> str:
    line = f"{finding.state.value:8}{finding.name:14}{finding.detail}"
    return line if not finding.next_step else f"{line}\n{'':22}-> {finding.next_step}"


def _as_tree(config: "AgentConfig", path: Path, findings: list["Finding"]) -> dict[str, Any]:
    return {
        "ok": all(finding.error is None for finding in findings),
        "config": str(path),
        "device_id": config.device_id,
        "checks": [
            {
                "name": finding.name,
                "state": finding.state.value,
                "detail": finding.detail,
                "next_step": finding.next_step or None,
                "code": None if finding.error is None else finding.error.code,
            }
            for finding in findings
        ],
    }


def _ask_for_the_rest(keys: dict[str, Any], *, asks: bool, name: str) -> None:
    """What an agent cannot do without, and what most have."""
    missing = [key for key in ("device_id", "device_type") if key not in keys]
    if missing and not asks:
        flags = " and ".join({"device_id": "--device-id", "device_type": "--type"}[key] for key in missing)
        raise UsageError(f"{flags} missing", why="nobody can be asked here", next_step=f"give {flags}")
    if not asks:
        return

    def ask(key: str, question: str, **how: Any) -> None:
        if key not in keys:
            answer = typer.prompt(question, err=True, **how)
            if answer != "":
                keys[key] = answer

    ask("device_id", "Name of the device", default=name)
    ask("device_type", f"Type ({', '.join(_KINDS)})", value_proc=_one_of(_KINDS))
    ask("broker_url", "Broker", default="mqtt://127.0.0.1:1883")
    login = "@" in keys.get("broker_url", "") or "tls_cert_file" in keys
    if not login and "username" not in keys:
        ask("username", "User name at the broker (empty: none)", default="", show_default=False)
    if "username" in keys:
        ask("password", "Password", hide_input=True, default="", show_default=False)
    ask("p_max_kw", "Rating [kW]", type=float, default=5.0)
    if keys["device_type"] in ("battery", "ev"):
        ask("capacity_kwh", "Capacity [kWh]", type=float, default=10.0 if keys["device_type"] == "battery" else 60.0)


def _driver_words(kind: str, words: list[str], *, asks: bool) -> list[str]:
    """The driver's options, asking for the one that it cannot do without."""
    needed = {"sunspec": ("host", "Address of the inverter"), "modbus": ("map", "Register map (YAML)")}
    if not asks or words:
        return words
    questions = [needed[kind]] if kind in needed else []
    if kind == "modbus":
        questions.append(("host", "Address of the device"))
    return [f"{key}={json.dumps(typer.prompt(question, err=True))}" for key, question in questions]


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        if text not in allowed:
            raise typer.BadParameter(f"one of {', '.join(allowed)}")
        return text

    return chosen


def _password(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("DERMS_AGENT_PASSWORD") or None
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}", why=str(error), next_step="name a file with the password") from error


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
