"""`derms agent enroll`: credentials for a device, on the broker's machine."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from derms.errors import ConfigError, UsageError

PASSWORD_FILE = Path("/etc/mosquitto/derms.passwords")
AUTHORITY = Path("/etc/derms/authority")


def enroll(
    device: Annotated[str, typer.Argument(help="The device's name: its user name, client id and topics.")],
    password_file: Annotated[Path, typer.Option(help="The broker's password file.")] = PASSWORD_FILE,
    out: Annotated[
        Path | None, typer.Option(help="Write what the device needs to this file (0600) instead of printing it.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(help="The broker's URL as the device reaches it; goes into the file.")
    ] = None,
    certificate: Annotated[
        bool, typer.Option("--certificate", help="Sign a client certificate instead; --out names a directory.")
    ] = False,
    authority: Annotated[Path, typer.Option(help="The directory of the authority that signs.")] = AUTHORITY,
    account: Annotated[
        bool, typer.Option("--account", help="It is an account of the access rules (derms-controller, homeassistant).")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take its password away.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Replace the credentials that it has.")] = False,
    output: Annotated[str, typer.Option("-o", "--output", help="text or json.")] = "text",
) -> None:
    r"""Make the credentials with which the broker lets a device in, as itself and as nobody else.

    Run it on the broker's machine. Afterwards reload the broker: systemctl reload mosquitto.

    \b
    Examples:
      derms agent enroll pi-batt-1 --broker mqtts://broker.example:8883 --out pi-batt-1.json
      derms agent enroll pi-batt-1 --remove
    """
    from agent.credentials import PasswordFile, check_name

    if output not in ("text", "json"):
        raise UsageError(f"-o {output}", why="it is text or json")
    check_name(device, account=account)
    if broker is not None:
        _check_broker(broker)
    if remove:
        PasswordFile(password_file).remove(device)
        _say(f"{device} is no longer in {password_file}; reload the broker: systemctl reload mosquitto")
    elif certificate:
        _sign(device, authority=authority, out=out or Path(), yes=yes, output=output)
    else:
        if out is not None:
            _check_out(out, yes=yes)
        credentials = PasswordFile(password_file).enrol(device, replace=yes)
        made = {"device_id": device, "username": credentials.username, "password": credentials.password}
        if broker is not None:
            made["broker"] = broker
        _hand_over(made, out, output)
        _say(f"{device} is in {password_file}; reload the broker: systemctl reload mosquitto")


def _sign(device: str, *, authority: Path, out: Path, yes: bool, output: str) -> None:
    from agent.certificates import Authority

    signer = Authority(authority)
    made = signer.sign(device, out, replace=yes)
    if output == "json":
        _write(json.dumps({"device_id": device, "cert_file": str(made.cert_file), "key_file": str(made.key_file)}))
    else:
        _write(f"certificate {made.cert_file}\nkey {made.key_file}")
    _say(f"the broker trusts it when its cafile is {signer.cert_file}")


def _hand_over(made: dict[str, str], out: Path | None, output: str) -> None:
    from agent.credentials import write_secret

    if out is not None:
        try:
            write_secret(out, json.dumps(made, indent=2).encode() + b"\n")
        except OSError as error:
            raise ConfigError(
                f"{out} cannot be written",
                why=error.strerror or str(error),
                next_step="name another file and say --yes: the device has a new password now that nobody has read",
            ) from error
        _say(f"what the device needs is in {out}: take it there, then `derms agent init --credentials {out.name}`")
    elif output == "json":
        _write(json.dumps(made))
    else:
        _write(f"username {made['username']}\npassword {made['password']}")
        _say("the password is not shown again")


def _check_out(out: Path, *, yes: bool) -> None:
    if out.exists() and not yes:
        raise UsageError(
            f"{out} exists", why="it may hold another device's password", next_step="say --yes if it is meant"
        )
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out} cannot be written", why="its directory does not exist", next_step="make it first")


def _check_broker(url: str) -> None:
    from derms.mqtt import parse_broker_url

    if parse_broker_url(url).password is not None:
        raise UsageError(
            "--broker holds a password", why="others on this machine can read it", next_step="leave it out"
        )


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


def _say(text: str) -> None:
    typer.echo(text, err=True)
