"""Passwords, tokens, sessions, users and roles; the only door to argon2 and PyJWT. Roles: viewer < operator < admin."""

from derms.auth.authenticator import Authenticator
from derms.auth.keys import MIN_SECRET_BYTES, KeyRing, load_or_create_keys
from derms.auth.passwords import Passwords, check_password
from derms.auth.principal import Principal
from derms.auth.sessions import Grant
from derms.auth.tokens import IssuedToken, Tokens
from derms.auth.users import Credential, Users, check_seeds

__all__ = [
    "MIN_SECRET_BYTES",
    "Authenticator",
    "Credential",
    "Grant",
    "IssuedToken",
    "KeyRing",
    "Passwords",
    "Principal",
    "Tokens",
    "Users",
    "check_password",
    "check_seeds",
    "load_or_create_keys",
]
