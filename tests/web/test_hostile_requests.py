"""Requests made to get at more than is asked for: names of hosts, added fields, pictures of other mails, files that are no mail."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from flask import request

from core.store.database import connected
from core.store.models import Message, Rep, Thread
from core.store.one_time import password_link
from tests.web.world import World


def thread_of(inbound: int) -> Thread:
    return Thread.get_by_id(Message.get(Message.inbound_id == inbound).thread_id)


def test_a_picture_is_looked_for_in_its_own_mail_only(world: World, mail: SimpleNamespace) -> None:
    """A content id names a part of the same mail (RFC 2392 2): the picture of another mail is not found by it."""
    inbound = world.mail("Borrowed picture", html='<p>Look <img src="cid:logo@sales.example"></p>')
    with connected():
        borrowed, own = Message.get(Message.inbound_id == inbound).id, mail.message
    client = world.client("ana")
    assert "/pictures/" in client.get(f"/messages/{own}/body").text
    body = client.get(f"/messages/{borrowed}/body").text
    assert "Look" in body
    assert "/pictures/" not in body


def test_a_mail_that_is_added_changes_nobodys_sight(world: World, mail: SimpleNamespace) -> None:
    """The rep's habit decides for new conversations; what is private stays so, whatever is added to it."""
    first = world.mail("Sight", message_id="<sight-1@sales.example>")
    with connected():
        Rep.update(default_sharing="company").where(Rep.email == "ana@sales.example").execute()
        before = thread_of(first)
    try:
        added = world.mail("Re: Sight", references="<sight-1@sales.example>", text="more")
        named = world.mail("Re: Sight", sender="Ben Ruiz <ben@sales.example>", references="<sight-1@sales.example>", text="from Ben")
    finally:
        with connected():
            Rep.update(default_sharing="private").where(Rep.email == "ana@sales.example").execute()
    with connected():
        assert thread_of(added).id == before.id
        assert thread_of(added).sharing == before.sharing == "private"
        assert thread_of(named).id != before.id
    assert world.client("ben").get(f"/threads/{before.id}").status_code == 404


def test_a_link_never_goes_where_the_request_says(world: World) -> None:
    with world.app.test_request_context("/forgotten", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}), connected():
        assert "evil.example" in request.url
        link = password_link("ben@sales.example", world.house)
    assert link.startswith(world.settings.web_url + "/reset/")
    assert "evil.example" not in link
    page = world.client().get("/login", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert "evil.example" not in page.text
    assert "evil.example" not in (page.location or "")


@pytest.mark.parametrize(
    "path", ["/inbox?sort=1;drop%20table%20message", "/inbox?cursor=1%27--", "/deals?sort=title;--&order=(select%201)", "/contacts?page=%00", "/held?tab=%27%20or%201=1", "/inbox?tab=../../etc"]
)
def test_what_a_stranger_adds_to_an_address_or_a_form_counts_for_nothing(world: World, mail: SimpleNamespace, path: str) -> None:
    admin = world.client("cleo")
    assert admin.get(path).status_code in (200, 303, 400, 404, 422)
    ana = world.client("ana")
    with connected():
        before = Rep.get(Rep.email == "ana@sales.example")
        threads = Thread.select().count()
    more = {"role": "admin", "is_admin": "1", "owner_id": "3", "id": "3", "email": "root@evil.example", "status": "active", "password_hash": "x", "epoch": "9"}
    assert world.post(ana, "/account/person", name="Ana Sand", time_zone="UTC", language="en", **more).status_code in (200, 303)
    world.post(ana, f"/threads/{mail.thread}/seen", owner="3", owner_id="3", sharing="company")
    with connected():
        after = Rep.get(Rep.email == "ana@sales.example")
        thread = Thread.get_by_id(mail.thread)
        assert (after.id, after.role, after.password_hash, after.session_epoch) == (before.id, before.role, before.password_hash, before.session_epoch)
        assert (thread.owner_id, thread.sharing) == (before.id, "private")
        assert Thread.select().count() == threads
    assert ana.get("/settings/people").status_code == 404


def test_no_page_takes_a_plugin(world: World) -> None:
    """Plugins come from the disk, put there by who runs the house: no page about them changes anything, and no form sends a file."""
    about = [rule for rule in world.app.url_map.iter_rules() if "plugin" in rule.rule]
    assert about
    assert all(not rule.methods & {"POST", "PUT", "PATCH", "DELETE"} for rule in about)
    admin = world.client("cleo")
    for path in ("/settings", "/settings/plugins", "/settings/policy", "/sources"):
        page = admin.get(path, follow_redirects=True).text
        assert not re.search(r'type="file"|multipart/form-data', page), path
