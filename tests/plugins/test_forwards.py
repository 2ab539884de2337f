"""The forward readers that come as plugins."""

from __future__ import annotations

import datetime as dt
from email.message import EmailMessage
from pathlib import Path

import pytest

from core.mail import forward
from core.mail.parse import parse
from core.types import Mailbox
from plugins.forwards import notes, outlook_msg, winmail
from tests.mail.forwards_made import ORIGINAL_TEXTS, email

NOTES = """Please log.

----- Forwarded by Bo Seller/Sales/SELLER on 05/17/2024 09:40 AM -----

             Ana Costa
             <ana.costa@custom
             er.example>                                                To
                                       Bo Seller <bo@seller.example>
             05/17/2024 09:31                                           cc
             AM                        tom@third.example
                                                                   Subject
                                       Re: Quote for 40 seats


Hello,

all is fine.
"""


def test_notes_sets_the_sender_in_a_column() -> None:
    found = notes.read_forward(email(NOTES))
    assert found is not None
    assert found.sender == Mailbox("Ana Costa", "ana.costa@customer.example")
    assert (found.to, found.cc) == ((Mailbox("Bo Seller", "bo@seller.example"),), (Mailbox(None, "tom@third.example"),))
    assert (found.subject, found.note, found.body) == ("Re: Quote for 40 seats", "Please log.", "Hello,\n\nall is fine.")
    assert found.date == dt.datetime(2024, 5, 17, 9, 31)


@pytest.mark.parametrize("text", ORIGINAL_TEXTS)
def test_notes_leaves_every_other_mail_to_the_next_reader(text: str) -> None:
    assert notes.read_forward(email(text)) is None


def test_a_reply_in_notes_is_no_forward() -> None:
    assert notes.read_forward(email(NOTES, subject="Re: x")) is None


def test_a_notes_block_without_an_address_names_nobody() -> None:
    found = notes.read_forward(email(NOTES.replace("@custom", " custom")))
    assert found is None or found.sender is None


def with_attachment(data: bytes, subtype: str, name: str, subject: str = "Fwd: x") -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "bo@seller.example", "box@drop.example", subject
    mail.set_content("FYI")
    mail.add_attachment(data, maintype="application", subtype=subtype, filename=name)
    return mail.as_bytes()


@pytest.mark.parametrize(("plugin", "subtype", "name"), [(outlook_msg, "vnd.ms-outlook", "original.msg"), (winmail, "ms-tnef", "winmail.dat")])
def test_without_its_library_a_plugin_answers_nothing(plugin: object, subtype: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "extract_msg" if plugin is outlook_msg else "tnefparse", None)
    raw = with_attachment(b"x", subtype, name)
    assert plugin.read_forward(parse(raw), raw) is None  # type: ignore[attr-defined]
    waiting = forward.read(parse(raw))
    assert waiting is not None
    assert waiting.unreadable


@pytest.mark.corpora
def test_a_msg_file_is_an_original(corpora: Path) -> None:
    pytest.importorskip("extract_msg", reason="extract-msg is the user's to install (GPL-3)")
    data = (corpora / "forwards" / "msg" / "nested_simple_mail.msg").read_bytes()
    raw = with_attachment(data, "vnd.ms-outlook", "original.msg")
    found = outlook_msg.read_forward(parse(raw), raw)
    assert found is not None
    assert found.sender is not None
    assert (found.note, found.evidence, bool(found.message_id)) == ("FYI", "attachment", True)
    reply = with_attachment(data, "vnd.ms-outlook", "original.msg", "Re: x")
    assert outlook_msg.read_forward(parse(reply), reply) is None


@pytest.mark.corpora
def test_a_mail_inside_winmail_dat_is_an_original(corpora: Path) -> None:
    pytest.importorskip("tnefparse", reason="tnefparse is the user's to install (LGPL-3)")
    raw = with_attachment((corpora / "forwards" / "tnef" / "IPM-DistList.tnef").read_bytes(), "ms-tnef", "winmail.dat")
    found = winmail.read_forward(parse(raw), raw)
    assert found is not None
    assert found.sender is not None
    assert found.evidence == "attachment"


def test_the_reader_in_the_docs_works_as_printed() -> None:
    page = Path(forward.__file__).parents[2] / "docs" / "forwards.md"
    blocks = page.read_text("utf-8").split("```python\n")[1:]
    names: dict[str, object] = {}
    for block in blocks:
        exec(block.partition("```")[0], names)
    names["test_it_reads_its_own_and_nothing_else"]()  # type: ignore[operator]
