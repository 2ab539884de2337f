"""The people of a conversation: made a contact in place, or kept out of what is logged."""

from __future__ import annotations

import re
from types import SimpleNamespace

from core.store import never_log, threads
from core.store.database import connected
from core.store.models import Audit, ContactAddress, Link, NeverLog, Thread
from tests.web.world import World


def thread_of(subject: str) -> int:
    with connected():
        return int(Thread.get(Thread.subject == subject).id)


def test_an_address_that_the_rules_pass_over_is_made_a_contact_by_hand(world: World, mail: SimpleNamespace) -> None:
    world.mail("To the desk", to="Front Desk <info@role.example>")
    thread = thread_of("To the desk")
    client = world.client("ana")
    page = client.get(f"/threads/{thread}").text
    assert "Make a contact of this person" in page
    assert "Never log" not in page, "the list is the company's: admins keep it"
    assert world.post(world.client("ben"), f"/threads/{thread}/people", address="info@role.example").status_code == 404
    assert world.post(client, f"/threads/{thread}/people", address="not@there.example").status_code == 404
    answer = world.post(client, f"/threads/{thread}/people", address="info@role.example")
    page = client.get(answer.location).text
    assert "Front Desk is a contact now." in page
    assert "Make a contact of this person" not in page
    with connected():
        contact = ContactAddress.get(ContactAddress.address == "info@role.example").contact
        assert contact.name == "Front Desk"
        assert Link.get(Link.thread == thread, Link.kind == "contact", Link.removed_at.is_null()).contact_id == contact.id


def test_an_admin_keeps_an_address_or_a_domain_out_and_takes_it_back(world: World, mail: SimpleNamespace) -> None:
    world.mail("Gossip", to="Gil Gossip <gil@gossip.example>")
    thread = thread_of("Gossip")
    with connected():
        Thread.update(sharing="company").where(Thread.id == thread).execute()
    admin = world.client("cleo")
    assert "Never log gossip.example" in admin.get(f"/threads/{thread}").text
    assert world.post(admin, f"/threads/{thread}/never-log", address="ana@sales.example", what="address").status_code == 404, "a colleague"
    assert world.post(admin, f"/threads/{thread}/never-log", address="kim@far.example", what="address").status_code == 404, "takes no part"
    assert world.post(world.client("ana"), f"/threads/{thread}/never-log", address="gil@gossip.example").status_code == 404
    for what, pattern in (("address", "gil@gossip.example"), ("domain", "gossip.example")):
        page = admin.get(world.post(admin, f"/threads/{thread}/never-log", address="gil@gossip.example", what=what).location).text
        with connected():
            assert [row.pattern for row in NeverLog.select()] == [pattern]
            assert not never_log.would_log("gil@gossip.example")
        world.post(admin, re.search(r'action="(/undo/[\w-]+)"', page)[1])
        with connected():
            assert NeverLog.select().count() == 0
            assert Audit.select().where(Audit.act == "never-log-added").exists()


def test_who_sees_a_conversation_is_told_without_guessing(world: World, mail: SimpleNamespace) -> None:
    def said(name: str) -> str:
        return world.client(name).get(f"/threads/{mail.evil_thread}").text.partition('id="sharing"')[2].partition("</section>")[0]

    assert "who sent its mails and when" in said("ana")
    closed = world.client("cleo").get(f"/threads/{mail.evil_thread}").text
    assert "bo@cust.example" not in closed, "with whom is not for an admin to know"
    with connected():
        threads.set_sharing(world.viewer("ana"), mail.evil_thread, "company")
    assert "It is your mail, and it is shared with the company." in said("ana")
    assert "It is mail of Ana Sand, and it is shared with the company." in said("ben")
    with connected():
        threads.set_sharing(world.viewer("ana"), mail.evil_thread, "private")
