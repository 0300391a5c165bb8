"""One run of a controller: the lock on its state directory, and the names of this run and the last."""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from derms.errors import ConfigError, ConflictError


@dataclass(frozen=True, slots=True)
class Instance:
    """Which run this is."""

    name: str
    formerly: str
    """The last run on this directory, which has ended, as it holds the lock no more; empty: there was none."""


@contextlib.contextmanager
def only_instance(state_dir: Path) -> Iterator[Instance]:
    """Have a state directory alone.

    Two runs on one directory would write into one another's spool.

    Raises:
        ConflictError: Another process has it.
        ConfigError: It cannot be written to.
    """
    path = state_dir / "instance"
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written",
            why=error.strerror or str(error),
            next_step="set DERMS_STATE_DIR to a directory that it may write to",
        ) from error
    with os.fdopen(descriptor, "r+", encoding="ascii", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                f"the state directory {state_dir} is in use",
                why="another `derms serve` of this machine has it, and its spool is there",
                next_step="stop it, or give this one its own DERMS_STATE_DIR and DERMS_CONTROLLER_ID",
            ) from error
        formerly = file.read(64).strip()
        name = uuid.uuid4().hex
        file.seek(0)
        file.truncate()
        file.write(name + "\n")
        file.flush()
        yield Instance(name, formerly)
