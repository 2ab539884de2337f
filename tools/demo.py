"""A believable company to look at: reps, contacts, deals, and forty mails sent through the real SMTP port.

    python -m tools.demo [--once]     make it, start Dropcopy, send the mail; --once stops when all of it is filed

The senders' domains live in a small DNS server on loopback, so that signatures and SPF are really checked.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from tests.dnsserver import DnsServer
from tests.mailmaker import Signer

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "demo demo demo"
COMPANY = "nordlys.example"
BCC, FORWARD = "nordlys@drop.nordlys.example", "nordlys-fwd@drop.nordlys.example"

ANA = Address("Ana Lindqvist", "ana", COMPANY)
BEN = Address("Ben Okafor", "ben", COMPANY)
CHIARA = Address("Chiara Rossi", "chiara", COMPANY)
REPS = {"ana": ANA, "ben": BEN, "chiara": CHIARA}

# organisation, domain, people
CUSTOMERS: list[tuple[str, str, list[str]]] = [
    ("Hotel Bergsund", "bergsund.example", ["Maja Nilsen", "Oskar Dahl"]),
    ("Café Lumière", "lumiere.example", ["Élodie Garnier"]),
    ("Studio Kanda", "kanda.example", ["佐藤 美咲", "Kenji Mori"]),
    ("Brightwater Clinic", "brightwater.example", ["Priya Raman", "Tom Ellis"]),
    ("Atelier Duarte", "duarte.example", ["Inês Duarte"]),
    ("Fjord & Sons", "fjordsons.example", ["Lars Fjord", "Signe Fjord"]),
    ("Meridian Coworking", "meridian.example", ["Grace Adeyemi"]),
    ("Villa Serena", "villaserena.example", ["Paolo Conti"]),
]
# external id, title, owner's customer index, person index, status, days ago it was created
DEALS: list[tuple[str, str, int, int, str, int]] = [
    ("d1", "Lobby seating for Hotel Bergsund", 0, 0, "open", 40),
    ("d2", "Terrace chairs, Café Lumière", 1, 0, "open", 25),
    ("d3", "Meeting room tables, Studio Kanda", 2, 0, "open", 60),
    ("d4", "Waiting room refresh", 3, 0, "open", 30),
    ("d5", "Reception desk", 3, 0, "open", 20),
    ("d6", "Showroom display", 4, 0, "won", 200),
    ("d7", "Cabin furniture 2026", 5, 0, "open", 90),
    ("d8", "Phone booths, second floor", 6, 0, "open", 15),
    ("d9", "Garden benches", 7, 0, "lost", 120),
    ("d10", "Breakfast room chairs", 0, 1, "open", 12),
]
LEADS = [("l1", "Villa Serena pool area", 7, 0, "open", 9), ("l2", "Kanda second studio", 2, 1, "open", 5)]
PROJECTS = [("p1", "Installation at Fjord & Sons", 5, 1, "open", 33)]


def person(customer: int, index: int) -> Address:
    """The address of a customer's person: first name at the domain, or a number where the name is not Latin."""
    name = CUSTOMERS[customer][2][index]
    first = "".join(ch for ch in name.split()[0].lower().replace("é", "e").replace("ê", "e") if ch.isascii() and ch.isalpha()) or f"person{index + 1}"
    return Address(name, first, CUSTOMERS[customer][1])


def people(now: dt.datetime) -> dict[str, Any]:
    """The file that `load` enters."""

    def record(row: tuple[str, str, int, int, str, int]) -> dict[str, Any]:
        ident, title, customer, index, status, age = row
        created = now - dt.timedelta(days=age)
        closed = None if status == "open" else (now - dt.timedelta(days=age // 2)).isoformat()
        return {
            "external_id": ident, "title": title, "contacts": [f"c{customer}-{index}"], "organisation": f"o{customer}", "status": status,
            "created_at": created.isoformat(), "closed_at": closed,
        }  # fmt: skip

    return {
        "reps": [
            {"external_id": "ana", "email": ANA.addr_spec, "name": ANA.display_name, "password": PASSWORD, "role": "admin", "default_sharing": "company"},
            {"external_id": "ben", "email": BEN.addr_spec, "name": BEN.display_name, "password": PASSWORD, "default_sharing": "company",
             "addresses": [{"address": "ben.okafor@mailhome.example", "kind": "alternative", "verified": True}]},
            {"external_id": "chiara", "email": CHIARA.addr_spec, "name": CHIARA.display_name, "password": PASSWORD, "default_sharing": "private"},
        ],
        "team_addresses": [{"address": f"sales@{COMPANY}", "connected_by": "ana"}],
        "organisations": [{"external_id": f"o{i}", "name": name, "domains": [domain]} for i, (name, domain, _) in enumerate(CUSTOMERS)],
        "contacts": [
            {"external_id": f"c{i}-{n}", "name": name, "addresses": [person(i, n).addr_spec], "organisation": f"o{i}"}
            for i, (_, _, names) in enumerate(CUSTOMERS)
            for n, name in enumerate(names)
        ],
        "deals": [record(row) for row in DEALS],
        "leads": [record(row) for row in LEADS],
        "projects": [record(row) for row in PROJECTS],
        "never_log": ["newsletters.example"],
    }  # fmt: skip


@dataclass
class Posted:
    """A mail with the envelope it goes out with."""

    sender: str
    to: str
    raw: bytes


class Post:
    """Writes the forty mails, oldest first, signed by whom they come from."""

    def __init__(self, now: dt.datetime, signers: Mapping[str, Signer]) -> None:
        self._clock = now - dt.timedelta(days=6)
        self._signers = signers
        self._count = 0

    def _stamp(self, message: EmailMessage, sender: Address) -> str:
        self._count += 1
        self._clock += dt.timedelta(hours=3, minutes=17)
        message["Date"] = self._clock
        ident = f"demo-{self._count}@{sender.domain}"
        message["Message-ID"] = f"<{ident}>"
        return ident

    def write(
        self, sender: Address, to: list[Address], subject: str, text: str, *, html: str = "", answers: str = "", drop: str = BCC, sign: bool = True,
        envelope: str = "", attach: tuple[str, str, bytes] | None = None,
    ) -> tuple[Posted, str]:  # fmt: skip
        """A mail and its id."""
        message = EmailMessage(policy=SMTP)
        message["From"] = sender
        message["To"] = to
        message["Subject"] = subject
        ident = self._stamp(message, sender)
        if answers:
            message["In-Reply-To"] = message["References"] = f"<{answers}>"
        message.set_content(text)
        if html:
            message.add_alternative(html, subtype="html")
        if attach:
            name, kind, content = attach
            message.add_attachment(content, maintype=kind.split("/")[0], subtype=kind.split("/")[1], filename=name)
        raw = message.as_bytes()
        signer = self._signers.get(sender.domain) if sign else None
        return Posted(envelope or sender.addr_spec, drop, signer.sign(raw) if signer else raw), ident

    def forward(self, rep: Address, author: Address, subject: str, text: str, note: str = "", *, answers: str = "") -> Posted:
        """What a rep's client makes of a customer's reply, sent to the forwarding address."""
        when = (self._clock + dt.timedelta(hours=1)).strftime("%a, %b %d, %Y at %I:%M %p")
        block = (
            f"{note}\n\n---------- Forwarded message ---------\nFrom: {author.display_name} <{author.addr_spec}>\n"
            f"Date: {when}\nSubject: {subject}\nTo: {rep.display_name} <{rep.addr_spec}>\n\n\n{text}\n"
        )
        posted, _ = self.write(rep, [Address("", *FORWARD.split("@"))], f"Fwd: {subject}", block.lstrip("\n"), drop=FORWARD, answers=answers)
        return posted


def mails(now: dt.datetime, signers: Mapping[str, Signer]) -> Iterator[Posted]:
    """Forty mails: conversations, forwards, one that needs a choice, some that are held or not accepted."""
    post = Post(now, signers)
    talks: list[tuple[Address, int, int, str, str, str]] = [
        (ANA, 0, 0, "Lobby seating: samples on their way", "Dear Maja,\n\nthe oak and the ash samples leave us today and should be with you on Thursday.\n\nBest regards,\nAna", "They arrived, thank you! We prefer the ash. Could you quote for 24 armchairs?"),
        (BEN, 1, 0, "Terrace chairs for the summer", "Bonjour Élodie,\n\nas promised, the stackable model in three colours. Delivery takes four weeks.\n\nBen", "The green one is lovely. What about a discount from 40 pieces on?"),
        (CHIARA, 2, 0, "会議室のテーブルについて", "佐藤様\n\nいつもお世話になっております。会議室用テーブルのお見積りをお送りします。\n\nChiara", "ありがとうございます。納期はいつ頃になりますか？"),
        (ANA, 5, 0, "Cabin furniture: drawings", "Hi Lars,\n\nplease find the drawings for the bunk beds attached.\n\nAna", "Looks good. Can the ladder be on the left side?"),
        (BEN, 6, 0, "Phone booths on the second floor", "Dear Grace,\n\nthe booths need a clear height of 2.3 m. Could you measure once more?\n\nKind regards,\nBen", "It is 2.35 m everywhere but at the staircase."),
        (CHIARA, 7, 0, "Pool area at Villa Serena", "Gentile Paolo,\n\nle mando il catalogo per esterni come concordato.\n\nChiara", "Grazie mille, ci piace molto la linea in teak."),
    ]  # fmt: skip
    for rep, customer, index, subject, text, answer in talks:
        client = person(customer, index)
        attach = (f"{subject[:20].strip()}.pdf", "application/pdf", b"%PDF-1.4\n% a drawing\n" + b"0" * 40_000) if customer in (5, 7) else None
        html = f"<p>{text.replace(chr(10), '<br>')}</p><p style='color:#556'>Nordlys Furniture · Bergen</p>"
        first, ident = post.write(rep, [client], subject, text, html=html, attach=attach)
        yield first
        yield post.forward(rep, client, f"Re: {subject}", answer, answers=ident)
        second, _ = post.write(rep, [client], f"Re: {subject}", "Thank you for the quick answer. I will come back to you tomorrow with the details.\n", answers=ident)
        yield second
    # Two open deals of one contact: nobody is guessed.
    for subject in ("Colours for the clinic", "Delivery date", "Invoice address"):
        yield post.write(ANA, [person(3, 0)], subject, "Dear Priya,\n\na short question about your order: which of the two shall we begin with?\n\nAna")[0]
    yield post.forward(BEN, person(3, 0), "Which one first?", "Please start with whichever is ready earlier.", "Priya is undecided, I think.")
    # New people become contacts.
    for name, domain in (("Nora Weiss", "weissarchitekten.example"), ("Jamal Haddad", "oasis-hotels.example"), ("Wanjiru Kamau", "savannah-lodges.example")):
        yield post.write(BEN, [Address(name, name.split()[0].lower(), domain)], f"Nice to meet you, {name.split()[0]}", "It was good to talk at the fair. Here is our catalogue.\n\nBen")[0]
    yield post.write(ANA, [person(0, 0), person(0, 1)], "Rooms 201 to 240", "Dear Maja, dear Oskar,\n\nhere is the plan for both floors.\n\nAna")[0]
    yield post.write(CHIARA, [person(4, 0)], "Thank you for the showroom pictures", "Cara Inês,\n\nthey look wonderful. May we use them?\n\nChiara")[0]
    yield post.write(Address("Ben Okafor", "ben.okafor", "mailhome.example"), [person(6, 0)], "From my phone: site visit on Friday", "I am there at nine.\n\nBen")[0]
    # A forward whose block nobody can read.
    yield post.write(BEN, [Address("", *FORWARD.split("@"))], "Fwd: about the benches", "See below, what do you think?\n\n(the rest was lost on the way)\n", drop=FORWARD)[0]
    # Strangers, forgeries, silence of the DNS.
    for n, name in enumerate(("Sven Holt", "Ines Maurer")):
        yield post.write(Address(name, name.split()[0].lower(), "stranger.example"), [Address("", *BCC.split("@"))], f"Our offer {n + 1}", "We sell office plants. Interested?")[0]
    yield post.write(ANA, [person(1, 0)], "Please pay this invoice at once", "Kindly transfer the amount today.", sign=False, envelope="bounce@forger.example")[0]
    yield post.write(ANA, [person(5, 1)], "Urgent: new bank account", "Our bank account has changed.", sign=False)[0]
    yield post.write(Address("Kai", "kai", "unpublished.example"), [person(2, 1)], "Hello from my new mail server", "It is still bare.", sign=False)[0]
    yield post.write(CHIARA, [Address("News", "news", "newsletters.example")], "Subscribe", "Please send me your newsletter.")[0]
    yield post.write(ANA, [person(0, 1)], "Breakfast room: 60 chairs", "Dear Oskar,\n\nthe chairs for the breakfast room are in stock.\n\nAna")[0]
    yield post.write(BEN, [person(5, 1)], "Installation dates", "Hi Signe,\n\nthe team can come in week 49.\n\nBen")[0]
    yield post.write(CHIARA, [person(2, 1)], "Second studio", "Dear Kenji,\n\nshall we start with the floor plan?\n\nChiara")[0]
    yield post.write(BEN, [person(3, 1)], "Fabric swatches", "Hi Tom,\n\nthe swatches are in the post.\n\nBen")[0]
    yield post.write(ANA, [person(7, 0), person(6, 0)], "Introduction", "Dear Paolo, dear Grace,\n\nyou two should know each other.\n\nAna")[0]


def zone(signers: Mapping[str, Signer]) -> dict[str, Any]:
    """What the DNS says about the senders."""
    records: dict[str, Any] = {}
    for signer in signers.values():
        records |= signer.dns
    records[COMPANY] = {"TXT": ["v=spf1 ip4:192.0.2.10 -all"]}
    records["stranger.example"] = {"TXT": ["v=spf1 ip4:127.0.0.0/8 -all"]}
    records["forger.example"] = {"TXT": ["v=spf1 ip4:127.0.0.0/8 -all"]}
    records["mailhome.example"] = {"TXT": ["v=spf1 ip4:127.0.0.0/8 -all"]}
    return records


def _app(*arguments: str, env: Mapping[str, str]) -> str:
    done = subprocess.run([sys.executable, str(ROOT / "app.py"), *arguments], env=dict(env), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip())
    return done.stdout


def _wait_for_smtp(address: str) -> None:
    host, _, port = address.rpartition(":")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with socket.create_connection((host, int(port)), timeout=2) as channel:
                if channel.recv(3) == b"220":
                    return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"Dropcopy did not open {address} within a minute.")


def prepare(env: Mapping[str, str], folder: Path, now: dt.datetime) -> bool:
    """Set the company up and load its people, once; True when it was made now."""
    if (folder / "people.json").exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "password.txt"
    secret.write_text(PASSWORD)
    _app("setup", "--company", "Nordlys Furniture", "--slug", "nordlys", "--mail-domain", "drop.nordlys.example", "--admin-email",
         f"admin@{COMPANY}", "--admin-password-file", str(secret), env=env)  # fmt: skip
    (folder / "people.json").write_text(json.dumps(people(now)))
    _app("load", str(folder / "people.json"), env=env)
    return True


def send_all(smtp: str, posts: list[Posted]) -> None:
    host, _, port = smtp.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=60) as client:
        for post in posts:
            client.sendmail(post.sender, [post.to], post.raw)


def main() -> None:
    """Make the demo and run it until Ctrl-C."""
    folder = Path(os.environ.get("DROPCOPY_DATA_DIR", "data/demo"))
    now = dt.datetime.now(dt.UTC)
    signers = {COMPANY: Signer(COMPANY), "mailhome.example": Signer("mailhome.example"), "stranger.example": Signer("stranger.example")}
    with DnsServer(zone(signers)) as dns:
        env = {**os.environ, "DROPCOPY_DATA_DIR": str(folder), "DROPCOPY_DNS": dns.address, "DROPCOPY_LOG": os.environ.get("DROPCOPY_LOG", "WARNING")}
        smtp = env.get("DROPCOPY_SMTP", "127.0.0.1:8025")
        fresh = prepare(env, folder, now)
        child = subprocess.Popen([sys.executable, str(ROOT / "app.py"), "run"], env=env)
        signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
        try:
            if fresh:
                _wait_for_smtp(smtp)
                posts = list(mails(now, signers))
                send_all(smtp, posts)
                print(f"Sent {len(posts)} mails through {smtp}. Sign in as {ANA.addr_spec}, {BEN.addr_spec} or {CHIARA.addr_spec} with the password: {PASSWORD}", flush=True)
            if "--once" in sys.argv:
                while json.loads(_app("status", "--json", env=env))["oldest_waiting_s"]:
                    time.sleep(0.2)
                child.send_signal(signal.SIGTERM)
            sys.exit(child.wait())
        except KeyboardInterrupt:
            child.send_signal(signal.SIGTERM)
            child.wait()


if __name__ == "__main__":
    main()
