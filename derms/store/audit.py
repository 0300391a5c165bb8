"""Reading the audit log, and lines in it that stand for themselves."""

from collections.abc import Sequence
from dataclasses import asdict

from derms.accounts import AuditFilter, AuditLine, Note
from derms.store.database import READ_S, Database, as_json

_CONDITIONS = {
    "actor": "actor = %(actor)s",
    "action": "action = %(action)s",
    "subject": "subject = %(subject)s",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
    "below": "audit_id < %(below)s",
}


class AuditTable(Database):
    """Implements `AuditStore`."""

    async def read_audit(self, asked: AuditFilter) -> list[AuditLine]:
        """Lines, newest first."""
        values = {name: value for name, value in asdict(asked).items() if value is not None}
        conditions = [condition for name, condition in _CONDITIONS.items() if name in values]
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        # The oldest lines have in `detail` what later ones have in `after`.
        rows = await self._select(
            "SELECT audit_id, at, actor, action, subject, request_id, remote, before, detail || after AS after "
            f"FROM audit_log {where}ORDER BY audit_id DESC LIMIT %(limit)s",
            values,
        )
        return [AuditLine(**row) for row in rows]

    async def note_all(self, notes: Sequence[Note]) -> None:
        """Commit lines together."""
        async with self._link.use(READ_S) as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO audit_log (actor, action, subject, request_id, remote, after) "
                "VALUES (%s, %s, %s, '', %s, %s)",
                [[note.actor, note.action, note.subject, note.remote, as_json(note.after)] for note in notes],
            )
