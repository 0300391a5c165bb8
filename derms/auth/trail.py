"""Logins for the audit log that cannot wait for it: refused ones, counted together, and any while the store is away.

An attacker decides how many are refused, so they are written at most `MAX_LINES` lines a minute. A name that nobody has
is not written: it may be a password typed into the wrong field.
"""

import logging
from collections import Counter, deque

from derms.accounts import AuditStore, Note
from derms.errors import StoreError

MAX_LINES = 20
"""A minute, of refused logins; the rest is counted on one more."""
UNKNOWN = "(unknown)"
_OTHERS = ("(others)", "")
_MAX_OWED = 1000
"""Logins while the store is away; beyond it the oldest are forgotten."""

_log = logging.getLogger(__name__)


class Trail:
    """What the audit log is still to be told.

    Args:
        store: The audit log.
    """

    def __init__(self, store: AuditStore) -> None:
        self._store = store
        self._refused: Counter[tuple[str, str]] = Counter()
        self._owed: deque[Note] = deque(maxlen=_MAX_OWED)

    def refused(self, username: str, remote: str) -> None:
        """A login was refused."""
        key = (username, remote)
        self._refused[key if key in self._refused or len(self._refused) < MAX_LINES else _OTHERS] += 1

    def owe(self, note: Note) -> None:
        """Something happened that could not be written."""
        self._owed.append(note)

    async def flush(self) -> None:
        """Write what there is; what cannot be written is kept for the next time."""
        refused, self._refused = self._refused, Counter()
        owed, self._owed = list(self._owed), deque(maxlen=_MAX_OWED)
        notes = owed + [
            Note(actor="", action="auth.refused", subject=name, remote=remote, after={"times": times})
            for (name, remote), times in refused.items()
        ]
        if not notes:
            return
        if refused:
            _log.warning(
                "logins were refused", extra={"times": refused.total(), "from_addresses": len({a for _, a in refused})}
            )
        try:
            await self._store.note_all(notes)
        except StoreError:
            self._owed.extendleft(reversed(owed))
            for (name, remote), times in refused.items():
                key = (name, remote)
                self._refused[key if key in self._refused or len(self._refused) < MAX_LINES else _OTHERS] += times
