"""TLS and logins, against a Mosquitto that asks for them."""

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from derms.broker import find_mosquitto
from derms.errors import BrokerError
from derms.mqtt import BrokerRefusedError, MqttLink, TlsFiles, parse_broker_url, tls_context
from tests.brokers import until

pytestmark = [
    pytest.mark.skipif(find_mosquitto() is None, reason="there is no mosquitto on this machine"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on this machine"),
]


def run(directory: Path, *command: str) -> None:
    subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=30)


def openssl(directory: Path, *arguments: str) -> None:
    run(directory, "openssl", *arguments)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server certificate for localhost and a client certificate."""
    directory = tmp_path_factory.mktemp("certificates")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other-ca"):
        openssl(
            directory, "req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"
        )
    for name, alias in (("server", "localhost"), ("client", "reader")):
        (directory / f"{name}.ext").write_text(f"subjectAltName=DNS:{alias}\n")
        openssl(directory, "req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={alias}")
        openssl(
            directory,
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-out", f"{name}.pem", "-extfile", f"{name}.ext", "-days", "2"),
        )
    return directory


@contextlib.asynccontextmanager
async def mosquitto(directory: Path, settings: str) -> AsyncIterator[int]:
    """Run one with these settings on a free port."""
    binary = find_mosquitto()
    assert binary is not None
    with socket.socket() as holder:
        # held until the end: others are not given the port, and Mosquitto may share it as it sets this option too
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        config = directory / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nuser root\n{settings}")
        child = await asyncio.create_subprocess_exec(binary, "-c", str(config), stderr=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        writer.close()
                        break
                    await asyncio.sleep(0.02)
            yield port
        finally:
            child.terminate()
            await child.wait()


def tls_settings(certificates: Path) -> str:
    return (
        f"allow_anonymous true\ncafile {certificates / 'ca.pem'}\ncertfile {certificates / 'server.pem'}\n"
        f"keyfile {certificates / 'server.key'}\nrequire_certificate true\n"
    )


def link(url: str, **options: TlsFiles) -> MqttLink:
    return MqttLink(
        parse_broker_url(url),
        client_id="reader",
        subscriptions=[("t", 1)],
        rng=random.Random(1),
        tls=options.get("tls"),
        backoff_max_s=0.1,
    )


async def first_failure(there: MqttLink) -> str:
    """What is said once an attempt to connect has failed."""
    await until(lambda: there.last_error is not None)
    with pytest.raises(BrokerError) as caught:
        await there.wait_connected(0.1)
    return str(caught.value)


async def test_a_link_speaks_tls_with_a_client_certificate(certificates: Path, tmp_path: Path) -> None:
    files = TlsFiles(
        ca_file=certificates / "ca.pem", cert_file=certificates / "client.pem", key_file=certificates / "client.key"
    )
    async with (
        mosquitto(tmp_path, tls_settings(certificates)) as port,
        link(f"mqtts://localhost:{port}", tls=files) as there,
    ):
        await there.wait_connected(10)
        big = b"x" * 300_000  # many TLS records
        await there.publish("t", big)
        async with asyncio.timeout(10):
            (message,) = await there.receive()
        assert message.payload == big


async def test_a_broker_that_cannot_be_trusted_is_not_talked_to(certificates: Path, tmp_path: Path) -> None:
    async with mosquitto(tmp_path, tls_settings(certificates)) as port:
        for url, ca, why in [
            (f"mqtts://localhost:{port}", "other-ca.pem", "certificate"),
            (f"mqtts://127.0.0.1:{port}", "ca.pem", "127.0.0.1"),
        ]:
            async with link(url, tls=TlsFiles(ca_file=certificates / ca)) as there:
                assert why in await first_failure(there)


async def test_one_context_serves_many_links(certificates: Path, tmp_path: Path) -> None:
    context = tls_context(
        TlsFiles(
            ca_file=certificates / "ca.pem", cert_file=certificates / "client.pem", key_file=certificates / "client.key"
        )
    )
    async with mosquitto(tmp_path, tls_settings(certificates)) as port, contextlib.AsyncExitStack() as stack:
        address = parse_broker_url(f"mqtts://localhost:{port}")
        links = [MqttLink(address, client_id=f"link-{n}", rng=random.Random(n), tls=context) for n in range(5)]
        for each in links:
            await stack.enter_async_context(each)
        for each in links:
            await each.wait_connected(10)


async def test_the_right_login_is_let_in_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd") or pytest.skip("there is no mosquitto_passwd on this machine")
    run(tmp_path, tool, "-c", "-b", str(passwords), "reader", "right")
    (tmp_path / "rules").write_text("user reader\ntopic write t\n")
    settings = f"allow_anonymous false\npassword_file {passwords}\nacl_file {tmp_path / 'rules'}\n"
    async with mosquitto(tmp_path, settings) as port:
        async with link(f"mqtt://reader:right@127.0.0.1:{port}") as there:
            await there.wait_connected(10)
            assert there.protocol_level == 5
        async with link(f"mqtt://reader:wrong@127.0.0.1:{port}") as there:
            with pytest.raises(BrokerRefusedError, match="login") as caught:
                await there.wait_connected(10)
            assert "wrong" not in str(caught.value)
