"""Write the reference pages below the current directory."""

import sys
from pathlib import Path

from derms.reference import api, metrics, wire


def pages() -> dict[str, str]:
    """The pages by path."""
    return {
        "docs/api-reference.md": api.page(),
        "docs/metrics.md": metrics.page(),
        "docs/wire-reference.md": wire.page(),
    }


def main() -> None:
    """Write them."""
    for path, text in pages().items():
        Path(path).write_text(text, encoding="utf-8")
    sys.stderr.write(f"{', '.join(pages())}\n")


if __name__ == "__main__":
    main()
