"""First-run set-up: the company, its drop addresses, its first admin and an API token, all or nothing."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Collection

from core.errors import BadInput
from core.reasons import N_
from core.store import drops, passwords, reps
from core.store.company import beat, change_company, forget_cache, is_set_up
from core.store.database import write
from core.store.models import ApiToken
from core.store.seal import Seal

DONE = N_("this Dropcopy is set up already; change it in the settings")


def set_up(
    *, company: str, slug: str, mail_domain: str, admin_email: str, password: str, policy: str, policies: Collection[str], seal: Seal, now: dt.datetime,
    with_token: bool = True,
) -> dict[str, str]:
    """Set the company up and give `bcc_address`, `forward_address` and `api_token` (an admin's; "" when none is wanted). Raises BadInput."""
    if is_set_up():
        raise BadInput("setup", DONE)
    if not company.strip():
        raise BadInput("company", N_("give the name of your company"))
    if not slug.strip():
        raise BadInput("slug", N_("give a short name such as acme"))
    named = reps.address_of(f"x@{mail_domain.strip().strip('.')}")
    if named is None or ("." not in named and mail_domain != "localhost"):
        raise BadInput("mail-domain", N_("give the domain of the drop addresses, such as drop.example.com"))
    email = reps.address_of(admin_email)
    if email is None:
        raise BadInput("admin-email", N_("%(address)s is no e-mail address"), address=repr(admin_email))
    if policy not in policies:
        raise BadInput("policy", N_("there is no policy %(policy)s; choose one of %(choices)s"), policy=repr(policy), choices=", ".join(sorted(policies)))
    passwords.check_strength(password)
    try:
        with write():
            beat("settings")  # on PostgreSQL a second set-up waits here for the first, and then finds it done
            if is_set_up():
                raise BadInput("setup", DONE)
            change_company({"name": company.strip(), "slug": slug, "mail_domain": mail_domain, "policy": {"name": policy, "options": {}}})
            drops.enter_universal(seal, now)
            admin = reps.create_rep(email, email.partition("@")[0], now, role="admin", password_hash=passwords.hash_password(password))
            token = fresh_api_token(admin.id, "set-up", seal, now) if with_token else ""
    finally:
        forget_cache()
    bcc, forward = drops.universal()
    return {"bcc_address": bcc, "forward_address": forward, "api_token": token}


def fresh_api_token(rep_id: int, name: str, seal: Seal, now: dt.datetime) -> str:
    """A new token of a rep: shown once, kept as a keyed hash."""
    token = "dc_" + secrets.token_urlsafe(32)
    ApiToken.create(rep=rep_id, name=name, hashed=seal.lookup(token), created_at=now)
    return token
