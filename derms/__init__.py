"""derms: a terminal-first DERMS feeder controller."""

__version__ = "0.1.0"
