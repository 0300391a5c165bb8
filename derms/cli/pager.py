"""Long output, a screen at a time, where somebody looks."""

import os
import shlex
import shutil
import subprocess

_OWN = "less -FRX"


def paged(text: str) -> bool:
    """Show text in the user's pager.

    Returns:
        False: there is none, or it does not start; nothing was shown.
    """
    given = next((os.environ[name] for name in ("DERMS_PAGER", "PAGER") if name in os.environ), _OWN)
    words = shlex.split(given)
    if not words or words[0] == "cat" or shutil.which(words[0]) is None:
        return False
    try:
        shown = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, encoding="utf-8", errors="replace")
    except OSError:
        return False
    try:
        shown.communicate(text)
    except KeyboardInterrupt:
        # The pager has it too, and says itself what becomes of it.
        shown.wait()
    return True
