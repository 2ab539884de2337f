"""Filing in a running house: its addresses through the port, whose mail it is, and a policy that is changed or breaks meanwhile."""

from __future__ import annotations

import datetime as dt
import email.utils
import itertools
import smtplib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mailmaker import make_mail
from tests.running import PASSWORD, PEOPLE, Running
from tests.service.test_ways_in import call

BROKEN = '''"""A policy that breaks."""
from core.hookspecs import hookimpl
from core.types import LinkPolicy

def decide(case):
    raise RuntimeError("the policy is out of order")

@hookimpl
def register_link_policies():
    return [LinkPolicy("out-of-order", "Out of order", decide, exclusive=True)]
'''
FIVE = [f"rep{number}" for number in range(5)]
MADE = "2026-01-01T00:00:00Z"
SERIAL = itertools.count()
HOUSE: dict[str, Any] = {
    **PEOPLE,
    "reps": [
        *({**rep, "default_sharing": "company"} for rep in PEOPLE["reps"]),
        {"external_id": "sue", "email": "sue@sales.example", "name": "Sue", "status": "suspended", "password": PASSWORD},
        *({"external_id": name, "email": f"{name}@sales.example", "name": name.title(), "default_sharing": "company"} for name in FIVE),
    ],
    "team_addresses": [{"address": "team@sales.example", "connected_by": "ben"}],
    "contacts": [*PEOPLE["contacts"], {"external_id": "c2", "name": "Cy", "addresses": ["cy@two.example"]}],
    "deals": [
        *PEOPLE["deals"],
        {"external_id": "old", "title": "Old desks", "status": "won", "contacts": ["c1"], "created_at": MADE},
        {"external_id": "two-a", "title": "Lamps", "contacts": ["c2"], "created_at": MADE},
        {"external_id": "two-b", "title": "Shelves", "contacts": ["c2"], "created_at": MADE},
    ],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("filing")
    plugins = folder / "plugins"
    plugins.mkdir(mode=0o755)
    (plugins / "broken_one.py").write_text(BROKEN)
    (plugins / "broken_one.py").chmod(0o644)
    with Running(folder, parts=("receive", "worker", "web"), environ={"DROPCOPY_PLUGINS_DIR": str(plugins)}, people=HOUSE) as made:
        yield made


@pytest.fixture
def settings(house: Running) -> Iterator[Callable[..., Any]]:
    """Changes settings for one test."""
    before = call(house, "GET", "/settings")
    changed: set[str] = set()

    def change(**values: Any) -> Any:
        changed.update(values)
        return call(house, "PATCH", "/settings", values)

    yield change
    if changed:
        call(house, "PATCH", "/settings", {name: before[name] for name in changed})
    if "policy" in changed:
        chosen_at_once(house, before["policy"]["name"])  # the next test begins with it


def now() -> str:
    return email.utils.format_datetime(dt.datetime.now(dt.UTC))


def deal(house: Running, external_id: str) -> dict[str, Any]:
    return dict(call(house, "GET", f"/deals?external_id={external_id}")["items"][0])


def answer(house: Running, address: str) -> int:
    """What the port answers to a recipient."""
    with smtplib.SMTP(*house.smtp, timeout=30) as client:
        client.ehlo()
        client.mail("ana@sales.example")
        return int(client.rcpt(address)[0])


def filed(house: Running, subject: str, number: int = 1) -> list[dict[str, Any]]:
    """The deliveries of this subject, oldest first, once so many have come to their end."""

    def found() -> list[dict[str, Any]]:
        items = call(house, "GET", "/inbound?limit=100")["items"]
        return [item for item in reversed(items) if item["subject"] == subject and item["state"] in ("logged", "held", "ignored")]

    house.until(lambda: len(found()) >= number, 60)
    return found()


def records_of(thread: dict[str, Any]) -> set[str]:
    return {link["external_id"] for link in thread["links"] if link["kind"] == "deal"}


def thread_of(house: Running, subject: str, number: int = 1) -> dict[str, Any]:
    return dict(call(house, "GET", f"/threads/{filed(house, subject, number)[0]['thread_id']}"))


# --- addresses ----------------------------------------------------------------------------------------------------


def test_a_record_s_address_is_exchanged_and_the_old_one_dies_with_its_grace(house: Running, settings: Callable[..., Any]) -> None:
    made = call(house, "POST", "/deals", {"title": "Rotating chairs"})
    first = made["bcc_address"]
    assert answer(house, first) == 250
    settings(grace_days=30)
    second = call(house, "POST", f"/deals/{made['id']}/address")["bcc_address"]
    assert second != first
    house.send(house.mail("By the retired one"), to=[first])
    assert records_of(thread_of(house, "By the retired one")) == {made["external_id"]}, "it works within its grace"
    settings(grace_days=0)
    third = call(house, "POST", f"/deals/{made['id']}/address")["bcc_address"]
    house.until(lambda: answer(house, second) == 550)  # the port looks an address up once a second
    assert [answer(house, address) for address in (first, second, third)] == [250, 550, 250]
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        house.send(house.mail("Too late"), to=[second])
    assert next(iter(refused.value.recipients.values()))[0] == 550


@pytest.mark.parametrize("address", ["r-00000000000000000000@drop.example", "r-@drop.example", "nobody@drop.example"])
def test_an_unknown_token_is_answered_like_any_unknown_address(house: Running, address: str) -> None:
    assert answer(house, address) == 550


def test_record_addresses_over_one_mailbox(house: Running, settings: Callable[..., Any]) -> None:
    settings(mailbox="office", record_template="{mailbox}+{token}@{domain}")
    made = call(house, "POST", "/deals", {"title": "Plus chairs", "external_id": "plus"})
    local, _, domain = made["bcc_address"].partition("@")
    mailbox, _, token = local.partition("+")
    assert (mailbox, domain) == ("office", "drop.example")
    assert len(token) >= 13, "64 bits and more in letters and digits"
    assert answer(house, "office+other@drop.example") == 550
    house.send(house.mail("Over one mailbox"), to=[made["bcc_address"]])
    thread = thread_of(house, "Over one mailbox")
    assert records_of(thread) == {"plus"}
    assert next(link["made_by"] for link in thread["links"] if link["kind"] == "deal") == "address"


def test_a_closed_record_takes_mail_by_its_address_and_by_it_alone(house: Running) -> None:
    house.send(house.mail("To the won one"), to=[deal(house, "old")["bcc_address"]])
    assert records_of(thread_of(house, "To the won one")) == {"old"}
    house.send(house.mail("To the people of the won one"))
    thread = thread_of(house, "To the people of the won one")
    assert records_of(thread) == {"d1"}
    assert next(one["reason"] for one in thread["candidates"] if one["external_id"] == "old") == "not-open"


@pytest.mark.parametrize("order", [("d1", "old"), ("old", "d1")])
def test_several_record_addresses_wait_for_a_choice_in_any_order(house: Running, order: tuple[str, str]) -> None:
    subject = f"Several {'-'.join(order)}"
    raw = house.mail(subject)
    for number, external_id in enumerate(order, 1):  # one mail in two deliveries
        house.send(raw, to=[deal(house, external_id)["bcc_address"]])
        filed(house, subject, number)
    thread = thread_of(house, subject, 2)
    assert (thread["waiting"], records_of(thread)) == ("needs-choice", set())
    assert {one["external_id"] for one in thread["candidates"] if one["offer"]} >= {"d1", "old"}
    assert [item["state"] for item in filed(house, subject, 2)] == ["logged", "ignored"]


def test_several_record_addresses_in_one_delivery_are_each_filed_under_a_many_record_policy(house: Running, settings: Callable[..., Any]) -> None:
    settings(policy={"name": "contact-only", "options": {}})
    chosen_at_once(house, "contact-only")
    house.send(house.mail("To both"), to=[deal(house, name)["bcc_address"] for name in ("d1", "old")])
    assert records_of(thread_of(house, "To both")) == {"d1", "old"}


# --- whose mail ---------------------------------------------------------------------------------------------------


def test_mail_of_a_team_address_is_that_of_whoever_connected_it(house: Running) -> None:
    house.send(house.mail("From the team", sender="Team <team@sales.example>"), sender="team@sales.example")
    (item,) = filed(house, "From the team")
    assert (item["state"], item["rep"], item["rule"]) == ("logged", "ben@sales.example", "team-address")


def test_mail_of_a_suspended_rep_is_held_and_says_so(house: Running) -> None:
    house.send(house.mail("From the suspended", sender="Sue <sue@sales.example>"), sender="sue@sales.example")
    (item,) = filed(house, "From the suspended")
    assert (item["state"], item["reason"], item["rep"]) == ("held", "suspended-rep", None)


def test_five_reps_with_one_mail_have_five_mails_in_one_conversation(house: Running) -> None:
    """A customer wrote to all of them, and each forwards it to the box."""
    original = make_mail("Bo <bo@cust.example>", to="Sales <rep0@sales.example>", subject="For all of you", body="Hello all").decode()
    for name in FIVE:
        raw = make_mail(f"{name.title()} <{name}@sales.example>", to="acme-fwd@drop.example", subject=f"Fwd: by {name}", body=original, date=now())
        raw = raw.replace(b"Content-Type: text/plain; charset=utf-8", b"Content-Type: message/rfc822", 1)
        house.send(house.signer.sign(raw), to=["acme-fwd@drop.example"], sender=f"{name}@sales.example")
    for name in FIVE:
        filed(house, f"Fwd: by {name}")
    threads = [thread_of(house, f"Fwd: by {name}") for name in FIVE]
    assert len({thread["id"] for thread in threads}) == 5
    assert len({thread["conversation_id"] for thread in threads}) == 1
    assert {thread["owner"] for thread in threads} == {f"{name}@sales.example" for name in FIVE}
    assert set(threads[0]["related"]) == {thread["id"] for thread in threads[1:]}


# --- the policy ---------------------------------------------------------------------------------------------------


def chosen_at_once(house: Running, name: str) -> None:
    """The worker looks at the settings once a second: mail that is sent from now on is filed by the new policy."""

    def filed_by_it() -> bool:
        subject = f"Which policy {next(SERIAL)}"
        house.send(house.mail(subject, to="Cy <cy@two.example>"))
        (item,) = filed(house, subject)
        thread = call(house, "GET", f"/threads/{item['thread_id']}")
        return {link["made_by"] for link in thread["links"] if link["kind"] == "contact"} == {f"policy:{name}"}

    house.until(filed_by_it, 30)


def test_a_policy_that_is_chosen_in_the_api_decides_about_the_next_mail(house: Running, settings: Callable[..., Any]) -> None:
    house.send(house.mail("Before the change", to="Cy <cy@two.example>"))
    before = thread_of(house, "Before the change")
    assert (before["waiting"], records_of(before)) == ("needs-choice", set())
    workers = house.processes["worker"].pid
    settings(policy={"name": "all-open", "options": {}})
    chosen_at_once(house, "all-open")
    house.send(house.mail("After the change", to="Cy <cy@two.example>"))
    after = thread_of(house, "After the change")
    assert (after["waiting"], records_of(after)) == (None, {"two-a", "two-b"})
    assert records_of(call(house, "GET", f"/threads/{before['id']}")) == set(), "what was decided stays as it was"
    assert (house.processes["worker"].pid, house.processes["worker"].poll()) == (workers, None)


def test_a_broken_policy_files_mail_undecided_and_is_named(house: Running, settings: Callable[..., Any]) -> None:
    settings(policy={"name": "out-of-order", "options": {}})
    chosen_at_once(house, "out-of-order")
    house.send(house.mail("Under the broken one"))
    thread = thread_of(house, "Under the broken one")
    assert (thread["waiting"], records_of(thread)) == ("needs-choice", set())
    assert {link["kind"] for link in thread["links"]} == {"contact", "organisation"}
    assert "policy-unavailable" in {one["reason"] for one in thread["candidates"] if one["offer"]}
    rows = {row["name"]: row["last_error"] for row in call(house, "GET", "/plugins")["items"]}
    assert "RuntimeError" in rows["broken_one"]
    assert "out of order" not in rows["broken_one"], "the text of an error may hold what was written"
    assert [row["name"] for row in house.status()["plugins"]] == ["broken_one"]
    settings(policy={"name": "single-open", "options": {}})
    chosen_at_once(house, "single-open")
    house.send(house.mail("After the broken one"))
    assert records_of(thread_of(house, "After the broken one")) == {"d1"}


# --- after all that -----------------------------------------------------------------------------------------------


def test_afterwards_every_mail_is_accounted_for(house: Running) -> None:
    house.until(lambda: '"wrong": false' in house.command("status", "--check", "--json"))
    status = house.status()
    assert status["accepted"] == sum(status[state] for state in ("received", "processing", "logged", "held", "ignored"))
