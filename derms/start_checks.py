"""What the daemon would refuse of its settings, found without starting anything and without writing anything.

It takes the same steps in the same code as a start does; what only a start can tell (a port that is taken, a database
that does not let us in, parents of feeders that stand in the store alone) is not known here.
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from derms.api.listening import tls_context
from derms.auth import load_or_create_keys
from derms.errors import ConfigError
from derms.feeders_file import read_feeders
from derms.mqtt import TlsFiles
from derms.mqtt import tls_context as broker_tls_context
from derms.runtime import SystemClock
from derms.serve.access import address_of, keys_of, seeds_of
from derms.settings import Settings
from derms.store.link import Link


def refusals(settings: Settings) -> list[ConfigError]:
    """Everything that a start would refuse; nothing: it would begin.

    Args:
        settings: Checked each for itself, by `derms.settings_load`.
    """
    return list(_refused(_steps(settings)))


def _refused(steps: Iterator[Callable[[], object]]) -> Iterator[ConfigError]:
    for step in steps:
        try:
            step()
        except ConfigError as error:
            yield error


def _steps(settings: Settings) -> Iterator[Callable[[], object]]:
    if (feeders := settings.feeders_file) is not None:
        yield lambda: read_feeders(feeders)
    if (files := settings.api_tls_files) is not None:
        yield lambda: tls_context(*files)
    if settings.jwt_secret is not None:
        yield lambda: keys_of(settings)
    elif settings.jwt_secret_file.exists():
        yield lambda: load_or_create_keys(settings.jwt_secret_file)
    yield lambda: seeds_of(settings)
    if (broker := settings.mqtt_url) is not None:
        yield lambda: address_of(settings, broker)
    if settings.mqtt_ca_file is not None or settings.mqtt_cert_file is not None:
        yield lambda: broker_tls_context(
            TlsFiles(ca_file=settings.mqtt_ca_file, cert_file=settings.mqtt_cert_file, key_file=settings.mqtt_key_file)
        )
    if (database := settings.database_url) is not None:
        yield lambda: Link(database, clock=SystemClock(), rng=random.Random())
    yield lambda: _writable(settings.state_dir, "state_dir")


def _writable(directory: Path, setting: str) -> None:
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{setting} is {directory}",
            why=f"{there} is {'a directory that cannot be written' if there.is_dir() else 'no directory'}",
            next_step=f"correct its permissions, or set {setting} to another directory",
        )
