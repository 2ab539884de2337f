"""A house that explains mails: set up so that nothing but the rules stands in the way of the hostile mails' sender."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.explain import Explainer
from core.house import build
from core.settings import Settings
from core.store import company as company_settings
from core.store import lookups
from core.store.database import close_databases, connected, intake_db, main_db
from core.store.load import load
from core.store.models import Inbound, Outcome
from core.store.setup import set_up


@contextmanager
def explaining(folder: Path) -> Iterator[Explainer]:
    """An explainer of a company of its own: drop@crm.example, and the reps rep@sender.example, ceo@victim.example and bob@example.com."""
    before = main_db.obj, intake_db.obj
    house = build(Settings(data_dir=folder, secret_key="k" * 32))
    with connected():
        set_up(
            company="Sender", slug="drop", mail_domain="crm.example", admin_email="rep@sender.example", password="correct horse battery", policy="single-open",
            policies=house.plugins.policies, seal=house.seal, now=house.now(),
        )  # fmt: skip
        load({"reps": [{"external_id": "ceo", "email": "ceo@victim.example"}, {"external_id": "bob", "email": "bob@example.com"}]}, house.now())
    company_settings.forget_cache()
    lookups.forget_ours()
    made = Explainer(house)
    yield made
    with connected():
        assert Inbound.select().count() == Outcome.select().count() == 0  # nothing was stored
    made.close()
    close_databases()
    main_db.initialize(before[0])
    intake_db.initialize(before[1])
    company_settings.forget_cache()
    lookups.forget_ours()
