"""Hostile mails made afresh: the largest and dearest of each kind, and small ones with a seed.

    raw = WORST["nothing but line ends"]()          # 20 MB, signed by nobody
    for one in made(seed=7): ...                    # Made(name, raw, sender, outcomes): what must become of it
"""

from __future__ import annotations

import base64
from collections.abc import Callable

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
    "html styles": lambda: _html("color:red;", "<p style='", "'>"),
    "html scripts": lambda: _html("<script>x</script>"),
    "html blockquotes": lambda: _html("<blockquote>On 1 Bo wrote:<br>"),
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
