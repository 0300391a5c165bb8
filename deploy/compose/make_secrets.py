"""Every secret of the compose stack, made at random at its first start, each where only its readers look.

Below the directory that is named, one directory a service. What is there stays; docs/install.md tells how one is given
another value. Runs in the image of derms, as no particular user; the files may be
read by all, because each volume is mounted only into the service that it is for, which runs as a user of its own.
"""

import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from agent.credentials import hash_password

_CERTIFICATE_DAYS = "825"
_AUTHORITY_DAYS = "7300"
_EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def put(file: Path, text: str) -> None:
    """Write a file that all may read, in one step."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o444)
    new.replace(file)


def make(place: Path, rules: str, host: str) -> bool:
    """Make all of them, unless they are there.

    Args:
        place: Holds a directory for each service; these are mounted, so they are filled and not replaced.
        rules: The broker's access rules; the simulator's are added.
        host: By which name devices outside reach the broker.

    Returns:
        Whether they were made.
    """
    done = place / "authority" / "made"
    if done.exists():
        return False
    database, controller, simulator = (secrets.token_urlsafe(24) for _ in range(3))
    scrape = secrets.token_urlsafe(32)
    for name in ("database", "controller", "broker", "simulator", "prometheus", "grafana", "authority"):
        (place / name).mkdir(exist_ok=True)

    put(place / "database" / "password", database)
    put(place / "controller" / "database_url", f"postgresql://derms:{database}@database:5432/derms\n")
    put(place / "controller" / "mqtt_password", controller)
    put(place / "controller" / "jwt_secret", secrets.token_urlsafe(48) + "\n")
    put(place / "controller" / "prometheus_token", scrape)
    put(place / "prometheus" / "token", scrape)
    put(place / "grafana" / "password", secrets.token_urlsafe(18))
    put(place / "simulator" / "mqtt_url", f"mqtt://simulator:{simulator}@broker:1883\n")
    put(
        place / "broker" / "derms.passwords",
        f"derms-controller:{hash_password(controller)}\nsimulator:{hash_password(simulator)}\n",
    )
    put(place / "broker" / "derms.acl", rules)
    certify(place / "authority", place / "broker", host)
    put(done, "What is here was made at the first start.\n")
    return True


def certify(authority: Path, broker: Path, host: str) -> None:
    """An authority of the stack's own, whose certificate devices trust, and the broker's certificate of it."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        _openssl(work, "req", "-x509", *_EC_KEY, "-days", _AUTHORITY_DAYS, "-keyout", "ca.key", "-out", "ca.crt",
                 "-subj", "/CN=derms compose authority")  # fmt: skip
        _openssl(work, "req", *_EC_KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={host}")
        (work / "names").write_text(f"subjectAltName=DNS:{host},DNS:broker,DNS:localhost\n", encoding="utf-8")
        _openssl(work, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                 "-days", _CERTIFICATE_DAYS, "-out", "server.crt", "-extfile", "names")  # fmt: skip
        for file, directory in (("ca.crt", authority), ("ca.key", authority), ("ca.crt", broker),
                                ("server.crt", broker), ("server.key", broker)):  # fmt: skip
            put(directory / file, (work / file).read_text(encoding="utf-8"))
    (authority / "ca.key").chmod(0o400)


def _openssl(directory: Path, *arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        sys.exit("there is no openssl; the image of derms has it")
    made = subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True, check=False, timeout=60)
    if made.returncode:
        sys.exit(f"openssl {arguments[0]}: {made.stderr}")


def main() -> None:
    """`make_secrets.py DIRECTORY HOST RULES...`: the rules are the files of the broker's access rules, put together."""
    place, host, *rules = sys.argv[1:]
    made = make(Path(place), "\n".join(Path(file).read_text(encoding="utf-8") for file in rules), host)
    sys.stdout.write("The secrets are made\n" if made else "The secrets are there\n")


if __name__ == "__main__":
    main()
