"""What a rep does all day: find, link, share, archive, undo; and what an admin sets."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from core import events
from core.store import lookups, never_log, strangers
from core.store.company import company
from core.store.database import connected
from core.store.models import Link, Message, Notice, Outcome, SenderAddress, SourceInstance, Thread
from core.store.threads import set_sharing
from core.web.inbox import PAGE
from tests.web.world import World

HTMX = {"HX-Request": "true"}


def toasts(answer) -> list[dict]:
    return json.loads(answer.headers["HX-Trigger"])["toast"]


def test_the_inbox_says_where_each_mail_is_filed(world: World, mail: SimpleNamespace) -> None:
    text = world.client("ana").get("/inbox").text
    assert "Private offer" in text
    assert 'class="chip deal" href="/deals/1"' in text
    assert "Needs a choice" in text
    assert "The sender is proved by SPF" in text


def test_what_can_be_done_with_a_row_stands_once_in_the_page(world: World, mail: SimpleNamespace) -> None:
    text = world.client("ana").get("/inbox").text
    rows = re.findall(r'<li id="row-\d+".*?</li>', text, re.S)
    assert len(rows) > 1
    assert all("<svg" not in row and "formaction" not in row and "data-may=" in row for row in rows)
    pattern = re.search(r'<template id="acts">(.*?)</template>', text, re.S)[1]
    for path in ("/inbox/0/archive", "/inbox/0/sharing", "/inbox/0/link-item", "/threads/0#links"):
        assert path in pattern
    assert text.count("formaction=") == pattern.count("formaction=")


def test_a_partial_is_the_list_alone_and_a_page_holds_it(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    partial = client.get("/inbox", headers=HTMX).text
    assert partial.lstrip().startswith('<div id="list"')
    assert "<html" not in partial
    for headers in ({}, {**HTMX, "HX-Boosted": "true"}, {**HTMX, "HX-History-Restore-Request": "true"}):
        assert "<html" in client.get("/inbox", headers=headers).text


def test_the_live_version_answers_204_until_something_changes(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    known = client.get("/live?v=none").json["version"]
    assert client.get(f"/live?v={known}").status_code == 204
    world.mail("Something new", to="New Person <n@new.example>")
    assert client.get(f"/live?v={known}").json["version"] != known
    assert world.client().get("/live?v=1").status_code == 401


def test_others_private_mail_does_not_move_the_live_version(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ben")
    known = client.get("/live?v=none").json["version"]
    world.mail("Only for Ana", to="Bo <bo@cust.example>")
    assert client.get(f"/live?v={known}").status_code == 204


def test_new_mail_waits_behind_a_pill(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    since = re.search(r"/inbox/new\?tab=all&amp;since=([\d-]+)", client.get("/inbox").text)[1]
    world.mail("Behind the pill", to="Pia <p@pill.example>")
    assert "1 new" in client.get(f"/inbox/new?since={since}", headers=HTMX).text
    for number in range(PAGE):
        world.mail(f"And {number} more", to="Pia <p@pill.example>")
    assert f"{PAGE} or more new" in client.get(f"/inbox/new?since={since}", headers=HTMX).text


def test_an_open_conversation_tells_of_a_mail_that_came_into_it(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Told about", to="Tea <tea@told.example>", message_id="<told@sales.example>")
    with connected():
        thread = Thread.get(Thread.subject == "Told about").id
    asks = re.search(rf'hx-get="(/threads/{thread}/new\?known=\d+)"', client.get(f"/threads/{thread}").text)[1]
    assert "new mail" not in client.get(asks, headers=HTMX).text.replace("new-mail", "")
    world.mail("Re: Told about", to="Tea <tea@told.example>", references="<told@sales.example>")
    assert "1 new mail in this conversation" in client.get(asks, headers=HTMX).text
    world.post(client, f"/threads/{thread}/delete")
    assert client.get(asks, headers=HTMX).status_code == 404


def test_the_panel_says_why_and_one_click_replaces_after_a_question(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Linked by the rule")
    with connected():
        thread = Thread.get(Thread.subject == "Linked by the rule").id
    page = client.get(f"/threads/{thread}").text
    assert "It is the only open record of the thread&#39;s contacts." in page
    asked = world.post(client, f"/threads/{thread}/links", headers=HTMX, kind="deal", id=str(world.desks))
    assert "Replace “Ten chairs” with “Desks for Far Ltd”?" in asked.text
    done = world.post(client, f"/threads/{thread}/links", headers=HTMX, kind="deal", id=str(world.desks), replace="1")
    assert toasts(done)[0]["text"] == "Linked to Desks for Far Ltd."
    with connected():
        assert [link.record_id for link in Link.select().where(Link.thread == thread, Link.record.is_null(False), Link.removed_at.is_null())] == [world.desks]
    world.post(client, toasts(done)[0]["undo"])
    with connected():
        links = {link.record_id: link for link in Link.select().where(Link.thread == thread, Link.record.is_null(False))}
        assert list(links) == [world.chairs], "the link that was taken back leaves no trace that would keep a policy from it"
        assert links[world.chairs].removed_at is None
        assert links[world.chairs].made_by == "policy:single-open"
        assert Thread.get_by_id(thread).linked


def test_linking_works_without_script(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Plain forms", to="Una <una@plain.example>")
    with connected():
        thread = Thread.get(Thread.subject == "Plain forms").id
    found = client.get(f"/threads/{thread}?find=chairs").text
    assert f'action="/threads/{thread}/links"' in found
    assert "Ten chairs" in found
    answer = world.post(client, f"/threads/{thread}/links", kind="deal", id=str(world.chairs))
    assert answer.location == f"/threads/{thread}"
    assert "Linked to Ten chairs." in client.get(answer.location).text


def test_a_new_deal_is_made_from_the_conversation_with_its_people(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Twenty stools", to="Una <una@stools.example>")
    with connected():
        thread = Thread.get(Thread.subject == "Twenty stools").id
    assert 'value="Twenty stools"' in client.get(f"/threads/{thread}/links?new=deal").text
    assert world.post(client, f"/threads/{thread}/create", headers=HTMX, kind="deal", title=" ").status_code == 422
    answer = world.post(client, f"/threads/{thread}/create", headers=HTMX, kind="deal", title="Stools for Una")
    assert "Stools for Una" in answer.text
    assert "linked it by hand" in answer.text
    assert "Una" in client.get(re.search(r'href="(/deals/\d+)"', answer.text)[1]).text


def test_nothing_is_made_before_the_question_whether_to_replace_is_answered(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Nia asks", to="Nia <nia@nia.example>")
    with connected():
        thread = Thread.get(Thread.subject == "Nia asks").id
    make = f"/threads/{thread}/create"
    world.post(client, make, headers=HTMX, kind="project", title="Nia's first")
    asked = world.post(client, make, headers=HTMX, kind="project", title="Nia's second").text
    assert "Replace “Nia&#39;s first” with “Nia&#39;s second”?" in asked
    assert f'action="{make}"' in asked
    assert "Nia&#39;s second" not in client.get("/projects").text
    made = world.post(client, make, headers=HTMX, kind="project", title="Nia's second", replace="1")
    assert toasts(made)[0]["text"] == "Linked to Nia's second."
    place = re.search(r'class="name" href="(/projects/\d+)"', made.text)[1]
    assert 'value="nia.example"' in client.get(place).text  # the organisation of the conversation
    assert 'value="Looked for"' in client.get(f"/threads/{thread}/links?new=deal&title=Looked+for").text


def test_who_may_not_link_leaves_no_new_project_behind(world: World, mail: SimpleNamespace) -> None:
    with connected():
        set_sharing(world.viewer("ana"), mail.evil_thread, "company")
    client = world.client("ben")
    assert world.post(client, f"/threads/{mail.evil_thread}/create", kind="project", title="Not for Ben").status_code == 403
    assert "Not for Ben" not in client.get("/projects").text
    with connected():
        set_sharing(world.viewer("ana"), mail.evil_thread, "private")


def test_earlier_conversations_are_offered_where_the_record_was_made(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    for subject in ("Benches, first", "Benches, second"):
        world.mail(subject, to="Bea <bea@benches.example>")
    with connected():
        first, second = (Thread.get(Thread.subject == subject).id for subject in ("Benches, first", "Benches, second"))
    made = world.post(client, f"/threads/{first}/create", headers=HTMX, kind="project", title="Benches for Bea")
    assert "Link these earlier conversations to “Benches for Bea” too?" in made.text
    assert "Benches, second" in made.text
    # Without script the page itself asks.
    plain = world.post(client, f"/threads/{first}/create", kind="contact", title="Nobody asked", address="nobody@benches.example").location
    assert "made=" not in plain
    where = re.search(r'action="(/projects/\d+/threads)"', made.text)[1]
    assert "Benches, second" in client.get(f"/threads/{first}?made={where.split('/')[2]}").text
    assert world.post(client, where, thread=str(second), back=f"/threads/{first}").location == f"/threads/{first}"
    assert world.post(client, where, thread=str(second), back="//evil.example").location == where.removesuffix("/threads")
    assert "Benches for Bea" in client.get(f"/threads/{second}").text


def test_a_record_is_given_an_organisation_by_name_and_a_lead_has_its_address_at_the_bottom_left(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    lead = world.post(client, "/leads", title="A first talk").location
    world.post(client, lead, title="A first talk", organisation="Quite New Ltd")
    page = client.get(lead).text
    assert 'class="chip organisation"' in page
    assert "Quite New Ltd" in page
    assert page.index('id="time-title"') < page.index('id="bcc-title"') < page.index('<aside class="aside"')
    deal = client.get(f"/deals/{world.desks}").text
    assert deal.index('<aside class="aside"') < deal.index('id="bcc-title"') < deal.index('id="people-title"')
    world.post(client, lead, title="A first talk", organisation="")
    assert 'class="chip organisation"' not in client.get(lead).text


def test_the_row_links_shares_and_archives_in_place(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("In the row", to="Rob <rob@row.example>")
    with connected():
        thread = Thread.get(Thread.subject == "In the row").id
    linked = world.post(client, f"/inbox/{thread}/links", headers=HTMX, kind="deal", id=str(world.lamps))
    assert linked.text.lstrip().startswith(f'<li id="row-{thread}"')
    assert "Lamps for Far Ltd" in linked.text
    shared = world.post(client, f"/inbox/{thread}/sharing", headers=HTMX, sharing="company")
    assert "Shared with the company by" in shared.text
    assert "In the row" in world.client("ben").get("/inbox?tab=shared").text
    gone = world.post(client, f"/inbox/{thread}/archive", headers=HTMX, archived="1")
    assert gone.text.strip() == ""
    assert "In the row" not in client.get("/inbox").text
    world.post(client, toasts(gone)[0]["undo"])
    assert "In the row" in client.get("/inbox").text


def test_deleting_is_undone_with_one_click(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Delete me")
    with connected():
        thread = Thread.get(Thread.subject == "Delete me").id
    answer = world.post(client, f"/threads/{thread}/delete")
    page = client.get(answer.location).text
    assert "The conversation is deleted" in page
    assert f'href="/threads/{thread}"' not in page
    undo = re.search(r'action="(/undo/[^"]+)"', page)[1]
    assert world.post(client, undo).location == f"/threads/{thread}"
    assert client.get(f"/threads/{thread}").status_code == 200


def test_a_choice_is_one_click(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    world.mail("Which one now", to="Kim Oda <kim@far.example>")
    with connected():
        thread = Thread.get(Thread.subject == "Which one now").id
    page = client.get("/choices").text
    assert "Which one now" in page
    assert "Lamps for Far Ltd" in page
    assert world.post(client, f"/choices/{thread}", kind="deal", id=str(world.lamps)).location == "/choices"
    assert "Which one now" not in client.get("/choices").text


def test_the_quarantine_says_why_and_what_to_do(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    page = admin.get(f"/inbound/{mail.rejected}").text
    assert "could not prove that it comes from sales.example" in page
    assert "Release it once" in page
    assert world.client("ben").get(f"/inbound/{mail.rejected}").status_code == 404
    assert "far.example" in admin.get("/held?tab=strangers").text
    assert world.post(admin, "/held/block", domain="far-away.example").status_code == 303


def test_an_admin_releases_and_puts_aside(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    first = world.mail("Let me in", ip="198.51.100.9")
    second = world.mail("Put me aside", sender="x <x@unproved.example>")
    assert world.post(admin, f"/inbound/{first}/release", rep=str(world.rep("ana").id)).status_code == 303
    with connected():
        world._pipeline.work()
    assert "Let me in" in world.client("ana").get("/inbox").text
    assert world.post(admin, f"/inbound/{second}/dismiss").status_code == 303
    assert "Cleo Park looked at the mail and put it aside." in admin.get(f"/inbound/{second}").text
    assert "Put me aside" not in admin.get("/held").text
    page = admin.get(f"/inbound/{mail.stranger}").text
    assert "Choose the rep …" in page
    assert "whom the rules name" not in page
    refused = world.post(admin, f"/inbound/{mail.stranger}/release", rep="")
    assert refused.status_code == 422
    assert "no rule names the rep whose mail this is" in refused.text.lower()


def test_no_release_is_offered_where_it_would_let_nothing_in(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    with connected():
        entry = never_log.add(world.viewer("cleo"), "secret.example")
        lookups.forget_ours()
    kept_out = world.mail("Kept out", to="S <s@secret.example>")
    page = admin.get(f"/inbound/{kept_out}").text
    assert "Everybody the mail was exchanged with is on the never-log list." in page
    assert "Release it once" not in page
    assert "Try again" in page
    with connected():
        never_log.remove(world.viewer("cleo"), entry.id)
        lookups.forget_ours()


def test_why_names_the_records_that_were_looked_at(world: World, mail: SimpleNamespace) -> None:
    with connected():
        message = Message.get(Message.thread == mail.asked).id
    page = world.client("ana").get(f"/messages/{message}/why").text
    assert f'<a href="/deals/{world.lamps}">Lamps for Far Ltd</a>' in page
    assert f'<a href="/deals/{world.desks}">Desks for Far Ltd</a>' in page


def test_where_is_my_mail_answers_within_what_the_asker_may_see(world: World, mail: SimpleNamespace) -> None:
    assert "Private offer" in world.client("ana").get("/find?subject=Private").text
    assert "Nothing like that has reached Dropcopy" in world.client("ben").get("/find?subject=Private").text
    found = world.client("cleo").get("/find?sender=ana@sales.example").text  # an admin: who, when and state
    assert "Private mail of ana@sales.example" in found
    assert "Private offer" not in found


def test_a_search_for_held_mail_says_where_it_is(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo").get("/inbox?q=chairs is:held").text
    assert "Held mail stands in no conversation yet" in admin
    assert re.search(r'<a href="/held">\d+ mails? waits? there</a>', admin)
    assert "No mail fits" not in admin
    ben = world.client("ben").get("/inbox?q=is:held").text
    assert '<a href="/held">Nothing waits there for you</a>' in ben
    assert "Held mail stands in" not in world.client("ben").get("/inbox?q=held").text


def test_a_record_has_an_address_of_its_own_and_can_get_another(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    address = re.search(r'value="(r-\w+@drop\.example)"', client.get(f"/deals/{world.desks}").text)[1]
    world.post(client, f"/deals/{world.desks}/rotate")
    assert address not in client.get(f"/deals/{world.desks}").text
    assert world.post(client, f"/deals/{world.desks}", title="").status_code == 422
    world.post(client, f"/deals/{world.desks}", status="won")
    assert "won" in client.get(f"/deals/{world.desks}").text
    world.post(client, f"/deals/{world.desks}", status="open")


def test_contacts_are_edited_and_merged(world: World, mail: SimpleNamespace) -> None:
    client = world.client("ana")
    made = world.post(client, "/contacts", title="Bo B.", address="bo2@cust.example").location
    other = made.rsplit("/", 1)[1]
    assert world.post(client, made, name="Bo B.", addresses="bo2@cust.example\nnot an address").status_code == 422
    assert world.post(client, made, name="Bo B.", addresses="bo2@cust.example", organisation="Cust & Sons").status_code == 303
    assert world.post(client, f"/contacts/{world.bo}/merge", other=other).status_code == 303
    assert "bo2@cust.example" in client.get(f"/contacts/{world.bo}").text
    assert client.get(made).location == f"/contacts/{world.bo}"


def test_copies_that_several_reps_logged_are_folded_on_the_record(world: World, mail: SimpleNamespace) -> None:
    """And what a rep split off or duplicated is no copy of another rep's."""
    inbound = [world.mail("Folded", sender=f"{name} <{name.lower()}@sales.example>", message_id="<folded@sales.example>") for name in ("Ana", "Ben", "Cleo")]
    with connected():
        threads = [Outcome.get_by_id(ident).thread_id for ident in inbound]
        assert len({Thread.get_by_id(ident).conversation_id for ident in threads}) == 1
        for name, thread in zip(("ana", "ben"), threads, strict=False):
            set_sharing(world.viewer(name), thread, "company")
    seen = world.client("ana").get(f"/deals/{world.chairs}").text
    assert [number for number, ident in enumerate(threads) if f'href="/threads/{ident}"' in seen] == [0, 1], "Cleo's copy is private"
    assert seen.count("<strong>Folded</strong>") == 1
    assert seen.count("also logged by") == 1
    with connected():
        Thread.update(owner=world.rep("ben").id).where(Thread.id == threads[0]).execute()
    seen = world.client("ana").get(f"/deals/{world.chairs}").text
    assert (seen.count("<strong>Folded</strong>"), seen.count("also logged by")) == (2, 0), "two of one rep are no copies of each other"


def test_the_event_webhook_is_set_and_its_secret_shown_once(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    assert world.post(admin, "/settings/events", event_webhook_url="https://hooks.example/in", event_webhook_networks="10.0.0.0/8").status_code == 303
    assert 'value="https://hooks.example/in"' in admin.get("/settings/events").text
    assert world.post(admin, "/settings/events/secret").status_code == 303
    with connected():
        secret = events.webhook_secret(world.house.seal)
    assert secret in admin.get("/settings/events").text
    assert secret not in admin.get("/settings/events").text
    assert world.client("ana").get("/settings/events").status_code in (403, 404)
    assert world.post(admin, "/settings/events", event_webhook_url="").status_code == 303


def test_a_rep_adds_an_address_that_counts_once_it_is_confirmed(world: World, mail: SimpleNamespace) -> None:
    client, admin = world.client("ana"), world.client("cleo")
    assert world.post(client, "/account/addresses", address="nonsense").status_code == 422
    assert world.post(client, "/account/addresses", address="chairs@drop.example").status_code == 422
    world.post(client, "/account/addresses", address="Ana@Home.example")
    with connected():
        row = SenderAddress.get(SenderAddress.address == "ana@home.example")
        assert row.verified_at is None
    assert "Waits for your confirmation" in client.get("/account").text
    world.post(admin, f"/settings/people/addresses/{row.id}", act="confirm")
    with connected():
        assert SenderAddress.get_by_id(row.id).verified_at is not None


def test_the_policy_and_its_options_are_checked_by_the_plugin(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    assert "How many" in admin.get("/settings/policy").text
    wrong = world.post(admin, "/settings/policy", **{"policy": "recent-open", "recent-open-number": "0", "recent-open-by": "created", "recent-open-kinds": "deal"})
    assert wrong.status_code == 422
    assert 'aria-invalid="true"' in wrong.text
    world.post(admin, "/settings/policy", **{"policy": "recent-open", "recent-open-number": "3", "recent-open-by": "activity", "recent-open-kinds": ["deal", "lead"]})
    with connected():
        assert company().policy.name == "recent-open"
        assert company().policy.options == {"number": 3, "by": "activity", "kinds": ["deal", "lead"]}
    world.post(admin, "/settings/policy", policy="single-open")


def test_changing_the_short_name_keeps_the_old_address_alive(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    assert world.post(admin, "/settings", name="Chairs Ltd", slug="no spaces please", mail_domain="drop.example", grace_days="90").status_code == 422
    world.post(admin, "/settings", name="Chairs Ltd", slug="stools", mail_domain="drop.example", grace_days="90")
    page = admin.get("/settings").text
    assert "stools@drop.example" in page
    assert "chairs@drop.example" in page
    assert "Old addresses that still work" in page
    world.post(admin, "/settings", name="Chairs Ltd", slug="chairs", mail_domain="drop.example", grace_days="90")


def test_a_secret_of_a_source_is_never_shown_again(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    assert world.post(admin, "/sources/new/mailgun", name="", **{"s-secret": "top-secret-key"}).status_code == 422
    where = world.post(admin, "/sources/new/mailgun", name="Mailgun", **{"s-secret": "top-secret-key"}).location
    page = admin.get(where).text
    assert "top-secret-key" not in page
    assert "Stored; leave it empty to keep it" in page
    world.post(admin, where, name="Mailgun EU", **{"s-secret": ""})
    with connected():
        row = SourceInstance.get(SourceInstance.name == "Mailgun EU")
        assert "top-secret-key" not in row.secrets
        assert json.loads(world.house.seal.open(row.secrets)) == {"secret": "top-secret-key"}
    world.post(admin, f"{where}/enabled", enabled="0")
    assert "paused" in admin.get("/sources").text
    world.post(admin, f"{where}/remove")


def test_an_admin_cannot_shut_himself_out(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    me = world.rep("cleo").id
    assert world.post(admin, f"/settings/people/{me}", role="member").status_code == 422
    assert world.post(admin, f"/settings/people/{me}", status="suspended").status_code == 422


def test_a_rep_is_invited_by_a_link_that_is_shown_once(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    answer = world.post(admin, "/settings/people", name="Dee", email="dee@sales.example", role="member")
    link = re.search(r'value="(http://localhost/reset/[\w-]+)"', admin.get(answer.location).text)[1]
    assert link not in admin.get("/settings/people").text
    assert "Set your password" in world.client().get(link.removeprefix("http://localhost")).text


def test_a_token_is_shown_once(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    where = world.post(admin, "/settings/tokens", name="import", rep=str(world.rep("cleo").id)).location
    token = re.search(r'value="(dc_[\w-]+)"', admin.get(where).text)[1]
    assert token not in admin.get(where).text
    assert token not in admin.get("/settings/tokens").text


@pytest.mark.parametrize("path", ["/inbox?cursor=nonsense", "/deals?cursor=nonsense", "/contacts?cursor=W10"])
def test_a_made_up_cursor_is_answered_with_a_sentence(world: World, path: str) -> None:
    answer = world.client("ana").get(path)
    assert answer.status_code == 422
    assert "That cannot be taken" in answer.text


def test_a_preset_shows_what_it_changes_before_it_is_taken(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    before = admin.get("/settings/preset/hubspot").text
    assert "20 MB" in before
    assert "100 MB" in before
    assert world.post(admin, "/settings/preset/hubspot").status_code == 303
    assert "Nothing: the settings stand like that already" in admin.get("/settings/preset/hubspot").text
    assert world.post(admin, "/settings/preset/pipedrive").status_code == 303
    assert admin.get("/settings/preset/salesforce").status_code == 404


def test_the_page_of_outgoing_mail_says_that_none_is_sent(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    assert "DROPCOPY_RELAY_URL" in admin.get("/settings/outgoing").text
    refused = world.post(admin, "/settings/outgoing/test")
    assert refused.status_code == 422


def test_the_data_page_counts_what_is_kept_and_sets_how_long(world: World, mail: SimpleNamespace) -> None:
    admin = world.client("cleo")
    page = admin.get("/settings/data").text
    assert "main.db" in page
    wrong = world.post(admin, "/settings/data", keep_held_days="soon")
    assert wrong.status_code == 422
    assert 'id="keep_held_days-wrong"' in wrong.text
    assert world.post(admin, "/settings/data", keep_held_days="60").status_code == 303
    assert 'name="keep_held_days" type="number" value="60"' in admin.get("/settings/data").text


def test_a_forgotten_password_tells_nobody_who_has_an_account(world: World, mail: SimpleNamespace) -> None:
    client = world.client()
    assert "/forgotten" in client.get("/login").text
    assert "sends no mail" in client.get("/forgotten").text
    answers = [world.post(client, "/forgotten", email=email) for email in ("ana@sales.example", "nobody@sales.example")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert world.post(client, "/forgotten", email="nonsense").status_code == 422


def test_asking_for_a_password_is_the_same_work_for_an_account_and_for_nobody(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    settings = world.house.settings.model_copy(update={"relay_url": "smtp://127.0.0.1:9"})
    monkeypatch.setitem(world.app.extensions, "dropcopy", replace(world.house, settings=settings))
    client = world.client()
    client.get("/forgotten")

    def work_for(email: str) -> tuple[str, list[str]]:
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "peewee"):
            answer = world.post(client, "/forgotten", email=email)
        return answer.text.replace(email, ""), [record.msg[0] for record in caplog.records if record.name == "peewee"]

    work_for("warm@sales.example")
    for email in ("ana@sales.example", "cleo@sales.example"):
        page, statements = work_for(email)
        assert any("notice" in statement for statement in statements)
        other_page, other_statements = work_for("nobody" + email)
        assert statements == other_statements
        assert re.sub(r'content="[^"]*"|value="[^"]*"|nonce="[^"]*"|\{[^}]*\}', "", page) == re.sub(r'content="[^"]*"|value="[^"]*"|nonce="[^"]*"|\{[^}]*\}', "", other_page).replace("nobody", "")


def test_a_page_that_mails_somebody_wakes_the_worker(world: World, mail: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the mail goes out at once; what is not queued yet when the worker looks would wait for its next sweep."""
    settings = world.house.settings.model_copy(update={"relay_url": "smtp://127.0.0.1:9"})
    monkeypatch.setitem(world.app.extensions, "dropcopy", replace(world.house, settings=settings))
    waiting: list[int] = []
    monkeypatch.setattr(world.house.bell, "ring", lambda: waiting.append(Notice.select().count()))
    with connected():
        Notice.delete().execute()
    world.post(world.client("ana"), "/account/addresses", address="ana@lake.example")
    world.post(world.client("cleo"), "/settings/people", name="Eli", email="eli@sales.example", role="member")
    world.post(world.client(), "/forgotten", email="ben@sales.example")
    assert waiting == [1, 2, 3]


def test_an_admin_trusts_the_sender_of_a_mail_that_nobody_knew(world: World, mail: SimpleNamespace) -> None:
    inbound = world.mail("From my other mailbox", sender="Ben <ben@far.example>", ip="192.0.2.30")
    admin = world.client("cleo")
    assert world.post(admin, f"/inbound/{inbound}/release", trust="1").status_code == 422
    assert world.post(admin, f"/inbound/{inbound}/release", trust="1", rep=str(world.rep("ben").id)).status_code == 303
    later = world.mail("And another one", sender="Ben <ben@far.example>", ip="192.0.2.30")
    with connected():
        assert Outcome.get_by_id(later).state == "logged"
        assert Outcome.get_by_id(later).rep.email == "ben@sales.example"


def test_an_admin_deletes_a_held_mail_for_good(world: World, mail: SimpleNamespace) -> None:
    inbound = world.mail("Rubbish", sender="Someone <y@far.example>", ip="192.0.2.30")
    assert world.post(world.client("ben"), f"/inbound/{inbound}/delete").status_code == 404
    admin = world.client("cleo")
    assert world.post(admin, f"/inbound/{inbound}/delete").status_code == 303
    assert admin.get(f"/inbound/{inbound}/raw").status_code == 404
    shown = admin.get(f"/inbound/{inbound}").text
    assert "Rubbish" not in shown
    assert "deleted the mail from the quarantine" in shown
    assert world.post(admin, f"/inbound/{inbound}/delete").status_code == 404


def test_a_domain_of_strangers_is_blocked_with_one_click(world: World, mail: SimpleNamespace) -> None:
    inbound = world.mail("Buy now", sender="Shop <shop@far.example>", ip="192.0.2.30")
    admin = world.client("cleo")
    assert "far.example" in admin.get("/held?tab=strangers").text
    assert world.post(admin, "/held/block", domain="far.example").status_code == 303
    with connected():
        assert Outcome.get_by_id(inbound).reason == "blocked-domain"
    assert 'value="far.example"' in admin.get("/held?tab=strangers").text.partition("Blocked domains")[2]
    assert world.post(admin, "/held/unblock", domain="far.example").status_code == 303
    assert 'value="far.example"' not in admin.get("/held?tab=strangers").text.partition("Blocked domains")[2]
    assert world.post(admin, "/held/unblock", domain="far.example").status_code == 404
    assert world.post(world.client("ana"), "/held/unblock", domain="far.example").status_code in (403, 404)
    with connected():
        assert strangers.blocked_by("far.example") is None


def test_what_was_odd_in_a_mail_is_said_in_a_sentence(world: World, mail: SimpleNamespace) -> None:
    from core.web.frame import oddity

    with world.app.test_request_context():
        assert "3 were not read" in oddity("parts-cut:3")
        assert "The field cc names" in oddity("participants-cut:cc")
        assert "encrypted" in oddity("encrypted")
