"""Users and their sessions."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from derms.accounts import Session, Turned, User, UserChange, UserSource, changed
from derms.errors import ConflictError, NotFoundError
from derms.model import Author, Role
from derms.store.database import READ_S, Change, Database

_COLUMNS = "username, role, password_hash, disabled, source, seed, generation, created_at, changed_at"
_FOUND = f"SELECT {_COLUMNS} FROM users WHERE username = %(username)s"
_OTHER_ADMINS = (
    "SELECT 1 AS found FROM users WHERE role = 'admin' AND NOT disabled AND username <> %(username)s LIMIT 1"
)


class UserTables(Database):
    """Implements `UserStore` and `SessionStore`."""

    async def load_users(self) -> list[User]:
        """All of them, by name."""
        return [user_of(row) for row in await self._select(f"SELECT {_COLUMNS} FROM users ORDER BY username")]

    async def add_user(self, user: User, *, by: Author) -> None:
        """Commit a new user together with its line in the audit log.

        Raises:
            ConflictError: The name exists.
        """
        marks = ", ".join(f"%({column})s" for column in _COLUMNS.split(", "))
        async with self._audited("user.create", user.username, by) as change:
            change.after = _told(user)
            await change.connection.execute(f"INSERT INTO users ({_COLUMNS}) VALUES ({marks})".encode(), asdict(user))

    async def change_user(
        self, username: str, change: UserChange, *, action: str, by: Author, keep_an_admin: bool = True
    ) -> User:
        """Commit a change, end the user's sessions, and raise the generation.

        Raises:
            NotFoundError: There is no such user.
            ConflictError: No admin who may log in would be left.
        """
        async with self._audited(action, username, by) as done:
            # Two admins who disable each other must not both be let.
            await done.connection.execute("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE")
            row = await done.one(_FOUND, {"username": username})
            if row is None:
                raise NotFoundError(
                    f"there is no user {username!r}",
                    why="no user goes by that name",
                    next_step="list the users, and name one of them",
                )
            before = user_of(row)
            after = changed(before, change)
            if keep_an_admin and _is_admin(before) and not _is_admin(after):
                await _need_another_admin(done, username)
            done.before, done.after = _told(before), _told(after)
            if change.password_hash is not None:
                done.after = {**done.after, "password": "changed"}
            await done.connection.execute(
                "UPDATE users SET role = %(role)s, password_hash = %(password_hash)s, disabled = %(disabled)s, "
                "source = %(source)s, seed = %(seed)s, generation = %(generation)s, changed_at = %(changed_at)s "
                "WHERE username = %(username)s",
                asdict(after),
            )
            await done.connection.execute("DELETE FROM sessions WHERE username = %s", [username])
        return after

    async def rehash_user(self, username: str, old: str, new: str) -> None:
        """Replace a password's hash by a better one of the same password; not when it is no longer `old`."""
        async with self._link.use(READ_S) as connection:
            await connection.execute(
                "UPDATE users SET password_hash = %s WHERE username = %s AND password_hash = %s", [new, username, old]
            )

    async def open_session(self, session: Session, *, keep: int, by: Author) -> list[str]:
        """Commit a session with its line in the audit log, and forget what is over.

        Returns:
            The ids of those of the user that ended, as there were more than `keep`.
        """
        async with self._audited("auth.login", session.username, by) as change:
            run = change.connection.execute
            for statement in (
                "DELETE FROM sessions WHERE expires_at <= %s",
                "DELETE FROM ended_tokens WHERE until <= %s",
            ):
                await run(statement.encode(), [session.opened_at])
            await run(
                "INSERT INTO sessions (session_id, username, remote, turn, opened_at, expires_at) VALUES ("
                "%(session_id)s, %(username)s, %(remote)s, %(turn)s, %(opened_at)s, %(expires_at)s)",
                asdict(session),
            )
            rows = await run(
                "WITH gone AS (DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions "
                "WHERE username = %(username)s AND session_id <> %(mine)s ORDER BY opened_at DESC, session_id "
                "OFFSET %(others)s) RETURNING session_id, expires_at) "
                "INSERT INTO ended_tokens SELECT session_id, expires_at FROM gone RETURNING ended_id",
                {"username": session.username, "mine": session.session_id, "others": keep - 1},
            )
            return [row[0] for row in await rows.fetchall()]

    async def turn_session(self, session_id: str, turn: int, *, now: datetime) -> Turned:
        """Take a refresh token in for the next one; of two who come with the same one turns it."""
        values = {"id": session_id, "turn": turn, "now": now}
        turned = await self._select(
            "UPDATE sessions SET turn = turn + 1 WHERE session_id = %(id)s AND turn = %(turn)s "
            "AND expires_at > %(now)s RETURNING turn",
            values,
        )
        if turned:
            return Turned.TURNED
        spent = await self._select(
            "SELECT 1 AS found FROM sessions WHERE session_id = %(id)s AND turn > %(turn)s AND expires_at > %(now)s",
            values,
        )
        return Turned.SPENT if spent else Turned.GONE

    async def end_session(self, ended_id: str, until: datetime, *, subject: str, action: str, by: Author) -> None:
        """End a session, or a token that belongs to none, with a line in the audit log; twice is no error."""
        async with self._audited(action, subject, by) as change:
            await change.connection.execute("DELETE FROM sessions WHERE session_id = %s", [ended_id])
            await change.connection.execute(
                "INSERT INTO ended_tokens VALUES (%s, %s) ON CONFLICT (ended_id) DO NOTHING", [ended_id, until]
            )

    async def load_ended(self, now: datetime) -> dict[str, datetime]:
        """What was ended before its time: id -> until when that matters."""
        rows = await self._select("SELECT ended_id, until FROM ended_tokens WHERE until > %(now)s", {"now": now})
        return {row["ended_id"]: row["until"] for row in rows}


def user_of(row: Mapping[str, Any]) -> User:
    """The user of a row."""
    return User(**{**row, "role": Role(row["role"]), "source": UserSource(row["source"])})


async def _need_another_admin(change: Change, username: str) -> None:
    if await change.one(_OTHER_ADMINS, {"username": username}) is None:
        raise ConflictError(
            f"{username!r} is the last admin who may log in",
            why="somebody must be able to administer",
            next_step="make another admin first",
        )


def _is_admin(user: User) -> bool:
    return user.role is Role.ADMIN and not user.disabled


def _told(user: User) -> dict[str, object]:
    """What the audit log is told of a user: never a hash."""
    return {"role": user.role, "disabled": user.disabled, "source": user.source}
