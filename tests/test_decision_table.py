"""The whole decision table through `explain --cases`: every kind of case, with domains, selectors and keys that no other run has.

The kinds are those of docs/authentication.md, way in by way in. Each case stands in one line of a file and is answered by one line.
"""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest

from core.explain import cases
from tests.judge_house import explaining
from tests.mailmaker import Signer, dmarc, make_mail, spf

pytestmark = pytest.mark.timeout(300)

CLIENT, STRANGER, RELAY = "192.0.2.10", "203.0.113.9", "10.1.2.3"
AT = 1_795_323_306  # 2026-11-22T04:55:06Z
BORDER = f"from mail.client.example (mail.client.example [{{}}]) by mx.drop.example with ESMTP id {secrets.token_hex(4)}; Sun, 22 Nov 2026 04:55:00 +0000"


def fresh(ending: str = "example") -> str:
    return f"c{secrets.token_hex(4)}.{ending}"


class Table:
    """Makes the cases: `home` is the sender's domain, `other` a stranger's, `service` one that sends for many."""

    def __init__(self) -> None:
        self.home, self.other, self.service = fresh(), fresh("test"), fresh()
        selector = f"s{secrets.token_hex(3)}"
        self.own = Signer(self.home, selector)
        self.second = Signer(self.home, selector + "e", "ed25519")
        self.foreign = Signer(self.other, selector, "ed25519")
        self.sender = f"Ana <ana@{self.home}>"
        self.allowed = spf(self.home, f"ip4:{CLIENT}/24 -all")
        self.rows: dict[str, tuple[dict[str, Any], str]] = {}

    def mail(self, sender: str | None = None, **more: Any) -> bytes:
        return make_mail(sender or self.sender, **more)

    def add(self, name: str, wanted: str, raw: bytes, dns: dict[str, Any], trust: dict[str, Any] | None = None, **arrival: Any) -> None:
        """`wanted`: the decision; a second word, when there is one, is a reason that must stand in the evidence."""
        given = {"source": "smtp", "client_ip": CLIENT, "helo": f"mail.{self.home}", "mail_from": f"ana@{self.home}", "rcpt_to": ["drop@crm.example"], "received_at": "2026-11-22T04:55:06Z", **arrival}
        given = {key: value for key, value in given.items() if value is not None}
        self.rows[name] = {"id": name, "raw_base64": base64.b64encode(raw).decode(), "arrival": given, "dns": dns, "trust": trust or {}, "now": AT}, wanted

    # --- straight from the sender's server ---

    def direct(self) -> None:
        mail, own, home, other = self.mail(), self.own, self.home, self.other
        signed = own.sign(mail)
        away = {"client_ip": STRANGER}
        self.add("signature and SPF", "pass aligned-dkim", signed, own.dns | self.allowed)
        self.add("signature only, SPF fails", "pass aligned-dkim", signed, own.dns | self.allowed, **away)
        self.add("signature only, no SPF record", "pass aligned-dkim", signed, own.dns)
        self.add("SPF only", "pass aligned-spf", mail, self.allowed)
        self.add("SPF, and a signature that is broken", "pass aligned-spf", own.sign(mail, break_signature=True), own.dns | self.allowed)
        self.add("SPF, and a signature whose key is in trouble", "pass aligned-spf", signed, self.allowed | {own.name: "SERVFAIL"})
        self.add("nothing published", "hold auth-nothing-published", mail, {})
        self.add("SPF fails", "reject spf-fail", mail, self.allowed, **away)
        self.add("SPF softfails", "reject spf-softfail", mail, spf(home, "ip4:192.0.2.0/24 ~all"), **away)
        self.add("SPF softfails and the admin wants to see it", "hold auth-softfail", mail, spf(home, "ip4:192.0.2.0/24 ~all"), {"softfail_holds": True}, **away)
        self.add("SPF neutral", "hold", mail, spf(home, "?all"), **away)
        self.add("SPF cannot be evaluated", "reject spf-record-wrong", mail, spf(home, "ip4:nonsense -all"))
        self.add("two SPF records", "reject spf-record-wrong", mail, {home: {"TXT": ["v=spf1 +all", "v=spf1 -all"]}})
        self.add("a broken signature and nothing else", "reject dkim-header-changed", own.sign(mail, break_signature=True), own.dns)
        self.add("a changed text", "reject dkim-body-changed", signed + b"more\r\n", own.dns)
        self.add("a changed subject", "reject dkim-header-changed", signed.replace(b"Ten chairs", b"Two chairs"), own.dns)
        self.add("no key", "reject dkim-key-missing", signed, {})
        self.add("a key that was withdrawn", "reject dkim-key-revoked", signed, {own.name: {"TXT": ["v=DKIM1; p="]}})
        self.add("two keys at one selector", "reject", signed, {own.name: {"TXT": [own.record, self.second.record]}})
        weak = Signer(home, "weak", bits=1024)
        self.add("SHA-1", "reject dkim-sha1", weak.sign(mail, hash_name="sha1"), weak.dns)
        self.add("expired", "reject dkim-expired", own.sign(mail, tags={"t": str(AT - 9000), "x": str(AT - 3600)}), own.dns)
        self.add("expired a minute ago", "pass aligned-dkim", own.sign(mail, tags={"t": str(AT - 9000), "x": str(AT - 60)}), own.dns)
        self.add("from the future", "reject dkim-in-future", own.sign(mail, tags={"t": str(AT + 7200)}), own.dns)
        self.add("From is not signed", "reject", own.sign(mail, headers=("To", "Subject", "Date")), own.dns)
        self.add("a part of the text is signed", "hold dkim-partly-signed", own.sign(mail, length=5), own.dns)
        self.add("a part of the text is signed, and SPF", "pass aligned-spf", own.sign(mail, length=5), own.dns | self.allowed)
        strict = Signer(home, "strict", record_tags="t=s")
        self.add("a strict key and an identity below", "reject", strict.sign(mail, tags={"i": f"@sub.{home}"}), strict.dns)
        self.add("key trouble and nothing else", "retry auth-dns-trouble", signed, {own.name: "TIMEOUT"})
        self.add("key trouble and SPF fails", "retry auth-dns-trouble", signed, self.allowed | {own.name: "SERVFAIL"}, **away)
        self.add("SPF trouble", "retry auth-dns-trouble", mail, {home: "SERVFAIL"})
        self.add("trouble of a stranger's key", "hold", self.foreign.sign(mail), {self.foreign.name: "SERVFAIL"})
        self.add("trouble of a stranger's SPF", "hold", mail, {other: "TIMEOUT"}, mail_from=f"x@{other}")
        self.add("two algorithms, one key is gone", "pass aligned-dkim", self.second.sign(own.sign(mail)), self.second.dns)
        self.add("the sender's signature below a service's", "pass aligned-dkim", self.foreign.sign(signed), own.dns | self.foreign.dns, **away)
        self.add("the sender's signature below eight others", "pass aligned-dkim", _many(signed, self.foreign, 8), own.dns | self.foreign.dns, **away)
        self.add("a stranger's signature and SPF", "reject", self.foreign.sign(mail), self.foreign.dns | spf(other, "+all") | self.allowed, mail_from=f"x@{other}", **away)
        self.add("a stranger as himself", "pass aligned-dkim", self.foreign.sign(self.mail(f'"ana@{home}" <x@{other}>')), self.foreign.dns, mail_from=f"x@{other}", **away)
        self.add("a domain that only ends alike", "reject", mail, spf("x" + home, "+all") | self.allowed, mail_from=f"x@x{home}", **away)
        self.add("a HELO name of the sender's with a stranger's MAIL FROM", "reject", mail, self.allowed | spf(f"mail.{home}", "+all") | spf(other, "+all"), mail_from=f"x@{other}", **away)
        self.add("the null sender, proved by HELO", "pass aligned-spf", mail, spf(f"mail.{home}", f"ip4:{CLIENT} -all"), mail_from="")
        self.add("the null sender, a stranger's HELO", "reject", mail, spf(other, "+all") | self.allowed, mail_from="", helo=other)

    def domains(self) -> None:
        home, away = self.home, {"client_ip": STRANGER}
        sub = Signer(f"mail.{home}", "sub", "ed25519")
        below = f"Ana <ana@eu.{home}>"
        self.add("signed by a domain below", "pass aligned-dkim", sub.sign(self.mail()), sub.dns, **away)
        self.add("signed by the domain above", "pass aligned-dkim", self.own.sign(self.mail(below)), self.own.dns, **away)
        self.add("signed by a sister", "pass aligned-dkim", sub.sign(self.mail(below)), sub.dns, **away)
        self.add("strict DKIM, signed by a domain below", "reject dkim-pass-unaligned", sub.sign(self.mail()), sub.dns | dmarc(home, "p=none; adkim=s"), **away)
        self.add("strict SPF, sent by a domain below", "reject spf-pass-unaligned", self.mail(), spf(f"mail.{home}", f"ip4:{CLIENT} -all") | dmarc(home, "p=none; aspf=s"), mail_from=f"b@mail.{home}")
        self.add("relaxed SPF, sent by a domain below", "pass aligned-spf", self.mail(), spf(f"mail.{home}", f"ip4:{CLIENT} -all"), mail_from=f"b@mail.{home}")
        self.add("strict as well for who is equal", "pass aligned-dkim", self.own.sign(self.mail()), self.own.dns | dmarc(home, "p=reject; adkim=s; aspf=s"), **away)
        for policy in ("reject", "quarantine"):
            self.add(f"p={policy} and no proof", "reject", self.mail(), dmarc(home, f"p={policy}"))
        self.add("p=none and no proof", "hold auth-nothing-published", self.mail(), dmarc(home, "p=none"))
        self.add("p=reject and an aligned proof", "pass aligned-spf", self.mail(), self.allowed | dmarc(home, "p=reject"))
        self.add("p=reject above, for domains below", "reject", self.mail(below), dmarc(home, "p=reject"))
        self.add("sp=none above, for domains below", "hold", self.mail(below), dmarc(home, "p=reject; sp=none"))
        self.add("p=reject and key trouble", "retry auth-dns-trouble", self.own.sign(self.mail()), dmarc(home, "p=reject") | {self.own.name: "SERVFAIL"})
        self.add("two DMARC records are none", "hold", self.mail(), {f"_dmarc.{home}": {"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=reject"]}})
        self.add("the policy's DNS is in trouble, an equal domain passes", "pass aligned-dkim", self.own.sign(self.mail()), self.own.dns | {f"_dmarc.{home}": "SERVFAIL"}, **away)
        self.add("the policy's DNS is in trouble, a domain below waits", "retry auth-dns-trouble", sub.sign(self.mail()), sub.dns | {f"_dmarc.{home}": "SERVFAIL"}, **away)
        for tenants in ("onmicrosoft.com", "gappssmtp.com", "co.uk", "github.io"):
            mine, theirs = f"{fresh(tenants)}", fresh(tenants)
            neighbour = Signer(theirs, "n", "ed25519")
            self.add(f"a neighbour under {tenants}", "reject", neighbour.sign(self.mail(f"ana@{mine}")), neighbour.dns, **away)
            whole = Signer(tenants, "n", "ed25519")
            self.add(f"{tenants} itself signs", "reject", whole.sign(self.mail(f"ana@{mine}")), whole.dns, **away)
        tenant = Signer(f"{home.replace('.', '-')}.20251104.gappssmtp.com", "g", "ed25519")
        pin = {"extra_signers": {home: [tenant.domain]}}
        self.add("a provider's signature without a pin", "reject dkim-pass-unaligned", tenant.sign(self.mail()), tenant.dns, **away)
        self.add("a provider's signature with a pin", "pass dkim-pass-pinned", tenant.sign(self.mail()), tenant.dns, pin, **away)
        self.add("a pin of another domain", "reject", tenant.sign(self.mail()), tenant.dns, {"extra_signers": {self.other: [tenant.domain]}}, **away)
        idn = f"bücher-{home}"
        ascii_name = idn.encode("idna").decode()
        wide = Signer(ascii_name, "i", "ed25519")
        self.add("a domain in letters, signed in its A-labels", "pass aligned-dkim", wide.sign(self.mail(f"Ana <ana@{idn}>")), wide.dns, **away)
        self.add("capitals and a final dot", "pass aligned-dkim", self.own.sign(self.mail(f"Ana <ana@{home.upper()}.>")), self.own.dns, **away)

    def structure(self) -> None:
        """These decide before any signature does."""
        own, mail, home = self.own, self.mail(), self.home
        dns = own.dns | self.allowed
        signed = own.sign(mail)
        self.add("two From fields", "hold|reject", f"From: x@{self.other}\r\n".encode() + signed, dns)
        self.add("two mailboxes", "hold", own.sign(self.mail(f"ana@{home}, ben@{home}")), dns)
        self.add("a group", "hold", own.sign(self.mail(f"team: ana@{home};")), dns)
        self.add("an empty From", "hold", own.sign(make_mail("")), dns)
        self.add("a bare return in the header", "hold bare-cr-in-header", own.sign(self.mail(headers=["X-Note: a\rFrom: x@y.example"])), dns)
        lf = own.sign(self.mail(headers=["X-Note: a"])).replace(b"X-Note: a\r\n", b"X-Note: a\nX-More: b\r\n")
        self.add("a bare line feed in the header", "hold bare-lf-in-header", lf, dns)
        self.add("a bare line feed in a mailbox", "pass aligned-dkim", lf, dns, source="imap", client_ip=None, helo=None, mail_from=None)
        self.add("line feeds alone, as a program stored it", "pass aligned-dkim", signed.replace(b"\r\n", b"\n"), dns)
        self.add("a second From field with a blank before its colon, first of all", "hold", f"From : x@{self.other}\r\n".encode() + signed, dns)
        self.add("NUL in the header", "hold nul-in-header", own.sign(self.mail(headers=["X-Note: a\0b"])), dns)
        for field in ("Subject", "To", "Date", "Message-ID", "Reply-To", "Content-Type"):
            twice = signed if field != "Reply-To" else own.sign(self.mail(headers=[f"Reply-To: a@{home}"]))
            self.add(f"{field} put on top of a signed mail", "hold duplicate-header", f"{field}: text/html\r\n".encode() + twice, dns)
        self.add("a look-alike of the sender", "hold|reject", own.sign(self.mail(f"ana@{home[:-1]}\u0435")), dns)
        self.add("an address for a name", "hold|pass", own.sign(self.mail(f"ceo@{self.other} <ana@{home}>")), dns)

    # --- behind a trusted mail server, from a mailbox, by webhook ---

    def relayed(self) -> None:
        home, mail = self.home, self.mail()
        trust = {"networks": ["10.0.0.0/8"], "authserv_ids": ["mx.drop.example"]}
        behind = {"client_ip": RELAY, "helo": "mx.drop.example"}
        chain = [f"Received: {BORDER.format(CLIENT)}"]
        from_stranger = [f"Received: {BORDER.format(STRANGER)}"]
        self.add("relay: SPF by the client that it saw", "pass aligned-spf", self.mail(headers=chain), self.allowed, trust, **behind)
        self.add("relay: the client is a stranger", "reject spf-fail", self.mail(headers=from_stranger), self.allowed, trust, **behind)
        self.add("relay: a signature", "pass aligned-dkim", _topped(chain, self.own.sign(mail)), self.own.dns, trust, **behind)
        self.add("relay: no chain and no signature", "hold auth-relay-unreadable", mail, spf(home, "ip4:10.0.0.0/8 -all"), trust, **behind)
        self.add("relay: a chain of the sender's own", "reject spf-fail", self.mail(headers=[*from_stranger, f"Received: {BORDER.format(CLIENT)}"]), self.allowed, trust, **behind)
        self.add("no relay is trusted: SPF of who handed it over", "reject spf-fail", self.mail(headers=chain), self.allowed, **behind)
        for name, findings in _FINDINGS.items():
            good, bad = findings.format(d=home, r="pass"), findings.format(d=self.other, r="pass")
            server, _, _ = findings.partition(";")
            named = {**trust, "authserv_ids": [server if "=" not in server else "mx.microsoft.com"]}
            field = f"Authentication-Results: {good}"
            self.add(f"relay: {name} says pass", "pass aligned-trusted", self.mail(headers=[field, *chain]), {}, named, **behind)
            self.add(f"relay: {name} says pass for another", "reject", self.mail(headers=[f"Authentication-Results: {bad}", *chain]), {}, named, **behind)
            self.add(f"relay: {name}'s words below the border", "hold", self.mail(headers=[*chain, field]), {}, named, **behind)
            self.add(f"relay: {name} is not trusted", "hold", self.mail(headers=[field, *chain]), {}, {"networks": trust["networks"], "authserv_ids": ["mx.other.example"]}, **behind)
            self.add(f"straight: a stranger brings words of {name}", "hold", self.mail(headers=[field]), {}, {"authserv_ids": named["authserv_ids"]}, client_ip=STRANGER)
        nearly = "Authentication-Results: mx.drop.example.evil.example; spf=pass smtp.mailfrom=" + home
        self.add("relay: a name that only begins alike", "hold", self.mail(headers=[nearly, *chain]), {}, trust, **behind)
        failed = f"Authentication-Results: mx.drop.example; dmarc=fail header.from={home}"
        self.add("relay: it says fail", "reject", self.mail(headers=[failed, *chain]), {}, trust, **behind)

    def mailbox(self) -> None:
        home, mail, own = self.home, self.mail(), self.own
        fetched = {"source": "imap", "client_ip": None, "helo": None, "mail_from": None}
        trust = {"authserv_ids": ["mx.drop.example"]}
        said = f"Authentication-Results: mx.drop.example; {{}}\r\nReceived: {BORDER.format(CLIENT)}\r\n"
        self.add("mailbox: a signature", "pass aligned-dkim", own.sign(mail), own.dns, **fetched)
        self.add("mailbox: trusted words", "pass aligned-trusted", said.format(f"spf=pass smtp.mailfrom={home}").encode() + mail, {}, trust, **fetched)
        self.add("mailbox: words of nobody we trust", "hold auth-mailbox-unproved", said.format(f"spf=pass smtp.mailfrom={home}").encode() + mail, {}, **fetched)
        self.add("mailbox: nothing", "hold auth-mailbox-unproved", mail, {}, **fetched)
        self.add("mailbox: a key that is gone", "hold", own.sign(mail), {}, **fetched)
        self.add("mailbox: key trouble", "retry auth-dns-trouble", own.sign(mail), {own.name: "SERVFAIL"}, **fetched)
        self.add("mailbox: trusted words say fail", "reject", said.format(f"spf=fail smtp.mailfrom={home}; dmarc=fail header.from={home}").encode() + mail, {}, trust, **fetched)
        self.add("mailbox: trusted words say fail, but the signature holds", "pass aligned-dkim", said.format(f"spf=fail smtp.mailfrom={home}").encode() + own.sign(mail), own.dns, trust, **fetched)
        self.add("mailbox: proofs of strangers only", "reject dkim-pass-unaligned", self.foreign.sign(mail), self.foreign.dns, **fetched)
        self.add("mailbox: it expired while it lay there", "pass aligned-dkim", own.sign(mail, tags={"t": str(AT - 90_000), "x": str(AT - 80_000)}), own.dns, **{**fetched, "received_at": "2026-11-21T04:00:00Z"})

    def webhook(self) -> None:
        home, mail, own, other = self.home, self.mail(), self.own, self.other
        posted = {"source": "webhook", "helo": None}
        self.add("webhook: a signature", "pass aligned-dkim", own.sign(mail), own.dns, **posted, client_ip=None, mail_from=None)
        self.add("webhook: the client that the provider saw", "pass aligned-spf", mail, self.allowed, **posted)
        self.add("webhook: a client that SPF does not name", "reject spf-fail", mail, self.allowed, **{**posted, "client_ip": STRANGER})
        self.add("webhook: no client and no signature", "hold", mail, self.allowed, **posted, client_ip=None, mail_from=None)
        self.add("webhook: a stranger's MAIL FROM", "reject", mail, spf(other, "+all") | self.allowed, **{**posted, "mail_from": f"x@{other}"})
        self.add("webhook: key trouble", "retry auth-dns-trouble", own.sign(mail), {own.name: "TIMEOUT"}, **posted, client_ip=None, mail_from=f"ana@{home}")


# What real servers write, as their mails show it: {d} the domain, {r} the result.
_FINDINGS = {
    "Postfix": "mx.drop.example; spf={r} (mailfrom) smtp.mailfrom={d} (client-ip=192.0.2.10; helo=mail.client.example; envelope-from=ana@{d}; receiver=x)",
    "Gmail": "mx.google.com;\r\n       dkim={r} header.i=@{d} header.s=s1 header.b=\"aB1/+x\";\r\n       spf={r} (google.com: domain of ana@{d} designates 192.0.2.10 as permitted sender) smtp.mailfrom=ana@{d};\r\n"
    "       dmarc={r} (p=NONE sp=NONE dis=NONE) header.from={d}",
    "Microsoft 365": "spf={r} (sender IP is 192.0.2.10)\r\n smtp.mailfrom={d}; dkim={r} (signature was verified)\r\n header.d={d};dmarc={r} action=none header.from={d};compauth=pass reason=100",
    "Rspamd": "mx.drop.example;\r\n\tdkim={r} header.d={d} header.s=s1 header.b=abc123;\r\n\tspf={r} (mx.drop.example: domain of ana@{d} designates 192.0.2.10 as permitted sender) smtp.mailfrom=ana@{d};\r\n\tdmarc={r} (policy=none) header.from={d}",
    "OpenDKIM": "mx.drop.example;\r\n\tdkim={r} (2048-bit key; unprotected) header.d={d} header.i=@{d} header.a=rsa-sha256 header.s=s1 header.b=abc",
    "Fastmail": "mx.drop.example;\r\n    dkim={r} (2048-bit rsa key sha256) header.d={d} header.i=@{d} header.b=x header.a=rsa-sha256 header.s=s1 x-bits=2048;\r\n    dmarc={r} policy.published-domain-policy=none policy.applied-disposition=none header.from={d};\r\n"
    "    iprev=pass smtp.remote-ip=192.0.2.10 (mail.client.example);\r\n    spf={r} smtp.mailfrom=ana@{d} smtp.helo=mail.client.example",
}  # fmt: skip


def _topped(fields: list[str], raw: bytes) -> bytes:
    return "".join(field + "\r\n" for field in fields).encode() + raw


def _many(raw: bytes, signer: Signer, number: int) -> bytes:
    for _ in range(number):
        raw = signer.sign(raw)
    return raw


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], str]]:
    """Every case of the table in one file, answered in one run."""
    table = Table()
    for part in (table.direct, table.domains, table.structure, table.relayed, table.mailbox, table.webhook):
        part()
    folder = tmp_path_factory.mktemp("table")
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case, _ in table.rows.values()), "utf-8")
    with explaining(tmp_path_factory.mktemp("house")) as explainer:
        results = list(cases(folder / "cases.jsonl", explainer))
    assert [result["id"] for result in results] == list(table.rows)
    return {result["id"]: (result, table.rows[result["id"]][1]) for result in results}


def test_every_kind_is_decided_as_the_table_says(answered: dict[str, tuple[dict[str, Any], str]]) -> None:
    wrong = {}
    for name, (result, wanted) in answered.items():
        decisions, _, reason = wanted.partition(" ")
        judged = result["authentication"]
        reasons = {judged["reason"], result["reason"], *(step["reason"] for step in result["trace"])}
        if judged["decision"] not in decisions.split("|") or (reason and reason not in reasons):
            wrong[name] = (wanted, judged["decision"], sorted(reasons))
    assert wrong == {}
    assert len(answered) > 130


def test_every_decision_says_why_in_a_sentence(answered: dict[str, tuple[dict[str, Any], str]]) -> None:
    for name, (result, _) in answered.items():
        for sentence in (result["sentence"], result["authentication"]["sentence"], *(check["sentence"] for check in result["authentication"]["checks"] if check["result"] != "none")):
            assert sentence.endswith((".", "?")), (name, sentence)
            assert "{" not in sentence, (name, sentence)


def test_only_a_pass_is_ever_on_its_way_to_be_logged(answered: dict[str, tuple[dict[str, Any], str]]) -> None:
    """The senders are nobody's, so a pass waits for a rep; everything else ends by its decision."""
    ends = {"pass": {("held", "unattributed")}, "retry": {("retry", "auth-dns-trouble")}, "reject": {("ignored", "auth-rejected")}}
    for name, (result, _) in answered.items():
        decision = result["authentication"]["decision"]
        if name.startswith("the null sender") and decision == "pass":
            assert (result["outcome"], result["reason"]) == ("held", "machine-mail"), name
        elif decision == "hold":
            assert result["outcome"] == "held", name
        else:
            assert (result["outcome"], result["reason"]) in ends[decision], name
