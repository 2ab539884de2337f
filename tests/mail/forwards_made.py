"""Forwarded mails built from the label table: one for every client and language that has a full set of labels.

Nothing here was captured: the structures follow docs/forwards.md, the words come from `core/mail/labels.csv`.
"""

from __future__ import annotations

import html as entities
from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.mail.labels import table
from core.types import Email, Identity, Mailbox

REP = Mailbox("Bo Seller", "bo@seller.example")
ORDERS = {
    "thunderbird": ("subject", "date", "from", "to", "cc"),
    "roundcube": ("subject", "date", "from", "to", "cc"),
    "gmail": ("from", "date", "subject", "to", "cc"),
    "google_android": ("from", "date", "subject", "to", "cc"),
    "hubspot": ("from", "date", "subject", "to", "cc"),
    "apple_mail": ("from", "subject", "date", "to", "cc"),
    "yahoo": ("from", "to", "cc", "date", "subject"),
    "k9": ("from", "date", "to", "cc", "subject"),
    "samsung_mail": ("from", "date", "to", "cc", "subject"),
    "android_email": ("from", "to", "cc", "date", "subject"),
}
OUTLOOK_ORDER = ("from", "date", "to", "cc", "subject")
NEEDED = ("from", "to", "subject", "date")


@dataclass(frozen=True)
class Words:
    """The labels and separators with which one client writes in one language."""

    client: str
    language: str
    labels: dict[str, str]
    separator: str

    @property
    def order(self) -> tuple[str, ...]:
        return ORDERS.get(self.client, OUTLOOK_ORDER)


@dataclass(frozen=True)
class Original:
    """The mail that is forwarded."""

    sender: Mailbox = Mailbox("Ana Müller-Costa", "ana.costa@customer.example")
    to: tuple[Mailbox, ...] = (REP,)
    cc: tuple[Mailbox, ...] = (Mailbox("Tom Case", "tom@third.example"),)
    subject: str = "Re: Quote for 40 seats"
    date: str = "2024-05-17 09:31"
    body: str = "Hello,\n\nfrom our side all is fine.\nFrom: now on please call.\n\nAna"


def word_sets() -> Iterator[Words]:
    """Every (client, language) of the table with labels for From, To, Date and Subject."""
    rows: dict[tuple[str, str], dict[str, list[str]]] = {}
    for row in table().rows:
        for client in row.clients:
            rows.setdefault((client, row.language), {}).setdefault(row.kind, []).append(row.label)
    for (client, language), kinds in sorted(rows.items()):
        if not all(kind in kinds for kind in NEEDED):
            continue
        separators = kinds.get("forward_separator", []) + kinds.get("original_separator", [])
        if "outlook" in client or client == "windows_live_mail":
            separators = ["_" * 32] if client == "outlook_com" else [""]
        for number in range(max(len(kinds[kind]) for kind in NEEDED)):
            labels = {kind: found[min(number, len(found) - 1)] for kind, found in kinds.items() if kind in (*NEEDED, "cc")}
            yield Words(client, language, labels, separators[min(number, len(separators) - 1)] if separators else "")


def shown(person: Mailbox) -> str:
    return f"{person.name} <{person.address}>" if person.name else person.address


def header_lines(words: Words, original: Original) -> list[str]:
    values = {
        "from": shown(original.sender),
        "to": ", ".join(map(shown, original.to)),
        "cc": ", ".join(map(shown, original.cc)),
        "date": original.date,
        "subject": original.subject,
    }
    gap = "\t" if words.client == "thunderbird" else " "
    lines = []
    for kind in words.order:
        label = words.labels.get(kind, "Cc")
        if values[kind]:
            colon = "" if label.endswith((":", "：", "፦", "៖", "-", "`")) else ":"
            lines.append(f"{label}{colon}{gap}{values[kind]}")
    return lines


def text_forward(words: Words, original: Original, note: str = "") -> str:
    lines = header_lines(words, original)
    if words.client == "yahoo":
        block = f"  {words.separator} " + "".join(lines) + "\n" + original.body
    elif words.client == "apple_mail":
        block = words.separator + "\n\n" + "\n".join(f"> {line}" for line in [*lines, "", *original.body.split("\n")])
    else:
        blank = "\n\n\n" if words.client == "thunderbird" else "\n\n"
        block = (words.separator + "\n" if words.separator else "") + "\n".join(lines) + blank + original.body
    return f"{note}\n\n{block}" if note else block


def html_forward(words: Words, original: Original, note: str = "") -> str:
    lines = [entities.escape(line, quote=False) for line in header_lines(words, original)]
    body = entities.escape(original.body).replace("\n", "<br>\n")
    above = "".join(f"<div>{entities.escape(line) or '<br>'}</div>" for line in note.split("\n")) if note else ""
    separator = entities.escape(words.separator)
    if words.client == "thunderbird":
        rows = "".join("<tr><th>{}</th><td>{}</td></tr>".format(*line.split("\t", 1)) for line in lines)
        return f'{above}<div class="moz-forward-container"><br>{separator}<table>{rows}</table><br>{body}</div>'
    if words.client == "apple_mail":
        inner = "".join(f"<div>{line}</div>" for line in lines)
        return f'{above}<div>{separator}</div><br><blockquote type="cite">{inner}<br><div>{body}</div></blockquote>'
    if words.client.startswith("outlook_desktop"):
        inner = "<br>".join(f"<b>{line.replace(':', ':</b>', 1)}" for line in lines)
        return f'{above}<div style="border:none;border-top:solid #E1E1E1 1.0pt"><p class=MsoNormal>{inner}</p></div><p class=MsoNormal>&nbsp;</p>{body}'
    top = "<hr>" if words.client == "outlook_com" else f"{separator}<br>"
    return f'{above}<div class="gmail_quote">{top}{"<br>".join(lines)}<br><br>{body}</div>'


def email(text: str = "", html: str = "", subject: str = "Fwd: Re: Quote for 40 seats", **more: object) -> Email:
    """An Email as the parser gives it, sent by the rep."""
    plain = Email(
        identity=Identity(REP),
        message_id="forward@seller.example",
        ids=("forward@seller.example",),
        references=(),
        subject=subject,
        date=None,
        to=(Mailbox(None, "box@drop.example"),),
        cc=(),
        reply_to=(),
        text=text,
        html=html,
        attachments=(),
    )
    return replace(plain, **more)  # type: ignore[arg-type]


ORIGINAL_TEXTS = [text_forward(words, Original(), "Please log.") for words in word_sets() if words.language in ("en", "de", "ja")] + ["", "Hello"]
