"""The corpora's answer files, brought to one shape: (set, mail, field, our answer, their answer, do they agree).

A field is yielded only where the other side has an answer that can be compared. What is no answer: text with U+FFFD
or C1 controls (a charset that the other program did not read), a sender without a domain, a date that is none.
White space is ignored, and so is the `>` of quotes, because flowed text is joined differently everywhere.
"""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from core.mail.addresses import normalise
from core.mail.headers import read_head, readable
from core.mail.names import safe_name
from core.mail.parse import parse
from core.mail.text import plain_text, shown_text
from core.mail.tree import Budget, Part, decoded, read_tree
from core.types import Attachment, Email

WIDTH = 400


class Comparison(NamedTuple):
    source: str
    mail: str
    field: str
    ours: object
    theirs: object
    agree: bool


def manifest(corpora: Path) -> list[dict[str, str]]:
    with (corpora / "mime" / "MANIFEST.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def read(path: Path) -> Email:
    return parse(path.read_bytes())


def bare(text: str | None) -> str:
    return re.sub(r"[\s>]+", "", text or "")


def unreadable(text: str) -> bool:
    return "\ufffd" in text or bool(re.search("[\x7f-\x9f]", text)) or "\0" in text


# --- postal-mime: another program's opinion ------------------------------------------------------------------------


def postal_mime(corpora: Path) -> Iterator[Comparison]:
    paths = {row["sha256"][:16]: row["path"] for row in manifest(corpora)}
    with (corpora / "mime" / "expected" / "postal-mime.jsonl").open(encoding="utf-8") as file:
        for line in file:
            answer = json.loads(line)
            mail = paths[answer["id"]]
            yield from (Comparison("postal-mime", mail, *found) for found in _postal_fields(read(corpora / "mime" / mail), answer))


def _postal_fields(email: Email, answer: dict[str, Any]) -> Iterator[tuple[str, object, object, bool]]:
    subject = bare(answer["subject"])
    if subject and not unreadable(subject):
        yield "subject", email.subject, answer["subject"], bare(email.subject) == subject
    sender = normalise((answer["from"] or {}).get("address") or "")
    if sender and "@" in sender:
        ours = email.identity.mailbox.address if email.identity.mailbox else email.identity.reason
        yield "from", ours, sender, ours.lower() == sender.lower()
    if re.fullmatch(r"\d{4}-\d\d-\d\dT.*", answer["date"] or ""):
        ours = email.date.strftime("%Y-%m-%dT%H:%M:%S") if email.date else ""
        yield "date", ours, answer["date"], ours == answer["date"][:19]
    if answer["text_begins"] and not unreadable(answer["text_begins"]):
        yield "text", shown_text(email)[:WIDTH], answer["text_begins"], _begins_alike(email, answer["text_begins"])
    yield from _postal_files(email, answer["attachments"])


def _begins_alike(email: Email, theirs: str) -> bool:
    ours = bare(shown_text(email))
    wanted = bare(theirs)
    if ours[: len(wanted)] == wanted:
        return True
    if not email.originals:
        return False
    # postal-mime writes attached mails into the text, behind a ruler.
    own = bare(re.split(r"(?m)^-{15,}$", theirs, maxsplit=1)[0])
    return ours[: len(own)] == own


def _postal_files(email: Email, answers: list[dict[str, Any]]) -> Iterator[tuple[str, object, object, bool]]:
    """Pictures, documents, sound: by content, also of attached mails, which postal-mime opens.

    Texts are left out because postal-mime re-encodes them, detached signatures because we keep them with the raw mail only.
    """
    files = [one for one in answers if (one["mimeType"] or "").partition("/")[0] in ("image", "application", "audio", "video")]
    files = [one for one in files if not one["mimeType"].endswith("-signature")]
    if not files:
        return
    held = list(_all_files(email))
    have = {one.sha256 for one in held}
    # An unencoded file gets a line end of postal-mime's own.
    longer = {(one.content_type, one.size + 1) for one in held}
    files = [one for one in files if one["sha256"] in have or (one["mimeType"], one["size"]) not in longer]
    missing = [(one["filename"], one["mimeType"], one["size"]) for one in files if one["sha256"] not in have]
    yield "attachments", [(one.filename, one.content_type, one.size) for one in held], missing, not missing
    files = [one for one in files if one["sha256"] in have]
    names = sorted(one.filename for one in held if one.sha256 in {file["sha256"] for file in files})
    wanted = sorted(safe_name(one["filename"]) for one in files if one["filename"] and not unreadable(one["filename"]))
    yield "names", names, wanted, all(names.count(name) >= wanted.count(name) for name in wanted)


def _all_files(email: Email) -> Iterator[Attachment]:
    yield from email.attachments
    for original in email.originals:
        yield from _all_files(original)


# --- stalwart: the authors' own answers ----------------------------------------------------------------------------


def stalwart(corpora: Path) -> Iterator[Comparison]:
    answers = json.loads((corpora / "mime" / "expected" / "stalwart-mail-parser.json").read_text("utf-8"))
    for mail, answer in answers.items():
        email = read(corpora / "mime" / mail)
        yield from (Comparison("stalwart", mail, *found) for found in _stalwart_fields(email, answer))


def _stalwart_fields(email: Email, answer: dict[str, Any]) -> Iterator[tuple[str, object, object, bool]]:
    headers = answer["headers"]
    if "subject" in headers and not unreadable(headers["subject"]["Text"]):
        yield "subject", email.subject, headers["subject"]["Text"], bare(email.subject) == bare(headers["subject"]["Text"])
    for field in ("from", "to"):
        if field in headers:
            yield from _stalwart_people(email, field, headers[field]["Address"])
    if "date" in headers:
        wanted = _moment(headers["date"]["DateTime"])
        if wanted is not None:
            yield "date", email.date, wanted, email.date == wanted
    if "message_id" in headers:
        yield "message_id", email.message_id, headers["message_id"]["Text"], email.message_id == headers["message_id"]["Text"]
    text = "".join(one[1] for one in answer["text"] if one[0] == "Text")
    if text.strip() and not unreadable(text[:WIDTH]):
        ours = bare(plain_text(email))[:WIDTH]
        yield "text", ours, bare(text)[:WIDTH], ours == bare(text)[:WIDTH]
    sizes = sorted(int(one[1]) for one in answer["attachments"] if one[0] in ("Binary", "InlineBinary"))
    ours_sizes = sorted(one.size for one in email.attachments if one.content_type.partition("/")[0] != "text" and one.content_type != "message/rfc822")
    if sizes or ours_sizes:
        yield "attachments", ours_sizes, sizes, ours_sizes == sizes


def _stalwart_people(email: Email, field: str, answer: dict[str, Any]) -> Iterator[tuple[str, object, object, bool]]:
    listed = answer.get("List")
    if listed is None:
        return
    wanted = [(one.get("name"), normalise(one.get("address") or "")) for one in listed]
    if any(address is None or unreadable(name or "") for name, address in wanted):
        return
    people = [email.identity.mailbox] if field == "from" and email.identity.mailbox else list(email.to if field == "to" else ())
    ours = [(one.name, one.address) for one in people]
    yield field, ours, wanted, [(bare(n), a.lower()) for n, a in ours] == [(bare(n), (a or "").lower()) for n, a in wanted]


def _moment(answer: dict[str, Any]) -> datetime | None:
    try:
        local = datetime(*(answer[name] for name in ("year", "month", "day", "hour", "minute", "second")), tzinfo=UTC)
    except ValueError:
        return None
    offset = timedelta(hours=answer["tz_hour"], minutes=answer["tz_minute"])
    return local + offset if answer["tz_before_gmt"] else local - offset


# --- mime4j: the authors' own structures ---------------------------------------------------------------------------


def mime4j(corpora: Path) -> Iterator[Comparison]:
    folder = corpora / "mime" / "expected" / "mime4j"
    for file in sorted(folder.rglob("*.xml")):
        mail = "mime4j/" + str(file.relative_to(folder).with_suffix(".msg"))
        path = corpora / "mime" / mail
        if not path.exists():
            continue
        try:
            root = xml.fromstring(file.read_bytes())
        except xml.ParseError:
            continue
        raw = readable(path.read_bytes())
        head = read_head(raw)
        tree = read_tree(raw, Budget(), head, len(raw))
        theirs = [_field(one.text or "") for one in root.findall("./header/field")]
        ours = [(name.lower().strip(), bare(value.decode("latin-1"))) for name, value in head.fields]
        if not any(unreadable(value) for _, value in theirs):
            yield Comparison("mime4j", mail, "fields", ours, theirs, ours == theirs)
        shape, wanted = our_shape(raw, tree), their_shape(root)
        yield Comparison("mime4j", mail, "structure", shape, wanted, shape == wanted)


def _field(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip().lower(), bare(value)


def our_shape(raw: bytes, part: Part, depth: int = 0) -> str:
    if part.children:
        return "[" + "".join(our_shape(raw, child, depth) for child in part.children) + "]"
    if part.content_type in ("message/rfc822", "message/global") and depth < 10:
        data = readable(decoded(raw, part)[0])
        head = read_head(data)
        return "(" + our_shape(data, read_tree(data, Budget(), head, len(data)), depth + 1) + ")"
    return "[]" if part.content_type.startswith("multipart/") else "."


def their_shape(node: xml.Element) -> str:
    for child in node:
        if child.tag == "multipart":
            return "[" + "".join(their_shape(part) for part in child if part.tag == "body-part") + "]"
        if child.tag == "message":
            return "(" + their_shape(child) + ")"
    return "."
