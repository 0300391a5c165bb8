"""Shared fixtures."""

pytest_plugins = ["tests.postgres"]
