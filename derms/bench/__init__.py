"""Measuring the engine: seeded plants, rivals and bounds. Nothing in the daemon imports it."""
