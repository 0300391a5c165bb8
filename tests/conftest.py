"""Shared fixtures."""

pytest_plugins = ("tests.brokers",)
