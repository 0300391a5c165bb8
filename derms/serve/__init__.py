"""The daemon: `start` as a process of its own, `daemon` put together, `ground` what it stands on."""
