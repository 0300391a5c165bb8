"""The child process of the embedded broker.

``python -m derms.broker_child [--user NAME | --amqtt BIND] -- PARENT_PID DIRECTORY [COMMAND...]``

Started by `derms.broker` only. It ties its life to the parent's, enters the directory, drops root if told to, and
then becomes Mosquitto or runs amqtt, of which this is the only importer. Imports nothing of `derms`.
"""

import argparse
import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Run until a signal comes."""
    parser = argparse.ArgumentParser(prog="derms.broker_child")
    parser.add_argument("parent", type=int)
    parser.add_argument("directory")
    parser.add_argument("--user")
    parser.add_argument("--amqtt", metavar="BIND")
    parser.add_argument("command", nargs="*")
    given = parser.parse_args(arguments)
    # entered while still allowed to: the way to the directory may be closed to the other user
    os.chdir(given.directory)
    if given.user:
        _become(given.user)
    # after the change of user, which makes the kernel forget this
    _die_with_parent(given.parent)
    if given.amqtt:
        import asyncio  # Mosquitto is started sooner without it

        asyncio.run(_run_amqtt(given.amqtt))
    else:
        os.execv(given.command[0], given.command)


def _become(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        # it died before the kernel was asked to tell us
        sys.exit(1)


async def _run_amqtt(bind: str) -> None:
    """Run amqtt until SIGTERM, without logins and without its `$SYS` statistics."""
    import asyncio

    from amqtt.broker import Broker

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": bind}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
