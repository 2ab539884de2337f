"""What helps to choose: evidence beside each candidate, a new contact filled in, one's own conversations found from the record."""

from __future__ import annotations

import datetime as dt
import re
from types import SimpleNamespace

from core.store.database import connected
from core.store.models import Outcome, Rep, Thread
from tests.web.world import World

FORWARD = """---------- Forwarded message ---------
From: Kim Oda <kim@far.example>
Date: Tue, 17 Nov 2026 at 09:12
Subject: Delivery of the desks
To: Ana Sand <ana@sales.example>, Lee Moss <lee@far.example>

Dear Ana,
when will the desks arrive?
Kim
"""


def thread_of(subject: str) -> int:
    with connected():
        return int(Thread.get(Thread.subject == subject).id)


def test_the_panel_says_why_nothing_was_linked(world: World, mail: SimpleNamespace) -> None:
    world.mail("Nobody's deal", to="Una <una@unlinked.example>")
    with connected():
        thread = Thread.get(Thread.subject == "Nobody's deal").id
    page = world.client("ana").get(f"/threads/{thread}").text
    assert "On no deal, lead or project yet." in page
    assert "The thread&#39;s contacts have no records." in page


def test_a_candidate_says_what_tells_it_from_the_others(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    since = (world.house.now() - dt.timedelta(days=60)).strftime("%b %-d")
    for path in ("/choices", f"/threads/{mail.asked}"):
        candidates = re.findall(r'<button class="candidate".*?</button>', client.get(path).text, re.DOTALL)
        shown = [re.sub(r"<[^>]+>|\s+", " ", one) for one in candidates]
        assert len(shown) == 2, path
        for one in shown:
            assert re.search(rf"Deal · open · Kim Oda · since\s+{since}", one), one


def test_a_new_contact_is_filled_in_with_somebody_who_is_none_yet(world: World, mail: SimpleNamespace) -> None:
    world.mail("To a desk", to="Bo Berg <bo@cust.example>", cc="Help Desk <support@elsewhere.example>")
    thread = thread_of("To a desk")
    page = world.client("ana").get(f"/threads/{thread}/links?new=contact").text
    assert 'value="Help Desk"' in page
    assert 'id="new-address" name="address" type="email" maxlength="320" value="support@elsewhere.example"' in page
    client = world.client("ana")
    assert 'name="domain" maxlength="253" value="elsewhere.example"' in client.get(f"/threads/{thread}/links?new=organisation").text
    answer = world.post(client, f"/threads/{thread}/create", kind="organisation", title="Elsewhere Ltd", domain="elsewhere.example")
    assert answer.status_code == 303
    assert "Elsewhere Ltd" in client.get(f"/threads/{thread}").text
    again = world.post(client, f"/threads/{thread}/create", kind="organisation", title="Nowhere", domain="gmail.com")
    assert again.status_code == 422
    assert 'id="new-domain-wrong"' in again.text
    everybody_known = client.get(f"/threads/{mail.asked}/links?new=contact").text
    assert 'id="new-title" name="title" required maxlength="500" value=""' in everybody_known, "nobody is offered twice"


def test_a_forwarded_mail_names_whom_its_author_wrote_to(world: World, mail: SimpleNamespace) -> None:
    world.mail("Fwd: Delivery of the desks", to="chairs-fwd@drop.example", rcpt="chairs-fwd@drop.example", text=FORWARD)
    page = world.client("ana").get(f"/threads/{thread_of('Delivery of the desks')}").text
    summary = re.search(r'<summary>\s*<span class="avatar".*?</summary>', page, re.DOTALL)[0]
    assert "forwarded by Ana Sand" in summary
    assert "Lee Moss" in summary
    assert "chairs-fwd@drop.example" not in summary


def test_ones_own_conversation_is_found_from_the_record_behind_many_of_others(world: World, mail: SimpleNamespace) -> None:
    world.mail("Walnut sideboard, mine", sender="Ben Ruiz <ben@sales.example>", age=dt.timedelta(days=3))
    with connected():
        Rep.update(default_sharing="company").where(Rep.id == world.rep("ana").id).execute()
    for number in range(12):
        world.mail(f"Walnut {number}", to=f"P{number} <p{number}@walnut.example>")
    with connected():
        Rep.update(default_sharing="private").where(Rep.id == world.rep("ana").id).execute()
    found = world.client("ben").get(f"/deals/{world.chairs}/find?find=walnut").text
    assert "Walnut sideboard, mine" in found
    assert "Walnut 11" not in found, "only its owner and admins link it"
    assert "Walnut 11" in world.client("cleo").get(f"/deals/{world.chairs}/find?find=walnut").text


def test_a_choice_that_somebody_made_meanwhile_asks_before_it_replaces(world: World, mail: SimpleNamespace) -> None:
    world.mail("Who files it first", to="Kim Oda <kim@far.example>")
    thread = thread_of("Who files it first")
    assert world.post(world.client("cleo"), f"/choices/{thread}", kind="deal", id=str(world.desks)).status_code == 303
    answer = world.post(world.client("ana"), f"/choices/{thread}", kind="deal", id=str(world.lamps))
    assert "Replace “Desks for Far Ltd” with “Lamps for Far Ltd”?" in answer.text


def test_a_mail_that_was_not_let_in_says_the_mend_and_where_it_stopped(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    assert "If it is genuine, publish the DNS record shown" in admin.get("/held?tab=ignored").text
    page = admin.get(f"/inbound/{mail.rejected}").text
    before, _said, after = page.partition("What would have come next, had it been let in")
    assert "Is the sender genuine?" in before
    assert "What was checked" in before
    assert "Whose mail is it?" in after
    assert "Which conversation?" in after
    assert "Release and trust the sender" in after
    logged = admin.get(f"/messages/{mail.evil}/why", follow_redirects=True)
    assert "What would have come next" not in logged.text


def test_strangers_whose_domain_is_blocked_later_say_which(world: World, mail: SimpleNamespace) -> None:
    inbound = world.mail("Cheap tables", sender="Shop <shop@far.example>", ip="192.0.2.30")
    admin = world.client("cleo")
    world.post(admin, "/held/block", domain="far.example")
    page = admin.get(f"/inbound/{inbound}").text
    world.post(admin, "/held/unblock", domain="far.example")
    with connected():
        assert Outcome.get_by_id(inbound).params == {"address": "shop@far.example", "domain": "far.example"}
    assert "shop@far.example belongs to no rep, and an admin has blocked strangers of far.example." in page


def test_the_palette_goes_to_every_page_of_the_rail_and_every_part_of_the_settings(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    everything = re.findall(r'href="([^"]+)"', admin.get("/anything").text)
    rail = re.findall(r'<a class="place" href="([^"]+)"', admin.get("/inbox").text)
    parts = re.findall(r'href="(/settings[^"]*)"', admin.get("/settings").text.partition("section-nav")[2].partition("</nav>")[0])
    assert len(parts) >= 10
    assert set(rail) | set(parts) <= set(everything)
    assert 'href="/settings/data"' in admin.get("/anything?q=retention").text
    assert "/settings" not in world.client("ana").get("/anything").text


def test_an_invitation_says_whether_a_mail_is_on_its_way(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    answer = world.post(admin, "/settings/people", name="New", email="new@sales.example", role="member")
    assert "Give this link to new@sales.example." in admin.get(answer.location).text


def test_a_search_says_what_it_left_out_in_the_readers_language(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    for typed, term in (("before:banana", "before:banana"), ("from:", "from:"), ("offer before:banana.", "before:banana.")):
        text = client.get("/inbox", query_string={"q": typed}).text
        assert f"Not understood, and left out: {term}" in text, typed
    assert "Nothing in “(” can be looked for, so no mail is left out." in client.get("/inbox?q=(").text
    assert "can be looked for" not in client.get("/inbox?q=offer").text
    assert "can be looked for" not in client.get("/inbox?q=is:held").text
    with connected():
        Rep.update(language="sv").where(Rep.id == world.rep("ana").id).execute()
    text = client.get("/inbox", query_string={"q": "a" * 300}).text
    with connected():
        Rep.update(language="en").where(Rep.id == world.rep("ana").id).execute()
    assert "Only the first 256 characters" not in text


def test_a_link_by_hand_names_the_person_once(world: World, mail: SimpleNamespace) -> None:
    world.mail("Linked by hand", to="Nina <nina@byhand.example>")
    thread = thread_of("Linked by hand")
    client = world.client("ana")
    world.post(client, f"/threads/{thread}/links", kind="deal", id=str(world.chairs))
    panel = client.get(f"/threads/{thread}/links").text
    assert "Ana Sand linked it by hand." in panel
    assert "ana@sales.example linked" not in panel
    assert "by Ana Sand ·" not in panel


def test_a_new_deal_comes_with_its_person_and_its_organisation(world: World, mail: SimpleNamespace) -> None:
    world.mail("Before there was a deal", to="Olga <olga@newdeal.example>")
    client = world.client("ana")
    answer = world.post(client, "/deals", title="Olga’s shelves", address="Olga@newdeal.example", organisation="New Deal Ltd")
    page = client.get(answer.location).text
    assert "New Deal Ltd" in page
    assert "Before there was a deal" in page.partition("Link these earlier conversations?")[2]
    for form, place in (({"title": "", "address": "pia@nowhere.example"}, "title"), ({"title": "x", "address": "not an address"}, "address")):
        refused = world.post(client, "/deals", organisation="Never Made Ltd", **form)
        assert refused.status_code == 422
        assert f'id="{place}-wrong"' in refused.text, form
        assert 'value="Never Made Ltd"' in refused.text
    assert "Never Made Ltd" not in client.get("/organisations").text, "nothing is left of what was refused"
    assert "pia@nowhere.example" not in client.get("/contacts").text
