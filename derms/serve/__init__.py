"""The daemon, put together."""

from derms.serve.daemon import Controller, controller, serve

__all__ = ["Controller", "controller", "serve"]
