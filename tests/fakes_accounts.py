"""Users, sessions and the audit log in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from derms.accounts import AuditFilter, AuditLine, Note, Session, Turned, User, UserChange, changed
from derms.errors import ConflictError, NotFoundError, StoreError
from derms.model import Author, Role


class FakeAccounts:
    """The account ports on dicts; `away` stands for a database that does not answer."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.sessions: dict[str, Session] = {}
        self.ended: dict[str, datetime] = {}
        self.lines: list[AuditLine] = []
        self.away = False

    async def load_users(self) -> list[User]:
        self._ask()
        return sorted(self.users.values(), key=lambda user: user.username)

    async def add_user(self, user: User, *, by: Author) -> None:
        self._ask()
        if user.username in self.users:
            raise ConflictError(f"{user.username!r} exists")
        self.users[user.username] = user
        self._line("user.create", user.username, by, after=_told(user))

    async def change_user(
        self, username: str, change: UserChange, *, action: str, by: Author, keep_an_admin: bool = True
    ) -> User:
        self._ask()
        if username not in self.users:
            raise NotFoundError(f"there is no user {username!r}")
        before = self.users[username]
        after = changed(before, change)
        others = [user for user in self.users.values() if user.username != username]
        if keep_an_admin and _is_admin(before) and not any(_is_admin(user) for user in [*others, after]):
            raise ConflictError(f"{username!r} is the last admin")
        self.users[username] = after
        self.sessions = {key: session for key, session in self.sessions.items() if session.username != username}
        secret = {} if change.password_hash is None else {"password": "changed"}
        self._line(action, username, by, before=_told(before), after={**_told(after), **secret})
        return after

    async def rehash_user(self, username: str, old: str, new: str) -> None:
        self._ask()
        if self.users[username].password_hash == old:
            self.users[username] = replace(self.users[username], password_hash=new)

    async def open_session(self, session: Session, *, keep: int, by: Author) -> list[str]:
        self._ask()
        if session.username not in self.users:
            raise NotFoundError(f"there is no user {session.username!r}")
        now = session.opened_at
        self.sessions = {key: one for key, one in self.sessions.items() if one.expires_at > now}
        self.ended = {key: until for key, until in self.ended.items() if until > now}
        own = sorted(
            (one for one in self.sessions.values() if one.username == session.username),
            key=lambda one: one.opened_at,
            reverse=True,
        )
        gone = own[keep - 1 :]
        for one in gone:
            self.ended[one.session_id] = self.sessions.pop(one.session_id).expires_at
        self.sessions[session.session_id] = session
        self._line("auth.login", session.username, by)
        return [one.session_id for one in gone]

    async def turn_session(self, session_id: str, turn: int, *, now: datetime) -> Turned:
        self._ask()
        session = self.sessions.get(session_id)
        if session is None or session.expires_at <= now or turn > session.turn:
            return Turned.GONE
        if turn < session.turn:
            return Turned.SPENT
        self.sessions[session_id] = replace(session, turn=turn + 1)
        return Turned.TURNED

    async def end_session(self, ended_id: str, until: datetime, *, subject: str, action: str, by: Author) -> None:
        self._ask()
        self.sessions.pop(ended_id, None)
        self.ended.setdefault(ended_id, until)
        self._line(action, subject, by)

    async def load_ended(self, now: datetime) -> dict[str, datetime]:
        self._ask()
        return {key: until for key, until in self.ended.items() if until > now}

    async def read_audit(self, asked: AuditFilter) -> list[AuditLine]:
        self._ask()
        found = [line for line in reversed(self.lines) if _fits(line, asked)]
        return found[: asked.limit]

    async def note_all(self, notes: Sequence[Note]) -> None:
        self._ask()
        for note in notes:
            self._line(note.action, note.subject, Author(note.actor, "", note.remote), after=note.after)

    def _ask(self) -> None:
        if self.away:
            raise StoreError("the fake is away")

    def _line(
        self,
        action: str,
        subject: str,
        by: Author,
        *,
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
    ) -> None:
        self.lines.append(
            AuditLine(
                audit_id=len(self.lines) + 1,
                at=datetime.now(UTC),
                actor=by.username,
                action=action,
                subject=subject,
                request_id=by.request_id,
                remote=by.remote,
                before=before or {},
                after=after or {},
            )
        )


def _is_admin(user: User) -> bool:
    return user.role is Role.ADMIN and not user.disabled


def _told(user: User) -> dict[str, object]:
    return {"role": user.role.value, "disabled": user.disabled, "source": user.source.value}


def _fits(line: AuditLine, asked: AuditFilter) -> bool:
    wanted = asdict(asked)
    return (
        all(wanted[name] in (None, getattr(line, name)) for name in ("actor", "action", "subject"))
        and (asked.since is None or line.at >= asked.since)
        and (asked.until is None or line.at < asked.until)
        and (asked.below is None or line.audit_id < asked.below)
    )
