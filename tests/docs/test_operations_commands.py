"""Every command of the pages on running derms: it is run as it stands, or says what it would need."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from derms.store.embedded import EmbeddedPostgres
from tests.docs.blocks import RUN, TERMINALS, Block, blocks, inline, put
from tests.docs.terminals import Terminals, lines_of
from tests.faults.cluster import free_port
from tests.processes import ROOT, eventually
from tests.shell import Shell
from tests.stage import DEVICES, Stack, fresh_database

OPERATIONS, INSTALL, SECURITY = (ROOT / "docs" / f"{name}.md" for name in ("operations", "install", "security"))
ROTATING = ("The key of the tokens", "The controller's password at the broker", "Certificates")
"""Their blocks are run, one after the other, in `test_rotation.py`."""
BLOCKS = [one for page in (OPERATIONS, INSTALL, SECURITY) for one in blocks(page)]
HERE = [one for one in BLOCKS if one.heading not in ROTATING]

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_whether_it_is_run_or_what_it_needs(block: Block) -> None:
    assert block.known, f"{block}: {block.marker!r} above it is no marker; see tests/docs/blocks.py"
    needs = {"systemctl": "systemd", "kubectl": "kubernetes cluster", "docker": "docker", "sudo": "root on Debian",
             "systemd-analyze": "systemd", "mosquitto_sub": "another machine"}  # fmt: skip
    if block.marker in (RUN, TERMINALS):
        # What cannot be run here is not called so, but for `sudo`, which is taken away.
        assert not re.search(r"^(?:systemctl|kubectl|docker) ", block.text, re.MULTILINE), block
        return
    said = block.marker.removeprefix("needs: ")
    assert any(word in block.text and said in (need, "systemd") for word, need in needs.items()), block


def test_a_block_without_a_marker_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "## One\n```sh\na\n```\n<!-- run -->\n```sh\nb \\\n  c\nd\n```\n## Two\n\n<!-- needs: luck -->\n```sh\ne\n```\n"
        "```toml\nf = 1\n```\nSay `derms status` and `derms dr\nlist`.\n"
    )
    assert [(one.heading, one.marker, one.known) for one in blocks(page)] == [
        ("One", "", False), ("One", "run", True), ("Two", "needs: luck", False)
    ]  # fmt: skip
    assert lines_of(blocks(page)[1].text) == ["b c", "d"]
    assert inline(page) == ["derms dr list", "derms status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A controller, and what stands in this place for the names on the pages."""

    stack: Stack
    directory: Path
    names: dict[str, str]
    environment: dict[str, str]
    copy_url: str
    """A database that no controller uses."""


@pytest.fixture(scope="module")
def place(stack: Stack, postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("place")
    for name in ("backup", "etc/secrets"):
        (directory / name).mkdir(parents=True)
    (directory / "jwt-secret").write_text("a-key-that-is-about-to-be-the-old-one-0123456789\n")
    eventually(lambda: len(stack.daemon.ask("/api/devices")["devices"]) >= DEVICES, "all devices")
    port = str(free_port())
    names = {
        "/backup/": f"{directory}/backup/", "/tmp/drill": str(directory / "drill"), "/etc/derms": f"{directory}/etc",
        "http://127.0.0.1:8080": stack.daemon.api, "127.0.0.1:8090": f"127.0.0.1:{port}",
        "DERMS_API_PORT=8090": f"DERMS_API_PORT={port}", "sudo -u derms ": "", "sudo ": "", " -g derms": "",
        "/opt/derms/bin/derms": "derms",
        "~/.local/state/derms/jwt-secret": f"{directory}/jwt-secret",
        "--account |": f"--account --password-file {directory}/passwords |",
        "postgresql:///derms?host=/var/run/postgresql": stack.database_url,
        "postgresql:///drill": re.sub(r"/stage_\d+\?", "/drill?", stack.database_url),
    }  # fmt: skip
    server = {"PGHOST": parse_qs(urlsplit(postgres_server.url).query)["host"][0], "PGUSER": "derms"}
    environment = {
        **server, "DERMS_URL": stack.daemon.api, "DERMS_TOKEN": stack.daemon.admin_token(), "DERMS_API_PORT": "0",
        "DERMS_MQTT_URL": stack.broker_url, "DERMS_DATABASE_URL": stack.database_url, "DERMS_LOG_PRETTY": "false",
    }  # fmt: skip
    with fresh_database(postgres_server.url) as copy_url:
        there = Place(stack=stack, directory=directory, names=names, environment=environment, copy_url=copy_url)
        made = Terminals(directory / "first", environment)
        assert made.run(f"derms db backup {directory}/backup/before.dump").code == 0
        shutil.copy(directory / "backup/before.dump", directory / "backup/derms-2026-11-29.dump")
        yield there
        made.run("dropdb --if-exists --force drill")


@pytest.fixture
def terminals(place: Place, tmp_path: Path) -> Iterator[Terminals]:
    there = Terminals(tmp_path, place.environment)
    yield there
    there.end()


def settings_of(block: Block, place: Place) -> dict[str, str]:
    """What a block is told beside what all are: whose database it may replace."""
    if "db restore /backup/before.dump" in block.text:
        return {"DERMS_DATABASE_URL": place.copy_url}
    if "derms token --role admin" in block.text:
        return {"DERMS_STATE_DIR": f"{place.stack.daemon.home}/state/derms"}
    return {"DERMS_DATABASE_URL": "", "DERMS_MQTT_URL": ""} if "config.toml" in block.text else {}


@pytest.mark.parametrize("block", [one for one in HERE if one.marker == RUN], ids=str)
def test_a_block_runs_as_it_stands(block: Block, place: Place, terminals: Terminals) -> None:
    more = settings_of(block, place)
    script = put(block.text, place.names)
    for name in [name for name, value in more.items() if not value]:
        script = f"unset {name}\n{script}"
    if "config.toml" in block.text:
        script = f"export DERMS_CONFIG={place.directory}/etc/config.toml\n{script}"
    ran = terminals.run(script, cwd=ROOT, **more)
    assert ran.code == 0, f"{block}\n{ran.out}\n{ran.err}"


@pytest.mark.parametrize("block", [one for one in HERE if one.marker == TERMINALS], ids=str)
def test_lines_run_beside_each_other_as_they_stand(block: Block, place: Place, terminals: Terminals) -> None:
    if "postgresql:///drill" in block.text:
        ready = "dropdb --if-exists --force drill && createdb drill && derms db restore /backup/before.dump --yes"
        ran = terminals.run(put(ready, place.names), DERMS_DATABASE_URL=place.names["postgresql:///drill"])
        assert ran.code == 0, ran.err
    lines = lines_of(put(block.text, place.names))
    for line in [line for line in lines if "derms serve" in line]:
        terminals.stay(line)
    terminals.wait()
    for line in [line for line in lines if "derms serve" not in line]:
        ran = terminals.run(line)
        assert ran.code == 0, f"{line}\n{ran.out}\n{ran.err}"
        assert "feeder-1" in ran.out


INLINE = {
    "derms db": "derms db --help",
    "derms demo": "derms demo --help",
    "derms serve": "derms serve --help",  # the stack's, and those of the blocks, run
    "derms config explain KEY": "derms config explain lease_s",
    "derms db backup FILE": "derms db backup {directory}/inline-too.dump",
    "derms db restore FILE":
        "derms db restore {directory}/backup/before.dump --replace --yes --database-url {copy_url}",
    "derms device retire": "derms device retire {device} --yes",
    "derms device block": "derms device block {device} --for 1m --reason trying --yes",
    "derms dr cancel": "derms dr cancel {event} --yes",
    "derms dr outcome EVENT": "derms dr outcome {event}",
    "derms why": "derms why {device}",
    "derms user reset NAME": "derms user reset {user} --password-stdin",
    "derms agent enroll NAME --yes": "derms agent enroll pi-1 --yes --password-file {directory}/inline.passwords",
    "derms agent enroll derms-controller --account --yes":
        "derms agent enroll derms-controller --account --yes --password-file {directory}/inline.passwords",
}  # fmt: skip
"""What stands for a command within a sentence, where it stands there without its names."""
ENDS_WITH = {"derms doctor": (0, 1)}
"""By what it finds: the tests have no TLS, and may be short of disk."""


def test_every_command_within_a_sentence_runs(place: Place, tmp_path: Path) -> None:
    """In this process, in an order in which nothing is retired before it is asked for."""
    shell = Shell(tmp_path, place.stack.daemon.api, {"DERMS_" + key.removeprefix("DERMS_"): value for key, value in
                  place.environment.items() if key.startswith("DERMS_")})  # fmt: skip
    made = shell.derms("dr", "create", "--limit", "1000", "--for", "10m", "-o", "name")
    assert made.code == 0, made.err
    devices = json.loads(shell.derms("device", "list", "--type", "ev", "-o", "json").out)["devices"]
    assert (
        shell.derms("user", "add", "bob", "--role", "viewer", "--password-stdin", typed="violin-harbour-nine\n").code
        == 0
    )
    names = {"directory": place.directory, "copy_url": place.copy_url, "device": devices[0]["device_id"],
             "event": made.out.strip(), "user": "bob"}  # fmt: skip
    asked = sorted({*inline(OPERATIONS), *inline(SECURITY)})
    assert set(INLINE) <= set(asked), "what stands for a command that is not on the page any more"
    for command in sorted(asked, key=lambda text: (text in ("derms dr cancel", "derms device retire"), text)):
        words = shlex.split(INLINE.get(command, command).format(**names))
        ran = shell.derms(*words[1:], typed="violin-harbour-ten\n")
        assert ran.code in ENDS_WITH.get(command, (0,)), f"{command}: {words}\n{ran.out}\n{ran.err}"
