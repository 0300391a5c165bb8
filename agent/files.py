"""Small files that somebody wrote by hand, read whole."""

from pathlib import Path

from derms.errors import ConfigError

MAX_BYTES = 256 * 1024
"""What is larger is another file than the one that was meant."""


def read_by_hand(path: Path, *, what: str, next_step: str) -> bytes:
    """Read a configuration, or a part of one.

    Args:
        path: Where it is.
        what: What messages call it.
        next_step: What to do when it is not there.

    Raises:
        ConfigError: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {what} {path}", why=error.strerror or "the operating system refused", next_step=next_step
        ) from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"{path} has more than {MAX_BYTES} bytes", why=f"{what} is far smaller", next_step="check the file"
        )
    return raw
