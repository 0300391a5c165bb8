"""Fixtures of every ring: real servers, started by the tests themselves."""

pytest_plugins = ["tests.brokers", "tests.leaks", "tests.postgres", "tests.processes", "tests.stage"]
