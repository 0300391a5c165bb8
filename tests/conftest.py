"""Fixtures of every ring: real servers, started by the tests themselves."""

from hypothesis import settings

pytest_plugins = ["tests.brokers", "tests.home", "tests.leaks", "tests.postgres", "tests.processes", "tests.stage"]

# The ordinary run tries the same examples every time, so that it says the same of the same code; `make test-slow`
# searches on.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile("same")
