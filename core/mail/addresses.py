"""Addresses: an own tokenizer without recursion, the one written form of an address, and what an address is like.

The written form (`normalise`): the local part as the sender wrote it, the domain in lower-case A-labels. Two addresses
are the same when `address.lower()` is: the few letters whose lower case is an ASCII letter are refused, so a look-alike
never becomes the plain one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import idna

from core.mail.headers import FWS, MAX_BLOCK, decode_header
from core.types import Mailbox

MAX_MAILBOXES = 500
MAX_COMMENT_DEPTH = 10
MAX_COMMENTS = 5  # kept of one mailbox
MAX_ADDRESS = 320

_TOKEN = re.compile(r'[^ \t\r\n"\\()<>,;:@\[\]]+|[ \t\r\n]+|.', re.DOTALL)
_QUOTED_BODY = re.compile(r'[^"\\]+')
_COMMENT_BODY = re.compile(r"[^()\\]+")
# RFC 5321 4.1.2 dot-atom, with the consecutive and final dots that some providers hand out.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u0080-\U0010ffff]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LITERAL = re.compile(r"\[[0-9a-fA-F.:]{2,45}\]|\[ipv6:[0-9a-fA-F.:]{2,45}\]", re.IGNORECASE)
# Characters that are not seen, or that turn the text around: never part of an address.
_UNSEEN = re.compile("[\x00-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]")
_NEEDS_DOT = ("\u3002", "\uff0e", "\uff61")  # dots of IDNA 2003: they would make two spellings of one domain
_WRITTEN_IN = re.compile(r"[^ \t\r\n<>()\[\],;:\"@]{1,64}@[^ \t\r\n<>()\[\],;:\"@]{1,255}")
_NO_BREAK = "\u00a0".encode().decode("latin-1")


# --- one address ---------------------------------------------------------------------------------------------------


def normalise(address: str) -> str | None:
    """The written form of `local@domain`, or None when it is no address. One trailing dot of the domain is dropped."""
    address = address.strip(FWS)
    if not 3 <= len(address) <= MAX_ADDRESS:
        return None
    local, at, domain = address.rpartition("@")
    if not at or not local:
        return None
    written = _local(local)
    if written is None:
        return None
    ascii_domain = normalise_domain(domain)
    return None if ascii_domain is None else f"{written}@{ascii_domain}"


def _local(local: str) -> str | None:
    if local.startswith('"'):
        if len(local) < 3 or not local.endswith('"'):
            return None
        inside = re.sub(r"\\(.)", r"\1", local[1:-1])
        if any(char < " " or char == "\x7f" for char in inside):
            return None
        if _LOCAL.fullmatch(inside):
            local = inside  # quoted without need (RFC 5321 4.1.2)
        elif _UNSEEN.search(inside.replace(" ", "")):
            return None
        else:
            return '"' + inside.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not _LOCAL.fullmatch(local):
        return None
    if not local.isascii() and (_UNSEEN.search(local) or _turns_ascii(local)):
        return None
    return local


def _turns_ascii(text: str) -> bool:
    """True when a letter outside ASCII has an ASCII letter in its lower case (KELVIN SIGN, I WITH DOT ABOVE)."""
    return any(not char.isascii() and any(low.isascii() for low in char.lower()) for char in text)


def normalise_domain(domain: str) -> str | None:
    """The domain in lower-case A-labels, or None. IDNA 2008 without mapping, so a look-alike stays different."""
    if domain.endswith("."):
        domain = domain[:-1]
    if not domain or len(domain) > 253:
        return None
    if domain.startswith("["):
        return domain.lower() if _LITERAL.fullmatch(domain) else None
    if domain.isascii():
        domain = domain.lower()
    else:
        if _UNSEEN.search(domain) or _turns_ascii(domain) or any(dot in domain for dot in _NEEDS_DOT):
            return None
        try:
            domain = ".".join(_a_label(label) for label in domain.lower().split("."))
        except (idna.IDNAError, UnicodeError, ValueError, IndexError):
            return None
    if len(domain) > 253 or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        return None
    return domain


def _a_label(label: str) -> str:
    return label if label.isascii() else idna.encode(label).decode("ascii")


def without_plus_tag(address: str) -> str:
    """`ana+crm@x.example` -> `ana@x.example`; an address without a tag comes back as it is."""
    if "+" not in address:
        return address
    local, _, domain = address.rpartition("@")
    base = local.partition("+")[0]
    return f"{base}@{domain}" if base and not local.startswith('"') else address


def _listed(name: str) -> frozenset[str]:
    """The words of a text file beside this one; `#` begins a remark."""
    lines = Path(__file__).with_name(name).read_text("utf-8").splitlines()
    return frozenset(word for line in lines for word in line.partition("#")[0].split())


_ROLES = _listed("roles.txt")
_ROLE_START = re.compile(
    r"(?:no[-_.]?reply|do[-_.]?not[-_.]?reply|donot[-_.]?reply|mailer-daemon|bounces?[-+=_.]|notifications?[-+=_.]|postmaster[-+_.]|newsletter[-+_.])"
)
_ROLE_END = re.compile(r".*[-+_.](?:no-?reply|donotreply|noreply|bounces?|owner|request|unsubscribe|subscribe)")


def is_role(address: str) -> bool:
    """True for role and no-reply addresses: `info@`, `no-reply@`, `bounces+123@`, `list-request@`."""
    local = address.rpartition("@")[0].lower()[:64]
    if local in _ROLES or local.partition("+")[0] in _ROLES:
        return True
    return bool(_ROLE_START.match(local) or _ROLE_END.fullmatch(local))


FREE_MAIL: frozenset[str] = _listed("freemail.txt")


def is_free_mail(domain: str) -> bool:
    """True when anybody may open a mailbox under this domain, so that it never stands for an organisation."""
    return domain.lower().rstrip(".") in FREE_MAIL


# --- address lists -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Entry:
    """One mailbox as it is being read; texts are latin-1 views of the bytes."""

    words: list[str] = field(default_factory=list)  # outside brackets, with their white space
    angle: str | None = None
    after: list[str] = field(default_factory=list)  # what stands behind the bracket
    comments: list[str] = field(default_factory=list)

    def empty(self) -> bool:
        return self.angle is None and not "".join(self.words).strip(FWS)


@dataclass(slots=True)
class AddressList:
    """What a From, To or Cc value holds, and what was odd in it."""

    mailboxes: list[Mailbox] = field(default_factory=list)
    entries: int = 0  # list elements that hold something, readable or not
    groups: int = 0
    odd: set[str] = field(default_factory=set)  # comment-depth, two-angles, trailing-address, unclosed, unreadable, loose
    cut: bool = False


class _Reader:
    """A single pass over the value; every branch moves forward."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.result = AddressList()
        self.entry = _Entry()
        self.in_group = False
        self.no_more_quotes = False

    def read(self) -> AddressList:
        size = len(self.text)
        while self.pos < size:
            if len(self.result.mailboxes) >= MAX_MAILBOXES:
                self.result.cut = True
                return self.result
            match = _TOKEN.match(self.text, self.pos)
            if match is None:  # unreachable: the last alternative takes any character
                break
            piece = match[0]
            if piece == "(":
                if not self._comment():
                    return self.result
                continue
            if piece == '"' and not self.no_more_quotes:
                self._add(self._quoted())
                continue
            self.pos = match.end()
            if piece == "<":
                self._angle()
            elif piece == ",":
                self._flush()
            elif piece == ";":
                self._flush()
                self.in_group = False
            elif piece == ":" and self._starts_group():
                self.in_group = True
                self.result.groups += 1
                self.entry = _Entry()
            elif piece == "\\" and self.pos < size:
                self._add(self.text[self.pos])
                self.pos += 1
            else:
                self._add(piece)
        self._flush()
        return self.result

    def _add(self, text: str) -> None:
        (self.entry.words if self.entry.angle is None else self.entry.after).append(text)

    def _starts_group(self) -> bool:
        return self.entry.angle is None and not self.in_group and "@" not in self.entry.words and "[" not in self.entry.words

    def _quoted(self) -> str:
        """A quoted string with its quotes. Without a closing quote the mark is an ordinary character."""
        begin = self.pos
        pos, size = begin + 1, len(self.text)
        while pos < size:
            char = self.text[pos]
            if char == '"':
                self.pos = pos + 1
                return self.text[begin : self.pos]
            if char == "\\":
                pos += 2
                continue
            match = _QUOTED_BODY.match(self.text, pos)
            pos = pos + 1 if match is None else match.end()
        self.no_more_quotes = True
        self.result.odd.add("unclosed")
        self.pos = begin + 1
        return ""

    def _comment(self) -> bool:
        """Step over a comment and keep its text; False ends the reading (nested too deep)."""
        begin = self.pos
        pos, size, depth = begin, len(self.text), 0
        while pos < size:
            char = self.text[pos]
            if char == "(":
                depth += 1
                if depth > MAX_COMMENT_DEPTH:
                    self.result.odd.add("comment-depth")
                    self._flush()
                    return False
                pos += 1
            elif char == ")":
                depth -= 1
                pos += 1
                if depth == 0:
                    if len(self.entry.comments) < MAX_COMMENTS:
                        self.entry.comments.append(self.text[begin + 1 : pos - 1])
                    self.pos = pos
                    return True
            elif char == "\\":
                pos += 2
            else:
                match = _COMMENT_BODY.match(self.text, pos)
                pos = pos + 1 if match is None else match.end()
        self.result.odd.add("unclosed")
        self.entry.comments.append(self.text[begin + 1 :])
        self.pos = size
        return True

    def _angle(self) -> None:
        """The inside of `<…>`, without comments, white space outside quotes, and source route (RFC 5322 4.4)."""
        inside: list[str] = []
        size = len(self.text)
        while self.pos < size:
            char = self.text[self.pos]
            if char == ">":
                self.pos += 1
                break
            if char == "(":
                spare = self.entry.comments
                self.entry.comments = []
                alive = self._comment()
                self.entry.comments = spare
                if not alive:
                    self.pos = size
                    return
                continue
            if char == '"' and not self.no_more_quotes:
                inside.append(self._quoted())
                continue
            if char == "<":
                self.result.odd.add("two-angles")
                inside = []
                self.pos += 1
                continue
            match = _TOKEN.match(self.text, self.pos)
            piece = match[0] if match else char
            self.pos += len(piece)
            inside.append(piece)
        else:
            self.result.odd.add("unclosed")
        joined = _spec(inside)
        if joined is None:  # blanks inside the address: closing the gap would make somebody else's address
            joined = ""
        if joined.startswith("@") and ":" in joined:
            joined = joined.rpartition(":")[2]
        if joined[:7].lower() == "mailto:":
            joined = joined[7:]
        if self.entry.angle is not None and self.entry.angle != joined:
            self.result.odd.add("two-angles")
        self.entry.angle = joined

    def _flush(self) -> None:
        entry, self.entry = self.entry, _Entry()
        if entry.empty():
            return
        self.result.entries += 1
        room = MAX_MAILBOXES - len(self.result.mailboxes)
        self.result.mailboxes.extend(self._mailboxes(entry)[:room])

    def _mailboxes(self, entry: _Entry) -> list[Mailbox]:
        odd = self.result.odd
        if entry.angle is not None:
            if "@" in entry.after:
                odd.add("trailing-address")
            address = normalise(_utf8(entry.angle))
            if address is None:
                odd.add("unreadable")
                return []
            return [Mailbox(_name(entry.words, entry.comments), address)]
        bare = _spec(entry.words)
        address = normalise(_utf8(bare)) if bare is not None else None
        if address is not None:
            return [Mailbox(_name([], entry.comments), address)]
        return self._loose(entry)

    def _loose(self, entry: _Entry) -> list[Mailbox]:
        """`Ana Smith ana@x.example`, `a@x.example b@x.example`: brackets or commas were forgotten. For To and Cc, never for the sender."""
        text = "".join(word for word in entry.words if not word.startswith('"'))
        text = text.replace(_NO_BREAK, " ")  # comes along with what is copied from a page, and is no part of an address
        found = _WRITTEN_IN.findall(text[:20_000])
        read = [address for address in (normalise(_utf8(one)) for one in found) if address is not None]
        if not read or len(read) < len(found):
            self.result.odd.add("unreadable")
            return []
        self.result.odd.add("loose")
        if len(read) == 1:
            return [Mailbox(_name([text.replace(found[0], " ")], entry.comments), read[0])]
        return [Mailbox(None, address) for address in read[:MAX_MAILBOXES]]


def _spec(words: list[str]) -> str | None:
    """The words as an addr-spec: white space only around dots and the `@`; None when other blanks stand between words."""
    tokens: list[str] = []
    for word in words:  # a comment between two blanks leaves two tokens
        if word and not (_blank(word) and tokens and _blank(tokens[-1])):
            tokens.append(word)
    while tokens and _blank(tokens[0]):
        tokens.pop(0)
    while tokens and _blank(tokens[-1]):
        tokens.pop()
    out: list[str] = []
    for index, piece in enumerate(tokens):
        if _blank(piece):
            before, after = tokens[index - 1], tokens[index + 1] if index + 1 < len(tokens) else ""
            if not (before.endswith((".", "@")) or after.startswith((".", "@"))):
                return None
            continue
        out.append(piece)
    return "".join(out)


def _blank(word: str) -> bool:
    return not word.strip(FWS)


def _utf8(text: str) -> str:
    """The latin-1 view back to what was meant: UTF-8 (RFC 6532), else unreadable on purpose."""
    if text.isascii():
        return text
    return text.encode("latin-1").decode("utf-8", "replace")


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _name(words: list[str], comments: list[str]) -> str | None:
    """The display name; words in quotes lose them; a comment serves when there is no name."""
    parts = [_ESCAPED.sub(r"\1", word[1:-1]) if len(word) > 1 and word[0] == word[-1] == '"' else word for word in words]
    text = "".join(parts).strip(FWS)
    if not text and comments:
        text = " ".join(_ESCAPED.sub(r"\1", one) for one in comments).strip(FWS)
    if not text:
        return None
    name = decode_header(text[:2000].encode("latin-1"))
    return (name[:300].strip() or None) if name else None


def read_list(value: bytes) -> AddressList:
    """Read an address list and tell what was odd in it. `value` is unfolded; what is beyond 256 kB is not read."""
    text = value[:MAX_BLOCK].decode("latin-1")
    found = _Reader(text).read()
    if len(value) > MAX_BLOCK:
        found.cut = True
    return found


def read_mailboxes(value: bytes) -> tuple[Mailbox, ...]:
    """The readable mailboxes of an address list, at most 500, groups opened. Never raises; linear."""
    return tuple(read_list(value).mailboxes)
