"""Fixtures of every ring: real servers, started by the tests themselves."""

import signal
import threading

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

pytest_plugins = ["tests.brokers", "tests.home", "tests.leaks", "tests.postgres", "tests.processes", "tests.stage",
                  "tests.systemd"]  # fmt: skip

# Whoever is started in the background by a shell has Ctrl-C ignored, and so has what it starts: here it is pressed.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The ordinary run tries the same examples every time, so that it says the same of the same code; `make test-slow`
# searches on.
# How fast the machine is says nothing of the code.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", UNTIMED, derandomize=True)
settings.register_profile("search", UNTIMED, derandomize=False)
settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    """Take no values from the modules that happen to be loaded: which these are depends on who ran before."""
    if not config.getoption("--hypothesis-profile", default=None):
        providers._get_local_constants = Constants
