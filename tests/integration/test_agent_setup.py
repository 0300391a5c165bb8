"""`derms agent init` and `derms agent check`: against the shipped broker as it is, and as it should not be."""

import asyncio
import contextlib
import dataclasses
import json
import os
import pty
import random
import select
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.check import check_agent
from agent.config import AgentConfig, load_config
from agent.findings import Finding, State
from derms.broker import find_mosquitto
from derms.cli.agent_setup import init
from derms.cli.output import exit_code_for
from derms.contract import ControllerPresence, Topics, encode_controller
from derms.errors import ConfigError, ConflictError, UsageError
from derms.runtime import SystemClock
from tests.processes import ROOT, Programs
from tests.shipped import JUDGE, ShippedBroker, shipped_broker

needs_broker = pytest.mark.skipif(
    find_mosquitto() is None or shutil.which("openssl") is None, reason="there is no mosquitto or no openssl here"
)
USERS = ("pi-a", "pi-b", "derms-controller")


@pytest.fixture
async def shipped(tmp_path: Path) -> AsyncIterator[ShippedBroker]:
    async with shipped_broker(tmp_path, USERS) as broker:
        yield broker


def setup(broker: ShippedBroker, tmp_path: Path, **changes: Any) -> Path:
    """A configuration for pi-a, made by `init`."""
    path = tmp_path / "agent.json"
    (tmp_path / "password").write_text(changes.pop("password", broker.passwords["pi-a"]) + "\n")
    fields: dict[str, Any] = {
        "device_id": "pi-a", "device_type": "battery", "broker": f"mqtts://localhost:{broker.devices}",
        "username": "pi-a", "ca_file": broker.ca_file, "driver": "command",
        "driver_option": ['read=["echo","{\\"p_actual_kw\\": -1.5, \\"soc\\": 0.4}"]'],
    }  # fmt: skip
    code = init(path, password_from=tmp_path / "password", no_input=True, check=False, yes=True, **(fields | changes))
    assert code == 0
    return path


async def check(path: Path, tmp_path: Path, *, heartbeat_s: float = 0.3, **changes: Any) -> dict[str, Finding]:
    config = dataclasses.replace(load_config(path), state_dir=str(tmp_path / "state"), **changes)
    told: list[Finding] = []
    findings = await check_agent(
        config, path=path, environment={}, clock=SystemClock(), rng=random.Random(1), tell=told.append,
        heartbeat_s=heartbeat_s,
    )  # fmt: skip
    assert told == findings
    return {finding.name: finding for finding in findings}


@contextlib.asynccontextmanager
async def controller(broker: ShippedBroker, off_ms: int = 0) -> AsyncIterator[None]:
    """A controller that beats quickly, its clock off by so much."""
    clock = SystemClock()

    async def beat() -> None:
        async with broker.link("derms-controller") as link:
            await link.wait_connected(15)
            while True:
                presence = ControllerPresence(
                    controller_id="c-1", epoch=7, heartbeat_ms=clock.now_ms() + off_ms, version="0", online=True
                )
                await link.publish(*encode_controller(Topics(), presence), qos=1, retain=True)
                await asyncio.sleep(0.1)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])


def code_of(found: dict[str, Finding]) -> int:
    errors = [finding.error for finding in found.values() if finding.error is not None]
    return int(exit_code_for(errors[0])) if errors else 0


@needs_broker
async def test_an_agent_that_is_set_up_as_the_page_says_passes_everything(
    shipped: ShippedBroker, tmp_path: Path
) -> None:
    path = setup(shipped, tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    judge = shipped.link(JUDGE, subscriptions=[("der/#", 1)])
    async with judge, controller(shipped):
        await judge.wait_connected(15)
        found = await check(path, tmp_path, heartbeat_s=10.0)
        assert {name: finding.state for name, finding in found.items()} == dict.fromkeys(
            ("configuration", "device", "broker", "credentials", "rights", "clock"), State.OK
        ), found
        assert "export 1.5 kW, state of charge 40%" in found["device"].detail
        assert code_of(found) == 0
        async with asyncio.timeout(10):
            heard = list(await judge.receive())
        # what the check said in its own name, and nothing in another's
        assert {(m.topic, m.payload) for m in heard if "controller" not in m.topic} == {("der/status/pi-a", b"offline")}


@needs_broker
async def test_each_thing_that_is_wrong_is_found_with_a_code_and_a_next_step(
    shipped: ShippedBroker, tmp_path: Path
) -> None:
    async def finds(name: str, code: int, says: str, path: Path, state: State = State.FAILED, **changes: Any) -> None:
        found = await check(path, tmp_path, **changes)
        assert (found[name].state, code_of(found)) == (state, code), found
        assert says in found[name].detail
        assert found[name].next_step or name == "broker"

    await finds("credentials", 4, "refused the login", setup(shipped, tmp_path, password="wrong"))
    await finds("rights", 4, "may not publish", setup(shipped, tmp_path, device_id="pi-b"))
    good = setup(shipped, tmp_path)
    await finds("broker", 6, "refused", good, broker_url="mqtts://localhost:1")
    await finds("clock", 0, "no controller was heard", good, state=State.WARNING)
    await finds("device", 6, "", good, driver={"kind": "command", "read": ["false"]})
    async with controller(shipped, 3_600_000):
        await finds("clock", 7, "behind the controller", good, heartbeat_s=10.0)
    await finds("clock", 7, "behind", good)  # by what is retained
    async with controller(shipped, -10_000):
        await finds("clock", 0, "ahead of", good, state=State.WARNING, heartbeat_s=10.0)
    good.chmod(0o644)
    await finds("configuration", 0, "others may read", good, state=State.WARNING)


@needs_broker
@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ("pattern readwrite #\n", "may speak for another"),
        ("pattern readwrite der/+/%u\npattern read der/status/#\n", "hears what is not its own"),
        ("pattern readwrite der/+/%u\npattern write der/telemetry/#\n", "may speak for another"),
    ],
)
async def test_rules_that_let_a_device_be_another_are_found(tmp_path: Path, rules: str, says: str) -> None:
    async with shipped_broker(tmp_path, USERS, rules=rules) as broker:
        async with broker.link(JUDGE) as judge:
            await judge.wait_connected(15)
            await judge.publish("der/status/pi-b", b"online", qos=1, retain=True)
        found = await check(setup(broker, tmp_path), tmp_path)
        assert (found["rights"].state, code_of(found)) == (State.FAILED, 4)
        assert says in found["rights"].detail


@needs_broker
async def test_the_command_says_it_to_people_and_to_programs(
    shipped: ShippedBroker, tmp_path: Path, programs: Programs
) -> None:
    path = setup(shipped, tmp_path)
    machine = programs.derms("agent", "check", "--config", path, "-o", "json", "--wait", "0.2")
    person = programs.derms("agent", "check", "--config", path, "--wait", "0.2")
    assert await asyncio.to_thread(machine.wait) == 0
    assert await asyncio.to_thread(person.wait) == 0
    tree = json.loads(machine.stdout)
    assert (tree["ok"], tree["device_id"]) == (True, "pi-a")
    names = [each["name"] for each in tree["checks"]]
    assert names == ["configuration", "device", "broker", "credentials", "rights", "clock"]
    assert [line.split()[1] for line in person.stdout.splitlines() if not line.startswith(" ")] == names
    secret = load_config(path).password
    assert secret
    assert secret not in machine.stdout + machine.stderr + person.stdout + person.stderr


# ---------------------------------------------------------------------- init


def write(path: Path, **changes: Any) -> AgentConfig:
    fields: dict[str, Any] = {"device_id": "pi-a", "device_type": "ev"}
    assert init(path, no_input=True, check=False, **(fields | changes)) == 0
    return load_config(path)


def test_init_writes_what_it_is_told_and_never_over_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "agent.json"
    config = write(
        path, driver="modbus", driver_option=["map=battery.yaml", "host=10.0.0.5", "unit=3"], ha_discovery=True,
        p_max_kw=7.2, default_power_kw=1.4,
    )  # fmt: skip
    assert config.driver == {"kind": "modbus", "map": "battery.yaml", "host": "10.0.0.5", "unit": 3}
    assert (config.ha_discovery, config.p_max_kw, config.default_power_kw) == (True, 7.2, 1.4)
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="--yes"):
        write(path)
    assert path.read_bytes() == before
    assert write(path, yes=True).p_max_kw == 5.0
    assert os.listdir(path.parent) == ["agent.json"]


def test_init_takes_what_enroll_wrote(tmp_path: Path) -> None:
    made = tmp_path / "pi-b.json"
    tree = {"device_id": "pi-b", "username": "pi-b", "password": "p@ss/:", "broker": "mqtts://broker.example:8883"}
    made.write_text(json.dumps(tree))
    assert init(tmp_path / "a.json", credentials=made, device_type="pv", no_input=True, check=False) == 0
    assert load_config(tmp_path / "a.json").url() == "mqtts://pi-b:p%40ss%2F%3A@broker.example:8883"


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"device_id": None}, UsageError, "--device-id"),
        ({"device_type": "toaster"}, ConfigError, "device_type"),
        ({"device_id": "a/b"}, ConfigError, "device_id"),
        ({"broker": "http://x"}, ConfigError, "mqtt://"),
        ({"p_max_kw": -1.0}, ConfigError, "p_max_kw"),
        ({"driver": "modbus"}, ConfigError, "map"),
        ({"driver": "sunspec", "driver_option": ["host"]}, UsageError, "KEY=VALUE"),
        ({"driver_option": ["host=x"]}, UsageError, "without --driver"),
        ({"credentials": Path("/nowhere")}, ConfigError, "/nowhere"),
    ],
)
def test_init_leaves_nothing_behind_when_something_is_wrong(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        write(tmp_path / "agent.json", **changes)
    assert not list(tmp_path.iterdir())


def answer(command: Sequence[str], answers: Sequence[str], home: Path) -> tuple[int, str]:
    """Run a command on a terminal and type the answers, each when it is asked for one."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=home, start_new_session=True
    )
    os.close(theirs)
    said, left = "", list(answers)
    try:
        with contextlib.suppress(OSError):  # the terminal is gone with the process
            while select.select([ours], [], [], 30.0)[0] and (data := os.read(ours, 1000)):
                said += data.decode()
                if left and said.endswith(": "):
                    os.write(ours, left.pop(0).encode() + b"\n")
                    said += "\n"
        return process.wait(10), said
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it waits for something: {said!r}") from None
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_init_asks_a_person_for_what_it_needs_and_does_not_show_the_password(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "derms", "agent", "init", "--config", "agent.json", "--no-check"]
    code, said = answer(
        command,
        [
            "pi-c",
            "toaster",
            "battery",
            "mqtts://broker.example:8883",
            "pi-c",
            "hush-hush",
            "4.6",
            "",
            "sunspec",
            "10.0.0.9",
        ],
        tmp_path,
    )
    assert code == 0, said
    assert "hush-hush" not in said
    config = load_config(tmp_path / "agent.json")
    assert config.url() == "mqtts://pi-c:hush-hush@broker.example:8883"
    assert (config.device_type.value, config.p_max_kw, config.capacity_kwh) == ("battery", 4.6, 10.0)
    assert config.driver == {"kind": "sunspec", "host": "10.0.0.9"}
