"""Password hashes: argon2id with the parameters OWASP recommends (19 MiB, two passes, one lane)."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from core.errors import BadInput
from core.reasons import N_

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_NOBODY = _hasher.hash("a password that nobody has")

SHORTEST = 8
LONGEST = 1024


def check_strength(password: str, where: str = "password") -> str:
    """The password, or BadInput with the sentence why not."""
    if len(password) < SHORTEST:
        raise BadInput(where, N_("use at least %(number)s characters"), number=SHORTEST)
    if len(password) > LONGEST:
        raise BadInput(where, N_("use at most %(number)s characters"), number=LONGEST)
    return password


def hash_password(password: str) -> str:
    return _hasher.hash(password)


def verify(hashed: str | None, password: str) -> bool:
    """True when the password fits; takes the same time when there is no such account."""
    try:
        return _hasher.verify(hashed or _NOBODY, password[:LONGEST]) and hashed is not None
    except (Argon2Error, InvalidHashError):
        return False
