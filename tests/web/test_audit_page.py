"""The audit reads as sentences, whatever was done; a form that changes nothing leaves no line."""

from __future__ import annotations

import ast
import re
from types import SimpleNamespace

from core.store import links, threads
from core.store.database import connected
from core.store.models import Audit
from core.web.audit import SENTENCES, SETTINGS
from tests.test_house import ROOT
from tests.web.world import World

WRITERS = {"note", "_note", "_settled", "_gone_or_back", "_after_move"}


def acts_of_the_code() -> set[str]:
    """Every act that anything in core/ writes down: the words with hyphens that stand in the calls which write."""
    found: set[str] = set()
    for path in (ROOT / "core").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in WRITERS:
                words = (node.value for argument in call.args for node in ast.walk(argument) if isinstance(node, ast.Constant) and isinstance(node.value, str))
                found |= {word for word in words if re.fullmatch(r"[a-z]+(-[a-z]+)+", word)}
    return found


def test_every_act_has_its_sentence() -> None:
    found = acts_of_the_code()
    assert {"thread-opened", "domain-blocked", "source-paused", "split-undone"} <= found
    assert found - {"address-decided"} - SENTENCES.keys() == set()  # that one is a confirmation or a removal
    assert {"mail-released", "mail-retried", "mail-claimed"} <= SENTENCES.keys()


def test_every_setting_has_its_name() -> None:
    from core.store.company import Company

    assert Company.model_fields.keys() - SETTINGS.keys() - {"preset"} == set()


def test_the_page_speaks_in_sentences_and_leads_to_what_they_are_about(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    world.post(admin, f"/inbound/{mail.stranger}/dismiss")
    world.post(admin, "/held/block", domain="audited.example")
    world.post(admin, "/settings/people/addresses", address="ana@second.example", rep=str(world.rep("ana").id))
    world.post(admin, f"/threads/{mail.thread}/open")
    world.post(admin, "/settings/limits", **{"message_limit": "21", "attachment_limit": "50", "keep_raw_days": "0", "keep_held_days": "90", "keep_ignored_days": "30"})
    text = admin.get("/settings/audit").text
    for said in ("Put a mail aside", "Blocked the strangers of a domain", "audited.example", "Gave a rep another address", "ana@second.example", "Opened somebody’s private conversation"):
        assert said in text, said
    assert f'href="/inbound/{mail.stranger}"' in text
    assert f'href="/threads/{mail.thread}"' in text
    table = text.partition("<tbody>")[2].partition("</tbody>")[0]
    assert re.findall(r"\b(?:mail|thread|domain|settings|alias)-[a-z]+\b|inbound:\d+|rep:\d+", table) == []
    assert "Private offer" not in table, "an admin reads who and when, not what"


def test_only_what_changed_is_written_down(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    form = {"name": "Chairs Ltd", "slug": "chairs", "mail_domain": "drop.example", "grace_days": "90", "bcc_template": "{slug}@{domain}", "forward_template": "{slug}-fwd@{domain}", "record_template": "r-{token}@{domain}", "mailbox": ""}

    def saved(**changes: str) -> list[dict]:
        assert world.post(admin, "/settings", **{**form, **changes}).status_code == 303
        with connected():
            return [row.facts for row in Audit.select().where(Audit.act == "settings-changed").order_by(Audit.id)]

    before = saved()
    assert saved() == before
    assert saved(slug="stools", grace_days="30")[len(before) :] == [{"names": ["slug", "grace_days"], "values": {"slug": ["chairs", "stools"], "grace_days": [90, 30]}}]
    assert saved(grace_days="90")[len(before) + 1 :] == [{"names": ["slug", "grace_days"], "values": {"slug": ["stools", "chairs"], "grace_days": [30, 90]}}]
    text = admin.get("/settings/audit").text
    assert "Short name: chairs → stools · Grace time (days): 90 → 30" in text


def test_a_setting_keeps_its_old_and_new_value_and_no_secret(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    world.post(admin, "/settings/events", event_webhook_url="https://hooks.example/T123/very-secret?key=hidden")
    world.post(admin, "/settings/policy", policy="contact-only")
    with connected():
        kept = str([row.facts for row in Audit.select()])
        Audit.insert(at=world.house.now(), who="cleo@sales.example", act="settings-changed", about="settings", facts={"names": ["mailbox"]}).execute()
    assert "secret" not in kept
    assert "hidden" not in kept
    text = admin.get("/settings/audit").text
    assert "Event webhook: (empty) → hooks.example" in text
    assert '<span class="because">Existing mailbox</span>' in text, "a row of before: what changed is known, not from what to what"
    world.post(admin, "/settings/policy", policy="single-open")
    world.post(admin, "/settings/events", event_webhook_url="")
    titles = {name: str(policy.title) for name, policy in world.house.plugins.policies.items()}
    assert f"{titles['contact-only']} → {titles['single-open']}" in admin.get("/settings/audit").text


def test_a_link_is_told_with_the_sharing_of_then_and_its_record_where_it_may_be_read(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")

    def newest() -> str:
        return admin.get("/settings/audit").text.partition("<tbody>")[2].partition("</tr>")[0]

    world.post(admin, f"/threads/{mail.asked}/links", kind="deal", id=str(world.desks))
    assert "Linked somebody’s private conversation" in newest()
    assert "Desks" not in newest(), "what a private conversation is filed on is content"
    with connected():
        threads.set_sharing(world.viewer("ana"), mail.asked, "company")
        made = next(one for one in links.of_thread(mail.asked) if one.target_id == world.desks)
    world.post(admin, f"/threads/{mail.asked}/links/{made.id}/unlink")
    assert "Removed a link of somebody’s conversation, which the company shared" in newest()
    assert f'href="/deals/{world.desks}">Desks for Far Ltd</a>' in newest()
    with connected():
        threads.set_sharing(world.viewer("ana"), mail.asked, "private")
    assert "which the company shared" in newest()
    assert "Desks" not in newest()
    with connected():
        Audit.insert(at=world.house.now(), who="cleo@sales.example", act="thread-linked", about=f"thread:{mail.asked}", facts={}).execute()
    assert "Linked somebody’s conversation<" in newest().replace("\n", ""), "a row of before does not say how it was shared"
