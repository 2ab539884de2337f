"""Secrets at rest: sealed with a key made from the secret key; tokens are looked up by a keyed hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from cryptography.fernet import Fernet, InvalidToken

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else


class Seal:
    """Encrypts, decrypts and hashes with keys of their own, all made from the one secret key."""

    def __init__(self, secret_key: str) -> None:
        def derive(purpose: bytes) -> bytes:
            return hmac.digest(secret_key.encode(), purpose, hashlib.sha256)

        self._fernet = Fernet(base64.urlsafe_b64encode(derive(b"seal")))
        self._lookup_key = derive(b"lookup")
        self.session_key = derive(b"session").hex()

    def close(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The text again; "" when it was sealed with another key or was changed."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except (InvalidToken, ValueError):
            return ""

    def lookup(self, text: str) -> str:
        """A keyed hash by which a secret can be found without being stored."""
        return hmac.digest(self._lookup_key, text.encode(), "sha256").hex()


def fresh_token(length: int = 16) -> str:
    """A random token of letters and digits: 16 characters carry 79 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
