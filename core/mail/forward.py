"""Who wrote the mail that somebody forwarded? Reads the block that mail clients write above it, from text, HTML or both.

There are three answers, and never a guess: a `Forward` with a sender, a `Forward` that is `unreadable` (the mail says it is a forward,
but no usable From was found), and None (no forward). A reply that quotes is no forward. An address in the note or the signature is
never the sender: only the From line of a block is looked at. All of it is claimed by whoever forwarded the mail, and proves nothing.

How it goes: lines (`forward_lines`) -> header blocks by the label table (`forward_block`, `labels`) -> people and dates
(`forward_people`, `forward_dates`). The first block from the top is the forwarded mail, those below it are its chain. Every step is
linear in the length of the mail.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from core.mail.attribution import Attribution, attribution_at
from core.mail.forward_block import Block, blocks, separator_of
from core.mail.forward_client import label_languages, name_client, name_language
from core.mail.forward_dates import read_block_date
from core.mail.forward_lines import Lines, from_html, from_text
from core.mail.forward_people import read_people, read_sender
from core.mail.labels import INVISIBLE, is_device_signature, subject_prefix, visible
from core.mail.replies import split_quote, split_signature
from core.types import Email, Forward, Mailbox

MAX_CHAIN = 10
MAX_ATTRIBUTIONS = 60  # lines that are tried as an attribution, in one body
_MACHINES = frozenset(("bounce", "report", "list", "bulk"))  # what these attach or quote was forwarded by nobody


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """What one body (text or HTML) says: the forwarded mail, and whether a separator promised a block that is not there."""

    forward: Forward | None = None
    promised: bool = False
    note: str = ""


def read(email: Email) -> Forward | None:
    """The forwarded mail that `email` carries. None: it is no forward. `unreadable`: it says it is one, and nobody can be named."""
    if email.machine in _MACHINES:
        return None
    prefix, bare_subject, prefix_languages = subject_prefix(email.subject)
    if prefix == "reply":
        return None
    if email.originals:
        return _attached(email, prefix)
    found = _inline(email, prefix, bare_subject, prefix_languages)
    if found is not None and found.sender is not None and prefix != "forward" and _answers(email, found):
        return None
    if found is None and prefix == "forward":
        note, signature = split_note(email.text or "\n".join(from_html(email.html).raw))
        return Forward(unreadable=True, note=note, signature=signature)
    return found


def _answers(email: Email, found: Forward) -> bool:
    """True for a mail that goes to the very author of the block below: an answer whose prefix nobody knows, not a forward."""
    addressed = {person.address.lower() for person in (*email.to, *email.cc)}
    return found.sender is not None and found.sender.address.lower() in addressed


# --- the original is attached -----------------------------------------------------------------------------------------


def _attached(email: Email, prefix: str) -> Forward:
    note, signature = split_note(email.text or "\n".join(from_html(email.html).raw))
    read_out = tuple(_original(original) for original in email.originals[:MAX_CHAIN])
    first = next((one for one in read_out if not one.unreadable), read_out[0])
    others = tuple(one for one in read_out if one is not first)
    inline = _inline(email, prefix, subject_prefix(email.subject)[1], frozenset()) if prefix == "forward" else None
    if inline is not None and inline.sender is not None and not first.unreadable:
        named = {one.sender.address.lower() for one in read_out if one.sender}
        below = {one.sender.address.lower() for one in (*inline.chain, *(link for each in read_out for link in each.chain)) if one.sender}
        if inline.sender.address.lower() not in named | below and not named & below:
            return Forward(unreadable=True, note=inline.note, signature=inline.signature)  # two different originals: a person must choose
        note, signature = inline.note, inline.signature
    return dataclasses.replace(first, note=note, signature=signature, others=others)


def _original(original: Email) -> Forward:
    body = original.text or "\n".join(from_html(original.html).raw)
    sender = original.identity.mailbox
    if sender is None:
        return Forward(unreadable=True, subject=original.subject or None, body=body, evidence="attachment")
    below = read(original)
    chain: tuple[Forward, ...] = ()
    if below is not None and not below.unreadable:
        chain = (dataclasses.replace(below, chain=()), *below.chain)[:MAX_CHAIN]
    reply, quoted = split_quote(body) if below is None else (body, "")
    return Forward(
        sender=sender,
        to=original.to,
        cc=original.cc,
        subject=original.subject or None,
        date=original.date,
        message_id=original.message_id,
        references=original.references,
        body=reply.strip() if quoted and reply.strip() else body.strip(),
        chain=chain,
        evidence="attachment",
    )


# --- the original is a block in the text ------------------------------------------------------------------------------


def _inline(email: Email, prefix: str, subject: str, languages: frozenset[str]) -> Forward | None:
    text = _body(from_text(email.text, flowed=bool(email.flowed), delsp=email.flowed == "delsp"), email, prefix, subject, languages) if email.text.strip() else _Found()
    html = _body(from_html(email.html), email, prefix, subject, languages) if email.html.strip() else _Found()
    if text.forward is not None and html.forward is not None:
        return _both(text.forward, html.forward)
    if text.forward is not None:
        return dataclasses.replace(text.forward, evidence="text")
    if html.forward is not None:
        return dataclasses.replace(html.forward, evidence="html")
    if text.promised or html.promised:
        note, signature = split_note(text.note or html.note)
        return Forward(unreadable=True, note=note, signature=signature)
    return None


def _both(text: Forward, html: Forward) -> Forward:
    """Hold text and HTML against each other: what one lacks the other gives; when they name different people nobody is named."""
    if text.unreadable and html.unreadable:
        return dataclasses.replace(text, evidence="both")
    if text.sender is not None and html.sender is not None:
        if text.sender.address.lower() != html.sender.address.lower():
            return _nobody(text)
        sender = text.sender if text.sender.name or not html.sender.name else html.sender
        return dataclasses.replace(_filled(text, html), sender=sender, evidence="both")
    if html.sender is not None:
        if text.sender_name is None or not _same_name(text.sender_name, html.sender):
            return _nobody(text)
        sender = Mailbox(html.sender.name or text.sender_name or None, html.sender.address)
        return dataclasses.replace(_filled(text, html), unreadable=False, sender=sender, sender_name=None, evidence="both")
    if html.sender_name is None or text.sender is None or not _same_name(html.sender_name, text.sender):
        return _nobody(text)
    return dataclasses.replace(_filled(text, html), evidence="both")


def _nobody(text: Forward) -> Forward:
    return dataclasses.replace(text, unreadable=True, sender=None, sender_name=None, evidence="both")


def _same_name(name: str, sender: Mailbox) -> bool:
    """True when a name without an address may be this sender's: the same words, or the words of the address."""
    words = set(re.findall(r"\w+", name.casefold()))
    other = set(re.findall(r"\w+", f"{sender.name or ''} {sender.local}".casefold()))
    return bool(words) and (words <= other or set(re.findall(r"\w+", (sender.name or "").casefold())) == words)


def _filled(text: Forward, html: Forward) -> Forward:
    """The text's reading with what only the HTML has."""
    return dataclasses.replace(
        text,
        to=text.to if len(text.to) >= len(html.to) else html.to,
        cc=text.cc if len(text.cc) >= len(html.cc) else html.cc,
        subject=text.subject if text.subject is not None else html.subject,
        date=text.date or html.date,
        date_raw=text.date_raw or html.date_raw,
        client=text.client if text.client not in (None, "outlook_desktop_windows") or html.client is None else html.client,
        language=text.language or html.language,
        body=text.body or html.body,
        chain=_filled_chain(text.chain, html.chain),
    )


def _filled_chain(text: Sequence[Forward], html: Sequence[Forward]) -> tuple[Forward, ...]:
    if len(text) != len(html):
        return tuple(text) or tuple(html)
    return tuple(_both(one, other) if other.sender or one.sender else one for one, other in zip(text, html, strict=True))


def _body(lines: Lines, email: Email, prefix: str, subject: str, languages: frozenset[str]) -> _Found:
    found = blocks(lines, subject)
    if prefix == "either" and found and found[0].separator is None:
        found = [] if name_language(found[0], frozenset()) == "fi" else found
    chosen = _choose(found, lines, prefix, subject)
    if chosen is None:
        return _promise(lines, prefix)
    reader = _Reader(lines, email.html, languages)
    if isinstance(chosen, tuple):
        return _Found(reader.quoted(chosen, subject, found))
    return _Found(reader.forward(chosen, found[found.index(chosen) + 1 :], top=True))


_Quote = tuple[Attribution, int, int]  # (what it says, its line, the lines it takes)


def _choose(found: list[Block], lines: Lines, prefix: str, subject: str) -> Block | _Quote | None:
    """The block (or, in a forward that has none, the attribution) that stands for the forwarded mail."""
    first = found[0] if found else None
    if first is not None and first.separator is None and len(set(first.values) & {"from", "to", "date", "subject"}) < 4:
        # Half a block without a separator may be words of a note above a whole one, or the forwarded mail (sent without To), which
        # forwards another. The mail's own subject tells; else nobody can.
        below = next((b for b in found if b.separator is not None and b.separator.kind in ("forward", "original")), None)
        if below is not None and _says(below, subject) == _says(first, subject) and not _same_author(first, below):
            return None
        if not _says(first, subject):
            first = below or next((b for b in found if _says(b, subject)), first)
    if first is not None and (first.separator is not None or prefix != "forward"):
        return first
    if prefix != "forward":
        return None
    limit = first.start if first is not None else len(lines)
    return _first_quote(lines, limit) or first


def _says(block: Block, subject: str) -> bool:
    """True when the block's Subject is the mail's own, whatever prefixes stand before either (Outlook makes "FW: x" of "RE: x")."""
    return "subject" in block.values and _bare(block.values["subject"]) == _bare(subject)


def _bare(subject: str) -> str:
    for _ in range(6):
        prefix, subject, _ = subject_prefix(subject)
        if not prefix:
            break
    return " ".join(subject.split())


def _same_author(one: Block, other: Block) -> bool:
    first, second = read_sender(one.values["from"])[0], read_sender(other.values["from"])[0]
    return first is not None and second is not None and first.address.lower() == second.address.lower()


def _first_quote(lines: Lines, limit: int) -> _Quote | None:
    """The first attribution above line `limit` that names an address (Outlook for Mac forwards so)."""
    tried = 0
    for index in range(limit):
        text = lines.text[index]
        if lines.depth[index] or len(text) < 10 or not any(mark in text for mark in "@0123456789"):
            continue
        tried += 1
        if tried > MAX_ATTRIBUTIONS:
            return None
        found = attribution_at(lines.text[index : min(limit, index + 6)], 0)
        if found is not None and found[0].sender is not None and not _quotes(lines, index + found[1]):
            return found[0], index, found[1]
    return None


def _quotes(lines: Lines, index: int) -> bool:
    """True when the next line with words carries a quote mark: then it is an answer or a note that quotes, not a forward."""
    return next((lines.depth[i] > 0 for i in range(index, min(index + 10, len(lines))) if visible(lines.text[i]).strip()), False)


def _promise(lines: Lines, prefix: str) -> _Found:
    """A separator that only forwards have, with nothing readable below it."""
    for index in range(min(len(lines), 2000)):
        if lines.depth[index] or visible(lines.text[index][:40]).strip()[:1] not in ("-", "—", "–"):
            continue
        separator = separator_of(lines.text[index], index)
        if separator is not None and separator.kind == "forward":
            return _Found(None, True, "\n".join(lines.raw[:index]))
    return _Found()


class _Reader:
    """Reads blocks of one body into Forwards."""

    def __init__(self, lines: Lines, html: str, prefix_languages: frozenset[str]) -> None:
        self.lines = lines
        self.html = html
        self.prefix_languages = prefix_languages

    def forward(self, block: Block, below: list[Block], *, top: bool) -> Forward:
        values = block.values
        sender, name = read_sender(values.get("from", ""))
        stop = below[0].top if below else len(self.lines)
        body, quoted, unquoted_tail = self._below(block, stop, last=not below)
        client, language = name_client(block, self.lines, self.html if top else "", self.prefix_languages if top else frozenset())
        note, signature = split_note("\n".join(filter(None, ["\n".join(self.lines.raw[: block.top]), unquoted_tail]))) if top else ("", "")
        date_raw = _line(values["date"]) if values.get("date") else None
        chain: tuple[Forward, ...] = quoted
        if top:
            chain = (*quoted, *(self.forward(one, below[i + 1 :], top=False) for i, one in enumerate(below)))
            chain = _flat(chain)
        return Forward(
            unreadable=sender is None,
            client=client,
            language=language,
            sender=sender,
            to=read_people(values.get("to", "")).mailboxes,
            cc=read_people(values.get("cc", "")).mailboxes,
            subject=_line(values["subject"]) if "subject" in values else None,
            date=read_block_date(date_raw, _languages(language, block)) if date_raw else None,
            date_raw=date_raw,
            note=note,
            signature=signature,
            body=body,
            chain=chain[:MAX_CHAIN] if top else quoted[:1],
            sender_name=(name or None) if sender is None else None,
        )

    def quoted(self, quote: _Quote, subject: str, found: list[Block]) -> Forward:
        """A forward that is written like a reply: Outlook for Mac."""
        said, index, taken = quote
        below = [block for block in found if block.start > index]
        stop = below[0].top if below else len(self.lines)
        body, chain = _without_quote(_undented(self.lines.raw[index + taken : stop], self.lines.rest if not below else ""))
        note, signature = split_note("\n".join(self.lines.raw[:index]))
        chain = (*chain, *(self.forward(one, below[i + 1 :], top=False) for i, one in enumerate(below)))
        return Forward(
            client="outlook_mac_2019_reply_style",
            language=said.language or None,
            sender=said.sender,
            subject=subject or None,
            date=read_block_date(said.date, (said.language,) if said.language else ()),
            date_raw=said.date or None,
            note=note,
            signature=signature,
            body=body,
            chain=_flat(chain)[:MAX_CHAIN],
        )

    def _below(self, block: Block, stop: int, *, last: bool) -> tuple[str, tuple[Forward, ...], str]:
        """(body, what it quotes at its end, what the forwarder wrote below it)."""
        lines, depth = self.lines, block.depth
        end = stop
        tail = ""
        if depth and last and not lines.rest:
            quoted_end = next((i + 1 for i in range(stop - 1, block.end - 1, -1) if lines.depth[i] >= depth), block.end)
            if quoted_end < stop and not lines.text[quoted_end].strip():
                end, tail = quoted_end, "\n".join(lines.raw[quoted_end:stop]).strip()
        taken = [_unquoted(lines.raw[i], lines.text[i], lines.depth[i], depth) for i in range(block.end, end)]
        body, chain = _without_quote(_undented(taken, lines.rest if last else ""))
        return body, chain, tail


def _flat(chain: Sequence[Forward]) -> tuple[Forward, ...]:
    """Nearest first: what hangs below an entry comes right behind it."""
    flat: list[Forward] = []
    for one in chain:
        flat.append(dataclasses.replace(one, chain=()))
        flat.extend(one.chain)
    return tuple(flat)


def _languages(language: str | None, block: Block) -> tuple[str, ...]:
    """The languages in which the block's date is to be read, likeliest first."""
    nearest = label_languages(tuple(block.labels))
    return (language, *nearest) if language else nearest[:1] if len(nearest) == 1 else ()


# Controls, and marks that turn the text around: a subject from a stranger may not rewrite the page that shows it.
_CONTROLS = dict.fromkeys((*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
_EDGES = " " + "".join(map(chr, INVISIBLE))


def _line(value: str) -> str:
    """A header value as one line, without controls, and without invisible characters at its ends."""
    return value.replace("\t", " ").replace("\xa0", " ").translate(_CONTROLS).strip(_EDGES)


def _unquoted(raw: str, text: str, depth: int, levels: int) -> str:
    """The line with `levels` quote marks off; deeper ones stay."""
    if depth == 0 or levels == 0:
        return raw
    return ("> " * (depth - levels) + text) if depth > levels else text


_MARK = re.compile(r"^[ \t]{0,2}> ?")


def _undented(lines: list[str], rest: str) -> str:
    """The body's lines joined: a quote mark or an indent that stands before every line is the client's, not the author's."""
    written = [line for line in lines if visible(line).strip()]
    if written and all(_MARK.match(line) for line in written):
        lines = [_MARK.sub("", line, count=1) for line in lines]
    elif written and all(line.startswith("    ") for line in written):
        lines = [line[4:] for line in lines]
    lines = [line if visible(line).strip() else "" for line in lines]
    return _trim("\n".join([*lines, rest] if rest else lines))


def _trim(text: str) -> str:
    """Without blank lines, spaces and byte-order marks around it."""
    text = text.replace("\ufeff", "")
    return text.strip(" \t\r\n\xa0\u200b\u200e\u200f")


def _without_quote(body: str) -> tuple[str, tuple[Forward, ...]]:
    """The body without the older mail that it quotes at its end, and that mail as far as its attribution names it."""
    reply, quoted = split_quote(body)
    if not quoted or not reply.strip():
        return body, ()
    texts = quoted.split("\n", 12)
    first = next((i for i, line in enumerate(texts[:8]) if line.strip()), 0)
    found = attribution_at([_MARK.sub("", line) for line in texts[:12]], first)
    if found is None:
        return body, ()
    said, taken = found
    older = _undented("\n".join(texts[first + taken :]).split("\n"), "")
    entry = Forward(
        unreadable=said.sender is None,
        language=said.language or None,
        sender=said.sender,
        sender_name=None if said.sender else said.name or None,
        date=read_block_date(said.date, (said.language,) if said.language else ()),
        date_raw=said.date or None,
        body=older,
    )
    return _trim(reply), (entry,)


def split_note(text: str) -> tuple[str, str]:
    """(what the forwarder wrote, signature included; the signature). A client's own line ("Sent from my …") alone is no note."""
    note = _trim("\n".join(line if visible(line).strip() else "" for line in re.split(r"\r\n|\r|\n", text)))
    written, signature = split_signature(note)
    if not written.strip() and signature and not re.match(r"--\s*$", signature.partition("\n")[0]):
        return "", signature
    if note and all(is_device_signature(line) for line in note.split("\n") if line.strip()):
        return "", note
    return note, signature
