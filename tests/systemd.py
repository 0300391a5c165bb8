"""A pytest plugin: somebody who listens as systemd does to what a service tells it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def service_manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket for `NOTIFY_SOCKET`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(tmp_path / "notify"))
        there.setblocking(False)
        yield there


def told(service_manager: socket.socket) -> list[str]:
    """What it was told since it was last asked."""
    out = []
    while True:
        try:
            out.append(service_manager.recv(1000).decode())
        except BlockingIOError:
            return out
