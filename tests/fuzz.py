"""Coverage-guided fuzzing of what reads mail, outside of the tests:  make fuzz  or  python -m tests.fuzz TARGET [SECONDS] [FOLDER]

TARGET is identity, headers, mail or stream; the oracles are those of tests/mail/oracles.py. It needs atheris
(requirements-fuzz.txt). What it finds is written into FOLDER as crash-…; cut it small, give it a name that says what was
wrong, and keep it in tests/mail/found with its answer: from then on a test reads it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["core.mail", "core.types"]):
    from tests.mail.oracles import CHECKS

SEEDS = {
    "identity": [b'From: "Ana, B." (c) <ana@sales.example>\r\nTo: x\r\n\r\nhi', b"From: a@b.example\rFrom: c@d.example\n\n", b"From: =?utf-8?q?Ana?= <ana@xn--bcher-kva.example>\n x\n\n"],
    "headers": [b"=?utf-8?B?QW5h?= =?utf-8?Q?=20B?= x", b"Fri, 20 Nov 2026 10:00:00 +0000 (UTC)", b"a/b; filename*0*=utf-8''a%20; filename*1=\"b\\\"c\"; boundary=x", b"<a@b> <c@d>"],
    "mail": [
        b'From: a@b.example\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-7\r\n\r\n<p>x</p>\r\n--b\r\n'
        b'Content-Disposition: attachment; filename="x.txt"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--b--\r\n',
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbegin 644 f\n#0V%T\n`\nend\n",
        b"Subject: Fwd: x\r\n\r\n---------- Forwarded message ---------\r\nFrom: Bo <bo@c.example>\r\nDate: Mon, Mar 2, 2026 at 9:00 AM\r\nSubject: x\r\nTo: a\r\n\r\nhi",
    ],
    "stream": [b"Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n", b".\r\n", b"a\r.\n\r\n.\r.\r\n"],
}  # fmt: skip


def main(arguments: list[str]) -> None:
    name, seconds, folder = (*arguments, *("mail", "60", "fuzz-corpus")[len(arguments) :])
    place = Path(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (place / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-timeout=10", "-max_len=4096", "-rss_limit_mb=2048", f"-artifact_prefix={place}/crash-"]
    atheris.Setup([sys.argv[0], str(place), *options], CHECKS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
