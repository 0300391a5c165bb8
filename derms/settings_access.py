"""The settings that say who may: their shapes, and how they are read from one variable."""

import json
import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from derms.kinds import Role, ServeRole

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,255}")


class AuthUser(BaseModel):
    """Someone who may log in."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    username: str = Field(min_length=1, max_length=64)
    password: SecretStr | None = Field(default=None, min_length=1)
    password_hash: SecretStr | None = Field(
        default=None, min_length=1, validation_alias=AliasChoices("password_hash", "passwordHash")
    )
    role: Role = Role.VIEWER

    @model_validator(mode="after")
    def _has_one(self) -> "AuthUser":
        if (self.password is None) == (self.password_hash is None):
            raise ValueError("a user has either a password or a password_hash; give one of them")
        return self


def _users_from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        # `from None`: the decoder's error carries the text, and the text carries passwords.
        raise ValueError("it must be a JSON array of objects with username, password and role") from None


def _each_once(value: tuple[AuthUser, ...]) -> tuple[AuthUser, ...]:
    names = [user.username for user in value]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each username may stand there once, {', '.join(twice)} stands there more often")
    return value


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _any_role(value: tuple[ServeRole, ...]) -> tuple[ServeRole, ...]:
    if not value:
        raise ValueError(f"a process does something: name one or more of {', '.join(ServeRole)}")
    return tuple(role for role in ServeRole if role in value)


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise ValueError("an origin is a scheme, a host and perhaps a port; write it like https://screen.example:8443")
    return value.lower()


AuthUsers = Annotated[tuple[AuthUser, ...], BeforeValidator(_users_from_json), AfterValidator(_each_once)]
ServeRoles = Annotated[tuple[ServeRole, ...], BeforeValidator(_split), AfterValidator(_any_role)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], BeforeValidator(_split)]


def revealed(secret: SecretStr | None) -> str | None:
    """What a masked setting says; for the one who needs it."""
    return None if secret is None else secret.get_secret_value()
