"""What costs every test a little and proves nothing in it, done once for all tests of a process."""

from __future__ import annotations

from argon2 import PasswordHasher
from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache

from core.store import passwords

HASHER_OF_USERS = passwords._hasher


class _Kept(BytecodeCache):
    """Compiled templates in memory. jinja asks for each by its name and the checksum of its source."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._kept.get(bucket.key, ("", b""))
        if checksum == bucket.checksum:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = (bucket.checksum, bucket.bytecode_to_string())


def keep_templates() -> None:
    """From here on a template is compiled once for all apps: compiling them costs more than everything else that an app does at its start."""
    Flask.jinja_options = {"bytecode_cache": _Kept()}


def cheap_passwords() -> None:
    """From here on a password is hashed in no time: those of the tests are no secrets. tests/web/test_sign_in.py looks at what hashes those of users."""
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
