"""Fixtures of every ring: real servers, started by the tests themselves."""

pytest_plugins = ["tests.brokers", "tests.postgres", "tests.processes", "tests.stage"]
