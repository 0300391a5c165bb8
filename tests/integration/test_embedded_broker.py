import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Literal

import pytest

from derms.broker import EmbeddedBroker, find_mosquitto
from derms.errors import AddressInUseError, BrokerError
from tests.brokers import RunningBroker, until


def alive(pid: int) -> bool:
    """Not gone and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_directory_is_closed_to_others_and_the_child_is_in_its_own_session(broker: RunningBroker) -> None:
    assert broker.directory.stat().st_mode & 0o777 == 0o700
    pid = broker.pid
    assert os.getsid(pid) == pid
    if broker.kind == "mosquitto":
        assert os.stat(f"/proc/{pid}").st_uid != 0


async def test_a_child_that_died_is_started_again_on_the_same_port(broker: RunningBroker) -> None:
    async with broker.link("watcher") as link:
        await link.wait_connected(10)
        os.kill(broker.pid, signal.SIGKILL)
        await until(lambda: link.connections == 2)
        await until(lambda: broker.restarts == 1)


async def test_leaving_ends_the_child(broker: RunningBroker) -> None:
    pid = broker.pid
    await broker.stop()
    assert not alive(pid)


async def test_a_taken_port_is_said_to_be_taken(broker: RunningBroker, tmp_path: Path) -> None:
    with pytest.raises(AddressInUseError, match=str(broker.port)):
        async with EmbeddedBroker(tmp_path / "second", port=broker.port, kind=broker.kind):
            pass


async def test_a_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match="cannot be used"):
        async with EmbeddedBroker(tmp_path / "file" / "broker"):
            pass


async def test_an_address_that_is_not_ours_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"192\.0\.2\.1"):
        async with EmbeddedBroker(tmp_path, bind="192.0.2.1"):
            pass


@pytest.mark.skipif(find_mosquitto() is None, reason="there is no mosquitto on this machine")
async def test_a_child_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "mosquitto.db").write_bytes(b"not a database, nor anything like one" * 10)
    with pytest.raises(BrokerError, match="did not start") as caught:
        async with EmbeddedBroker(tmp_path, kind="mosquitto"):
            pass
    assert "no answer" not in caught.value.why


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_the_child_does_not_outlive_a_parent_that_was_killed(
    kind: Literal["mosquitto", "amqtt"], tmp_path: Path
) -> None:
    if kind == "mosquitto" and find_mosquitto() is None:
        pytest.skip("there is no mosquitto on this machine")
    program = f"""
import asyncio, pathlib, sys
from derms.broker import EmbeddedBroker
async def main():
    async with EmbeddedBroker(pathlib.Path(sys.argv[1]), kind={kind!r}) as broker:
        print(broker.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path / "broker"), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(20):
        child = int(await parent.stdout.readline())
    assert alive(child)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(child))


async def test_two_brokers_choose_different_ports(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path / "one") as one, EmbeddedBroker(tmp_path / "two") as two:
        assert one.port != two.port
        for each in (one, two):
            with socket.create_connection(("127.0.0.1", each.port), timeout=5):
                pass
        assert one.protocol_note
