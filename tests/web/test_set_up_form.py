"""The form of the first visit, in a house where nobody was before."""

from __future__ import annotations

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from core.store.company import forget_cache
from core.store.database import connected
from core.store.models import Setting
from tests.web.world import World

GOOD = {
    "company": "Acme", "slug": "acme", "mail_domain": "drop.acme.example", "admin_email": "eva@acme.example", "password": "a long enough one", "again": "a long enough one",
    "policy": "contact-only",
}  # fmt: skip


@pytest.mark.parametrize(
    "field, typed", [("company", " "), ("slug", "No Slug"), ("mail_domain", "nothing"), ("admin_email", "eva"), ("password", "short"), ("again", "another")]
)
def test_the_sentence_stands_beside_the_field_and_what_was_typed_is_still_there(world: World, field: str, typed: str) -> None:
    with connected():
        Setting.delete().execute()
        forget_cache()
    values = {**GOOD, field: typed, **({"again": typed} if field == "password" else {})}
    answer = world.post(world.app.test_client(), "/setup", page="/setup", **values)
    assert answer.status_code == 422
    form = HTMLParser(answer.text).css_first("form")
    node = form.css_first(f'[name="{field}"]')
    assert node.attributes.get("aria-invalid") == "true"
    assert f"{field}-wrong" in (node.attributes.get("aria-describedby") or "").split()
    assert form.css_first(f'[id="{field}-wrong"]').text().strip().endswith(".")
    for name in ("company", "slug", "mail_domain", "admin_email"):
        assert form.css_first(f'[name="{name}"]').attributes.get("value") == values[name]
    assert form.css_first('[name="policy"][checked]').attributes.get("value") == "contact-only"
    for name in ("password", "again"):
        assert not form.css_first(f'[name="{name}"]').attributes.get("value")
