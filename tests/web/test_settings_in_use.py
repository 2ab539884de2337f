"""What an admin and a rep meet while they set things: each setting in one place, words in its own unit, nothing that nobody asked for."""

from __future__ import annotations

import datetime as dt

import pytest
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from core.store import retention
from core.store.company import MEGABYTE, Company, change_company, company, forget_cache
from core.store.database import connected
from core.store.models import ApiToken, DropAddress, Outcome, Rep, Setting
from tests.web.test_set_up_form import GOOD
from tests.web.world import World


def test_each_setting_is_typed_on_one_page(world: World) -> None:
    admin = world.client("cleo")
    pages = ("/settings", "/settings/limits", "/settings/data", "/settings/events")
    typed = [node.attributes["name"] for page in pages for node in HTMLParser(admin.get(page).text).css("main :is(input, textarea)[name]:not([type=hidden])")]
    assert {name for name in typed if typed.count(name) > 1} == set()
    world.post(admin, "/settings/data", keep_held_days="61")
    world.post(admin, "/settings/limits", message_limit="20", attachment_limit="50")
    with connected():
        forget_cache()
        assert company().keep_held_days == 61


@pytest.mark.parametrize("limit, said", [("0", "give 0.0625 or more"), ("201", "give 200 or less")])
def test_a_limit_is_refused_in_the_unit_in_which_it_is_typed(world: World, limit: str, said: str) -> None:
    assert said in world.post(world.client("cleo"), "/settings/limits", message_limit=limit, attachment_limit="50").text


def test_the_longest_time_that_can_be_set_can_be_counted_back(world: World) -> None:
    longest = dict.fromkeys(("keep_raw_days", "keep_held_days", "keep_ignored_days", "keep_strangers_days"), 365000)
    most = {"strangers_limit": 1_000_000_000, "strangers_megabytes": 1_000_000_000}
    with connected():
        assert set(retention.expire(Company.model_validate({**longest, **most}), dt.datetime.now(dt.UTC)).values()) == {0}


def test_what_is_believed_is_kept_as_it_is_compared(world: World) -> None:
    form = {"trusted_networks": "10.1.2.3/8\n2001:DB8::/32", "authserv_ids": "MX.Sales.Example", "arc_sealers": "Lists.Example.", "extra_signers": "Bücher.example Mailer.example"}
    assert world.post(world.client("cleo"), "/settings/limits", message_limit="20", attachment_limit="50", **form).status_code == 303
    with connected():
        forget_cache()
        kept = company()
        change_company({name: Company.model_fields[name].get_default(call_default_factory=True) for name in form})
    assert kept.trusted_networks == ("10.0.0.0/8", "2001:db8::/32")
    assert (kept.authserv_ids, kept.arc_sealers) == (("mx.sales.example",), ("lists.example",))
    assert kept.extra_signers == {"xn--bcher-kva.example": ("mailer.example",)}


def test_a_preset_names_the_options_that_differ_and_no_others(world: World) -> None:
    admin = world.client("cleo")
    with connected():
        change_company({"message_limit": 20 * MEGABYTE, "attachment_limit": 50 * MEGABYTE})
    world.post(admin, "/settings/policy", **{"policy": "single-open", "single-open-count": "together"})  # the defaults, saved as they stand
    assert "Nothing: the settings stand like that already." in admin.get("/settings/preset/pipedrive").text
    world.post(admin, "/settings/policy", **{"policy": "recent-open", "recent-open-number": "7", "recent-open-by": "updated", "recent-open-kinds": "deal"})
    shown = admin.get("/settings/preset/pipedrive").text
    assert "The most recent open records of each contact (How many: 7; Recent means: Updated)" in shown
    world.post(admin, "/settings/preset/pipedrive")
    assert "Nothing: the settings stand like that already." in admin.get("/settings/preset/pipedrive").text


def test_records_have_their_new_addresses_when_the_settings_are_saved_and_looking_at_them_writes_nothing(world: World) -> None:
    def rows() -> list[tuple[object, ...]]:
        with connected():
            return list(DropAddress.select().order_by(DropAddress.id).tuples())

    admin, ana = world.client("cleo"), world.client("ana")
    form = {"name": "Chairs Ltd", "slug": "chairs", "mail_domain": "drop.example", "grace_days": "90"}
    assert "@drop.example" in ana.get(f"/deals/{world.chairs}").text
    assert world.post(admin, "/settings", **{**form, "mail_domain": "mail.example"}).status_code == 303
    before = rows()
    shown = ana.get(f"/deals/{world.chairs}").text
    assert "@mail.example" in shown
    assert "@drop.example" not in shown
    for path in ("/deals", f"/deals/{world.lamps}", "/inbox", f"/contacts/{world.bo}"):
        assert ana.get(path).status_code == 200
    assert rows() == before
    assert world.post(admin, "/settings", **form).status_code == 303


def test_a_page_behind_a_section_marks_that_section(world: World) -> None:
    for page, section in (("/settings/preset/hubspot", "/settings/policy"), ("/settings/tokens/new", "/settings/tokens")):
        marked = HTMLParser(world.client("cleo").get(page).text).css(".section-nav [aria-current]")
        assert [node.attributes["href"] for node in marked] == [section]


def test_a_new_language_speaks_from_the_first_sentence_on(world: World) -> None:
    client = world.client("ben")
    world.post(client, "/account/person", name="Ben Ruiz", time_zone="UTC", language="sv")
    assert "Sparat." in client.get("/account").text
    world.post(client, "/account/person", name="Ben Ruiz", time_zone="UTC", language="en")
    assert "Saved." in client.get("/account").text


@pytest.mark.parametrize(
    "moment, zone",
    [(dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC), "Asia/Tokyo"), (dt.datetime(1, 1, 1, tzinfo=dt.UTC), "America/New_York"), (dt.datetime(2026, 3, 1, 23, tzinfo=dt.UTC), "Asia/Tokyo")],
    ids=["the last", "the first", "the next day there"],
)
def test_a_moment_is_told_in_the_zone_of_the_reader_as_far_as_the_calendar_goes(world: World, moment: dt.datetime, zone: str) -> None:
    with connected():
        record = world.record("deal", f"A deal of {moment.year}", [], created_at=moment)
    client = world.client("ben")
    world.post(client, "/account/person", name="Ben Ruiz", time_zone=zone, language="en")
    try:
        page = client.get(f"/deals/{record}")
        assert page.status_code == 200
        assert ("Mar 2, 2026, 8:00" in page.text) == (moment.year == 2026)
        assert client.get(f"/deals?q=A+deal+of+{moment.year}").status_code == 200
    finally:
        world.post(client, "/account/person", name="Ben Ruiz", time_zone="UTC", language="en")


def test_a_link_that_is_over_says_where_a_new_one_comes_from(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    anybody = world.client()
    assert 'href="/forgotten"' not in anybody.get("/reset/nothing").text  # no mail can be sent
    monkeypatch.setattr("core.notices.relay_configured", lambda settings: True)
    assert 'href="/forgotten"' in anybody.get("/reset/nothing").text
    own = world.client("ana").get("/confirm/nothing")
    assert own.status_code == 404
    assert 'href="/account"' in own.text
    assert 'href="/login"' not in own.text


def test_a_report_has_its_scale_and_says_when_there_is_nothing(world: World) -> None:
    admin = world.client("cleo")
    assert "Nothing was logged in this time." in HTMLParser(admin.get("/reports").text).css_first("section.box").text()
    world.mail("First")
    world.mail("Second", sender="Ben Ruiz <ben@sales.example>")
    world.mail("Third", sender="Ben Ruiz <ben@sales.example>")
    page = HTMLParser(admin.get("/reports").text)
    assert "Most on one day: 3" in page.css_first("section.box").text()
    assert [node.attributes["width"] for node in page.css(".share rect")] == ["100.0", "50.0"]


def test_the_table_of_a_report_tells_what_was_linked_by_hand_from_what_was_not(world: World) -> None:
    def table(name: str) -> dict[str, list[int]]:
        head, *lines = world.client(name).get("/reports/mails.csv").text.splitlines()
        assert head == "day,rep,mails,linked_by_policy,linked_by_hand"
        rows: dict[str, list[int]] = {}
        for _day, rep, *numbers in (line.split(",") for line in lines):
            rows[rep] = [known + int(number) for known, number in zip(rows.get(rep, [0, 0, 0]), numbers, strict=True)]
        return rows

    def shown(name: str) -> list[int]:
        mails, by_policy, by_hand = [node.text() for node in HTMLParser(world.client(name).get("/reports").text).css(".numbers dd")][:3]
        return [int(mails), int(by_policy), int(by_hand)]

    before = table("cleo").get("ana@sales.example", [0, 0, 0])
    world.mail("Filed by the policy", message_id="<by-policy@sales.example>")
    asked = world.mail("Nobody could know", to="Kim Oda <kim@far.example>")
    with connected():
        thread = Outcome.get_by_id(asked).thread_id
    assert world.post(world.client("ana"), f"/threads/{thread}/links", kind="deal", id=str(world.desks)).status_code == 303
    after = table("cleo")
    assert [now - then for now, then in zip(after["ana@sales.example"], before, strict=True)] == [2, 1, 1]
    for name in ("ana", "cleo"):
        assert [sum(column) for column in zip(*table(name).values(), strict=True)] == shown(name)
    assert "ana@sales.example" not in table("ben")  # her mail is private


def test_an_empty_list_names_the_time_that_is_set(world: World) -> None:
    admin = world.client("cleo")
    world.post(admin, "/settings/data", keep_ignored_days="12")
    assert "would be listed here for 12 days." in admin.get("/held?tab=ignored").text


def test_the_first_visit_leaves_no_token_that_nobody_has_seen(world: World) -> None:
    with connected():
        Setting.delete().execute()
        forget_cache()
        before = ApiToken.select().count()
    assert world.post(world.app.test_client(), "/setup", page="/setup", **GOOD).status_code == 303
    with connected():
        assert ApiToken.select().count() == before
        assert Rep.get(Rep.email == GOOD["admin_email"]).role == "admin"
