"""A rep forwards a customer's mail to the forwarding address: where it is filed, on whom, and what waits for a person."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest

from core.store import never_log, outcomes, threads
from core.store.company import change_company
from core.store.models import Contact, ContactAddress, Message, NeverLog, Participant, Thread
from core.store.staff import by_email
from core.store.visibility import Viewer
from core.web import api_json
from tests.mailmaker import make_mail, spare_signer
from tests.spine import Company

pytest_plugins = ["tests.spine"]

GMAIL = "---------- Forwarded message ---------\nFrom: {sender}\nDate: {date}\nSubject: {subject}\nTo: Ana <ana@sales.example>\n{cc}\n\n{body}\n"
CHOSEN = (
    "synth/apple_ios/fr", "synth/google_android/", "synth/k9/", "synth/outlook_desktop_windows/", "synth/windows_live_mail/",
    "synth/thunderbird/", "synth/samsung_mail/", "eml/crisp__yahoo", "eml/crisp__gmail", "eml/crisp__outlook_live", "rfc822/", "nested/",
)  # fmt: skip


def by_ana(raw: bytes, message_id: str) -> bytes:
    """A given mail as Ana sends it: her From, the company's addresses, signed by her domain; the body byte for byte."""
    head, _, body = re.sub(rb"\r?\n", b"\r\n", raw).partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    kept = [field for field in fields if not re.match(rb"(?i)(from|to|cc|bcc|sender|message-id|date|dkim-signature|received|return-path)\s*:", field)]
    own = [
        b"From: Ana <ana@sales.example>", b"To: forward@drop.example", b"Date: Fri, 20 Nov 2026 10:00:00 +0000",
        b"Message-ID: <" + message_id.encode() + b"@sales.example>",
    ]  # fmt: skip
    return spare_signer("sales.example").sign(b"\r\n".join([*own, *kept]) + b"\r\n\r\n" + body)


def forward(
    company: Company, *, sender: str = "Cy Ott <cy@client.example>", subject: str = "Lamps", body: str = "Please send ten.", cc: str = "", note: str = "",
    date: str = "Thu, Nov 19, 2026 at 9:00 AM", title: str = "", text: str = "", **more: Any,
) -> str:  # fmt: skip
    """Ana forwards to the forwarding address; how it ended."""
    block = GMAIL.format(sender=sender, date=date, subject=subject, cc=f"Cc: {cc}" if cc else "", body=body)
    raw = company.mail(title or f"Fwd: {subject}", to="forward@drop.example", body=text or (f"{note}\n\n{block}" if note else block), **more)
    company.send(raw, to=[company.addresses["forward_address"]])
    company.work()
    return company.ends()[-1]


def last() -> Message:
    return Message.select().order_by(Message.id.desc()).get()


def people(message: Message) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in Participant.select().where(Participant.message == message):
        found.setdefault(row.role, set()).add(row.address)
    return found


def contacts() -> set[str]:
    return {row.address for row in ContactAddress.select()}


def ana() -> Viewer:
    return Viewer(by_email("ana@sales.example") or 0, "ana@sales.example", "member")


def view(message: Message) -> Any:
    return threads.message(ana(), message.id)


@pytest.mark.corpora
def test_forwards_of_many_clients_are_filed_on_who_wrote_the_original(company: Company, corpora: Path) -> None:
    folder = corpora / "forwards"
    given = [json.loads(line) for line in (folder / "cases.jsonl").read_text("utf-8").splitlines()]
    wanted = {one["id"]: one["forward"] for one in map(json.loads, (folder / "expected.jsonl").read_text("utf-8").splitlines())}
    cases = []
    for start in CHOSEN:
        fitting = [case for case in given if case["raw_path"].startswith(start) and (wanted[case["id"]] or {}).get("from", {}).get("address")]
        cases += fitting[:2]
    assert len(cases) >= 20
    before = contacts()
    ends = {}
    for number, case in enumerate(cases):
        company.send(by_ana((folder / case["raw_path"]).read_bytes(), f"case-{number}"), to=[company.addresses["forward_address"]])
        company.work()
        ends[case["id"]] = company.ends()[-1]
        message, want = last(), wanted[case["id"]]
        author = want["from"]["address"].lower()
        assert ends[case["id"]] == "logged", case["id"]
        assert people(message)["original"] == {author}, case["id"]
        assert author in contacts()
        shown = view(message)
        assert shown.original.address.lower() == author
        assert api_json.message(shown)["forward"]["from"]["address"].lower() == author
        others = {one["address"].lower() for field in ("to", "cc") for one in want.get(field, ()) if one["address"]} - {author}
        assert not (contacts() - before) & others - {wanted[one["id"]]["from"]["address"].lower() for one in cases}, "people in To or Cc of the block are not added"


def test_a_known_contact_is_found_and_its_deal_linked(company: Company) -> None:
    number = Contact.select().count()
    assert forward(company, sender="Bo Young <bo@cust.example>") == "logged"
    assert Contact.select().count() == number
    links = {(link.kind, link.title) for link in threads_links(last())}
    assert ("contact", "Bo") in links
    assert ("deal", "Ten chairs") in links


def threads_links(message: Message) -> list[Any]:
    conversation = threads.conversation(ana(), message.thread_id)
    assert conversation is not None
    return conversation.links


def test_an_unknown_author_becomes_a_contact_and_whom_the_block_copies_does_not(company: Company) -> None:
    assert forward(company, cc="Di Low <di@client.example>, eve@third.example", note="Cy wants lamps, see fay@fourth.example") == "logged"
    assert "cy@client.example" in contacts()
    assert not {"di@client.example", "eve@third.example", "fay@fourth.example"} & contacts()


def test_an_author_on_the_never_log_list_is_not_logged(company: Company) -> None:
    NeverLog.create(pattern="client.example", added_by="root@sales.example", created_at=company.at)
    company.fresh()
    assert never_log.would_log("cy@client.example") is False
    assert forward(company) == "ignored(never-log)"
    assert "cy@client.example" not in contacts()


def test_the_author_is_called_claimed_in_trace_and_api(company: Company) -> None:
    assert forward(company) == "logged"
    message = last()
    steps = outcomes.trace(ana(), message.inbound_id)
    assert steps is not None
    entry = next(step for step in steps if step["step"] == "unwrap")
    assert (entry["reason"], entry["params"]["address"]) == ("forward-read", "cy@client.example")
    shown = api_json.message(view(message))["forward"]
    assert (shown["claimed"], shown["from"]["address"]) == (True, "cy@client.example")


def test_strict_mode_asks_for_the_block_in_text_and_in_html(company: Company) -> None:
    change_company({"strict_forwards": True})
    company.fresh()
    assert forward(company) == "logged"
    thread = Thread.get_by_id(last().thread_id)
    assert (thread.waiting, thread.waiting_reason) == ("needs-choice", "forward-not-both")
    assert "cy@client.example" not in contacts()


@pytest.mark.parametrize("text", ["see below", "---------- Forwarded message ---------\nsomething a machine wrote, bo@cust.example\n"])
def test_a_forward_that_cannot_be_read_waits_and_nobody_is_guessed(company: Company, text: str) -> None:
    before = contacts()
    assert forward(company, title="Fwd: Lamps", text=text) == "logged"
    thread = Thread.get_by_id(last().thread_id)
    assert (thread.waiting, thread.waiting_reason) == ("needs-choice", "forward-unreadable")
    assert contacts() == before
    assert threads_links(last()) == []


def test_a_forward_of_a_mail_that_was_not_logged_joins_its_conversation(company: Company) -> None:
    company.send(company.mail("Ten chairs for Bo", message_id="<offer@sales.example>", date="Thu, 19 Nov 2026 08:00:00 +0000"))
    company.work()
    offer = last()
    answer = company.mail(
        "Fwd: Re: Ten chairs for Bo", to="forward@drop.example", headers=["References: <offer@sales.example> <answer@cust.example>"],
        body=GMAIL.format(sender="Bo <bo@cust.example>", date="Thu, Nov 19, 2026 at 9:00 AM", subject="Re: Ten chairs for Bo", cc="", body="Yes"),
    )  # fmt: skip
    company.send(answer, to=[company.addresses["forward_address"]])
    company.work()
    assert company.ends()[-1] == "logged"
    assert last().thread_id == offer.thread_id


def test_a_forward_joins_by_the_claimed_subject_and_people_when_no_id_helps(company: Company) -> None:
    company.send(company.mail("Ten chairs for Bo", date="Thu, 19 Nov 2026 08:00:00 +0000"))
    company.work()
    offer = last()
    assert forward(company, sender="Bo <bo@cust.example>", subject="Re: Ten chairs for Bo") == "logged"
    assert last().thread_id == offer.thread_id
    assert forward(company, sender="Cy <cy@client.example>", subject="Re: Ten chairs for Bo") == "logged"
    assert last().thread_id != offer.thread_id, "the same subject from other people is another conversation"


def test_a_forward_of_what_is_logged_already_begins_a_second_thread(company: Company) -> None:
    assert forward(company) == "logged"
    first = last()
    assert forward(company) == "logged"
    second = last()
    assert second.id != first.id
    assert second.thread_id != first.thread_id


def test_the_time_of_a_forward_is_that_of_its_original(company: Company) -> None:
    assert forward(company, date="Thu, Nov 19, 2026 at 9:00 AM") == "logged"
    assert last().date is not None
    assert last().date.date() == dt.date(2026, 11, 19)


def test_a_reader_from_a_plugin_is_asked_before_the_house(company: Company) -> None:
    """The reader of HCL Notes is a plugin; its columns end on the same contact as any other forward."""
    text = (
        "----- Forwarded by Ana/Sales/CHAIRS on 11/19/2026 09:40 AM -----\n\n             Cy Ott\n             <cy@client.exampl\n"
        "             e>                                                         To\n                                       Ana <ana@sales.example>\n"
        "             11/19/2026 09:31                                           cc\n             AM\n"
        "                                                                   Subject\n                                       Lamps\n\n\nPlease send ten.\n"
    )
    assert forward(company, title="Fw: Lamps", text=text) == "logged"
    assert people(last())["original"] == {"cy@client.example"}


def test_the_claimed_author_never_becomes_the_owner(company: Company) -> None:
    """A colleague's mail inside the block makes nobody but the forwarding rep the owner."""
    assert forward(company, sender="Ben <ben@sales.example>", subject="Internal") == "logged"
    assert "ben@sales.example" not in contacts()
    for message in Message.select():
        assert Thread.get_by_id(message.thread_id).owner.email == "ana@sales.example"


def test_what_a_stranger_forwards_is_not_filed(company: Company) -> None:
    block = GMAIL.format(sender="Ana <ana@sales.example>", date="Thu, Nov 19, 2026 at 9:00 AM", subject="x", cc="", body="x")
    company.send(make_mail("Mal <mal@nobody-knows.example>", to="forward@drop.example", subject="Fwd: x", body=block), to=[company.addresses["forward_address"]], mail_from="mal@nobody-knows.example")
    company.work()
    assert company.ends()[-1].startswith("held")
    assert company.messages() == 0


def test_messages_keep_the_block_as_it_was_read(company: Company) -> None:
    assert forward(company, note="Please call back.") == "logged"
    shown = view(last()).forward
    assert (shown["note"], shown["body"], shown["client"], shown["subject"]) == ("Please call back.", "Please send ten.", "gmail", "Lamps")
