"""May the mail be filed as its sender's? The decision table, row by row, with keys made for the occasion."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dns import Resolver, Zone
from core.reasons import REASONS, remedy, sentence
from core.steps.authenticate import judge
from core.types import AuthResult, Envelope, Identity, Judgement, Mailbox, Trust, TrustedVerdict
from tests.dnsserver import DnsServer
from tests.judging import CLIENT, NOW, STRANGER, decide, decide_case
from tests.mailmaker import Signer, dmarc, make_mail, spare_signer, spf

HOME = "sales.example"
SPF = spf(HOME, "ip4:192.0.2.0/24 -all")


@pytest.fixture(scope="module")
def own() -> Signer:
    return Signer(HOME, "own1")


@pytest.fixture(scope="module")
def foreign() -> Signer:
    return Signer("evil.example", "x9", "ed25519")


def outcome(raw: bytes, dns: Any, **more: Any) -> tuple[str, str]:
    judged = decide(raw, dns, **more)
    return judged.decision, judged.reason


# --- the shared cases -------------------------------------------------------------------------------------------------


def matches(judged: Judgement, wanted: dict[str, Any]) -> bool:
    if judged.decision not in [wanted["decision"], *wanted.get("accept", [])]:
        return False
    return all(
        any(all(getattr(check, key) == value for key, value in row.items()) for check in judged.checks) for row in wanted["checks"]
    )


@pytest.mark.parametrize("over", ["zone", "server"])
def test_every_shared_case_is_decided_as_its_answer_says(corpora: Path, over: str) -> None:
    folder = corpora / "mailauth/decisions"
    answers = [json.loads(line) for line in (folder / "expected.jsonl").read_text().splitlines()]
    cases = [json.loads(line) for line in (folder / "cases.jsonl").read_text().splitlines()]
    wrong = []
    for case, answer in zip(cases, answers, strict=True):
        with DnsServer(case["dns"]) as server:
            judged = decide_case(case, folder, Resolver(server.address) if over == "server" else None)
        if not matches(judged, answer):
            wrong.append((case["id"], judged))
    assert wrong == []


def test_no_hostile_sender_passes_for_another(corpora: Path) -> None:
    folder = corpora / "hostile"
    answers = {row["id"]: row for row in map(json.loads, (folder / "expected.jsonl").read_text().splitlines())}
    for case in map(json.loads, (folder / "cases.jsonl").read_text().splitlines()):
        judged = decide_case(case, folder)
        assert judged.decision not in answers[case["id"]].get("decision_not", []), case["id"]
        assert judged.reason in REASONS


# --- SMTP, straight from the sender's server --------------------------------------------------------------------------


def test_an_aligned_signature_passes_even_when_spf_fails(own: Signer) -> None:
    assert outcome(own.sign(make_mail()), own.dns | SPF, client_ip=STRANGER) == ("pass", "aligned-dkim")


def test_an_aligned_spf_passes_without_a_signature(own: Signer) -> None:
    assert outcome(make_mail(), SPF) == ("pass", "aligned-spf")
    assert outcome(make_mail(), SPF, mail_from="bounce@mail.sales.example") != ("pass", "aligned-spf")
    assert outcome(make_mail(), SPF | spf("mail.sales.example", "ip4:192.0.2.10 -all"), mail_from="bounce@mail.sales.example") == (
        "pass",
        "aligned-spf",
    )


def test_a_broken_signature_does_no_harm_to_a_pass_of_spf(own: Signer) -> None:
    assert outcome(own.sign(make_mail(), break_signature=True), own.dns | SPF) == ("pass", "aligned-spf")


def test_the_null_sender_is_judged_by_its_helo_name() -> None:
    dns = spf("mail.sales.example", "ip4:192.0.2.10 -all")
    assert outcome(make_mail(), dns, mail_from="") == ("pass", "aligned-spf")
    assert outcome(make_mail(), dns, mail_from="", helo="mail.evil.example")[0] != "pass"


def test_a_strangers_own_proofs_prove_nothing(foreign: Signer) -> None:
    dns = foreign.dns | spf("evil.example", "ip4:203.0.113.9 -all") | SPF
    judged = decide(foreign.sign(make_mail()), dns, client_ip=STRANGER, mail_from="x@evil.example")
    assert (judged.decision, judged.reason) == ("reject", "auth-rejected")
    assert [(check.method, check.result, check.aligned) for check in judged.checks] == [
        ("dkim", "pass", False),
        ("spf", "pass", False),
    ]


@pytest.mark.parametrize("domain", ["evilsales.example", "sales.example.evil.example", "example", "sales-example.evil.example"])
def test_a_domain_that_only_looks_alike_does_not_align(domain: str) -> None:
    signer = Signer(domain, algorithm="ed25519")
    dns = signer.dns | spf(domain, "+all") | SPF
    assert outcome(signer.sign(make_mail()), dns, client_ip=STRANGER, mail_from=f"x@{domain}")[0] == "reject"


@pytest.mark.parametrize(
    "who",
    ['"ana@sales.example" <x@evil.example>', "ana@sales.example <x@evil.example>", "Ana (ana@sales.example) <x@evil.example>"],
)
def test_the_display_name_is_nobody(foreign: Signer, who: str) -> None:
    """A stranger who signs for himself is himself: he passes, but never as the rep."""
    raw = foreign.sign(make_mail(who))
    judged = decide(raw, foreign.dns | SPF, client_ip=STRANGER, mail_from="x@evil.example")
    assert judged.params["domain"] == "evil.example" or judged.decision != "pass"


@pytest.mark.parametrize(
    "terms, outcome_",
    [
        ("ip4:198.51.100.1 -all", "reject"),
        ("ip4:198.51.100.1 ~all", "reject"),
        ("ip4:198.51.100.1 ?all", "hold"),
        ("ip4:198.51.100.1", "hold"),
        ("ip4:300.1.1.1 -all", "reject"),
        ("include:sales.example -all", "reject"),
        ("ip4:192.0.2.10 -all", "pass"),
    ],
)
def test_without_a_signature_spf_alone_decides(terms: str, outcome_: str) -> None:
    assert outcome(make_mail(), spf(HOME, terms))[0] == outcome_


def test_an_admin_may_have_softfail_held() -> None:
    dns = spf(HOME, "ip4:198.51.100.1 ~all")
    assert outcome(make_mail(), dns, trust=Trust(softfail_holds=True)) == ("hold", "auth-softfail")
    assert outcome(make_mail(), dns | dmarc(HOME, "p=reject"), trust=Trust(softfail_holds=True))[0] == "reject"
    assert outcome(make_mail(), spf(HOME, "-all"), trust=Trust(softfail_holds=True))[0] == "reject"


def test_where_nothing_is_published_a_person_decides() -> None:
    assert outcome(make_mail(), {}) == ("hold", "auth-nothing-published")
    assert outcome(make_mail(), {}, mail_from="x@other.example") == ("hold", "auth-nothing-published")


def test_two_spf_records_are_a_mistake_and_no_proof() -> None:
    assert outcome(make_mail(), {HOME: {"TXT": ["v=spf1 +all", "v=spf1 ip4:192.0.2.10 -all"]}})[0] == "reject"


@pytest.mark.parametrize("spoil", [b"more\r\n", None])
def test_a_signature_that_does_not_hold_rejects_where_spf_says_nothing(own: Signer, spoil: bytes | None) -> None:
    raw = own.sign(make_mail()) + spoil if spoil else own.sign(make_mail(), break_signature=True)
    assert outcome(raw, own.dns)[0] == "reject"


def test_the_tampered_subject_of_a_signed_mail_is_noticed(own: Signer) -> None:
    raw = own.sign(make_mail(subject="Ten chairs")).replace(b"Ten chairs", b"Pay today")
    judged = decide(raw, own.dns | SPF, client_ip=STRANGER)
    assert (judged.decision, judged.checks[0].reason) == ("reject", "dkim-header-changed")


@pytest.mark.parametrize(
    "record, reason",
    [
        ({}, "dkim-key-missing"),
        ({"TXT": ["v=DKIM1; p="]}, "dkim-key-revoked"),
        ({"TXT": ["v=spf1 -all"]}, "dkim-key-wrong"),
        ({"TXT": ["v=DKIM1; p=!!!"]}, "dkim-key-wrong"),
    ],
)
def test_a_signature_without_a_usable_key_rejects_and_says_which_record_is_needed(
    own: Signer, record: dict[str, Any], reason: str
) -> None:
    judged = decide(own.sign(make_mail()), {own.name: record})
    assert (judged.decision, judged.params["because"]) == ("reject", reason)
    assert "own1._domainkey.sales.example" in remedy(reason, judged.checks[0].params)


def test_a_short_length_tag_holds(own: Signer) -> None:
    raw = own.sign(make_mail(body="Hello\r\n"), length=7) + b"and buy this\r\n"
    assert outcome(raw, own.dns) == ("hold", "auth-partly-signed")
    assert outcome(raw, own.dns | SPF, client_ip=STRANGER) == ("hold", "auth-partly-signed")
    assert outcome(raw, own.dns | SPF) == ("pass", "aligned-spf")
    assert outcome(own.sign(make_mail(), length=0), own.dns) == ("hold", "auth-nothing-published")


def test_one_good_signature_of_the_sender_among_many_passes(own: Signer, foreign: Signer) -> None:
    raw = make_mail()
    for _ in range(20):
        raw = foreign.sign(raw)
    raw = own.sign(raw)
    for _ in range(20):
        raw = foreign.sign(raw, break_signature=True)
    judged = decide(raw, own.dns | foreign.dns | SPF, client_ip=STRANGER)
    assert (judged.decision, len([check for check in judged.checks if check.method == "dkim"])) == ("pass", 9)


# --- trouble ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", ["SERVFAIL", "TIMEOUT"])
def test_trouble_of_the_senders_own_dns_waits(own: Signer, trouble: str) -> None:
    signed = own.sign(make_mail())
    assert outcome(signed, SPF | {own.name: trouble}, client_ip=STRANGER) == ("retry", "auth-dns-trouble")
    assert outcome(make_mail(), {HOME: {"TXT": trouble}}) == ("retry", "auth-dns-trouble")
    assert outcome(signed, SPF | {own.name: trouble}) == ("pass", "aligned-spf"), "another proof is enough"


def test_trouble_of_a_strangers_dns_is_the_strangers(foreign: Signer) -> None:
    raw = foreign.sign(make_mail())
    assert outcome(raw, {foreign.name: "SERVFAIL"} | SPF, client_ip=STRANGER)[0] == "reject"
    assert outcome(raw, {foreign.name: "TIMEOUT", "evil.example": "TIMEOUT"}, mail_from="x@evil.example")[0] == "hold"


def test_a_check_that_breaks_is_trouble_of_ours_and_never_a_pass() -> None:
    broken = [AuthResult("dkim", "temperror", reason="check-failed"), AuthResult("spf", "fail", HOME, reason="spf-fail")]
    identity = Identity(Mailbox(None, f"ana@{HOME}"))
    assert judge(identity, (), Envelope("smtp", client_ip=CLIENT), Trust(), broken, Zone({})).decision == "retry"


def test_a_dead_dns_for_the_policy_lets_only_the_equal_domain_pass(own: Signer) -> None:
    dead = {f"_dmarc.{HOME}": "SERVFAIL", f"_dmarc.eu.{HOME}": "SERVFAIL"}
    assert outcome(own.sign(make_mail()), own.dns | dead) == ("pass", "aligned-dkim")
    assert outcome(own.sign(make_mail(f"ana@eu.{HOME}")), own.dns | dead) == ("retry", "auth-dns-trouble")
    assert outcome(make_mail(), spf(HOME, "-all") | dead)[0] == "reject"


# --- what the sender's domain asks for (DMARC) ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record, passes",
    [
        ("p=none", True),
        ("p=none; adkim=s", False),
        ("p=none; adkim=r; aspf=s", True),
        ("adkim=S", False),
        ("p=reject; ADKIM = s", False),
    ],
)
def test_strict_alignment_is_asked_for_by_the_domain(own: Signer, record: str, passes: bool) -> None:
    raw = own.sign(make_mail(f"Ana <ana@eu.{HOME}>"))
    assert (outcome(raw, own.dns | dmarc(HOME, record), client_ip=STRANGER)[0] == "pass") is passes
    assert outcome(own.sign(make_mail()), own.dns | dmarc(HOME, record))[0] == "pass"


def test_strict_spf_wants_the_same_domain() -> None:
    dns = spf("bounce.sales.example", "ip4:192.0.2.10 -all")
    assert outcome(make_mail(), dns, mail_from="x@bounce.sales.example") == ("pass", "aligned-spf")
    assert outcome(make_mail(), dns | dmarc(HOME, "p=none; aspf=s"), mail_from="x@bounce.sales.example")[0] == "reject"


@pytest.mark.parametrize(
    "sender, records, decision",
    [
        (HOME, dmarc(HOME, "p=reject"), "reject"),
        (HOME, dmarc(HOME, "p=quarantine"), "reject"),
        (HOME, dmarc(HOME, "p=none"), "hold"),
        (HOME, dmarc(HOME, "p=quarantine; t=y"), "hold"),  # tried out: one policy lower
        (HOME, dmarc(HOME, "p=reject; t=y"), "reject"),
        (HOME, dmarc(HOME, "p=quarantine; pct=0"), "hold"),
        (HOME, dmarc(HOME, "p=reject; pct=0"), "reject"),
        (HOME, dmarc(HOME, "p=quarantine; t=n; pct=1"), "reject"),
        (HOME, dmarc(HOME, "p=quarantine; pct="), "reject"),
        (f"eu.{HOME}", dmarc(HOME, "p=reject; sp=quarantine; T = Y"), "hold"),
        (f"eu.{HOME}", dmarc(HOME, "p=reject"), "reject"),
        (f"eu.{HOME}", dmarc(HOME, "p=reject; sp=none"), "hold"),
        (f"eu.{HOME}", dmarc(HOME, "p=none; sp=quarantine"), "reject"),
        (f"eu.{HOME}", dmarc(HOME, "p=reject") | dmarc(f"eu.{HOME}", "p=none"), "hold"),
        (HOME, {f"_dmarc.{HOME}": {"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]}}, "hold"),
        (HOME, {f"_dmarc.{HOME}": {"TXT": ["p=reject; v=DMARC1", "v=spf1 -all"]}}, "hold"),
    ],
)
def test_a_domain_that_asks_for_rejection_gets_it(sender: str, records: dict[str, Any], decision: str) -> None:
    assert outcome(make_mail(f"Ana <ana@{sender}>"), records)[0] == decision


@pytest.mark.parametrize("trial", ["t=y", "pct=0"])
def test_a_policy_that_is_tried_out_lets_nothing_in_and_excuses_no_failure(foreign: Signer, trial: str) -> None:
    asked = dmarc(HOME, f"p=quarantine; {trial}")
    assert outcome(make_mail(), asked | SPF, client_ip=STRANGER) == ("reject", "auth-rejected")
    assert outcome(foreign.sign(make_mail()), asked | foreign.dns)[0] == "reject"


def test_a_policy_does_not_reject_what_was_never_checked() -> None:
    """From a mailbox nobody knows the client: that SPF is unknown is no failure."""
    assert outcome(make_mail(), dmarc(HOME, "p=reject"), source="imap", client_ip=None, mail_from=None)[0] == "hold"


# --- structure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, reason",
    [
        ((b"From: Ana <ana@sales.example>", b"X: y"), "no-from"),
        ((b"From: Ana <ana@sales.example>", b"From: "), "no-from"),
        ((b"From: Ana <ana@sales.example>", b"From: ana@sales.example, ceo@sales.example"), "multiple-from"),
        ((b"To: Bo", b"From: ceo@sales.example\r\nTo: Bo"), "multiple-from"),
        ((b"Subject: Ten", b"Subject: Ten\rFrom: ceo@sales.example"), "bare-cr-in-header"),
        ((b"Subject: Ten", b"Subject: T\0en"), "nul-in-header"),
        ((b"Subject: Ten", b"Subject: Pay\r\nSubject: Ten"), "duplicate-header"),
        ((b"MIME-Version", b"Content-Type: text/html\r\nMIME-Version"), "duplicate-header"),
    ],
)
def test_a_mail_that_programs_read_differently_is_held_whatever_it_proves(
    own: Signer, change: tuple[bytes, bytes], reason: str
) -> None:
    raw = own.sign(make_mail().replace(*change))
    judged = decide(raw, own.dns | SPF)
    assert judged.decision == "hold"
    assert judged.reason in (reason, "bad-from") if reason == "no-from" else judged.reason == reason
    assert "…" not in sentence(judged.reason, judged.params)


# --- pins, tenants --------------------------------------------------------------------------------------------------------


def test_a_providers_default_signature_needs_a_pin() -> None:
    default = Signer("sales-example.20240101.gappssmtp.com", "20240101", "ed25519")
    raw = default.sign(make_mail())
    pin = Trust(extra_signers={HOME: (default.domain,)})
    assert outcome(raw, default.dns)[0] == "reject"
    assert outcome(raw, default.dns | dmarc(HOME, "p=reject; adkim=s"), trust=pin) == ("pass", "aligned-dkim")
    assert outcome(raw, default.dns, trust=Trust(extra_signers={"other.example": (default.domain,)}))[0] == "reject"
    assert decide(raw, default.dns, trust=pin).checks[0].reason == "dkim-pass-pinned"


def test_tenants_of_one_provider_do_not_speak_for_each_other() -> None:
    other = Signer("two.onmicrosoft.com", algorithm="ed25519")
    assert outcome(other.sign(make_mail("Ana <ana@one.onmicrosoft.com>")), other.dns)[0] == "reject"
    assert outcome(other.sign(make_mail("Ana <ana@two.onmicrosoft.com>")), other.dns)[0] == "pass"


# --- behind a trusted relay -------------------------------------------------------------------------------------------------

RELAYED = Trust(networks=("10.0.0.0/8",), authserv_ids=("mx.drop.example",))


def received(ip: str) -> str:
    return f"Received: from mail.sales.example (mail.sales.example [{ip}]) by mx.drop.example (Postfix) with ESMTPS; Fri, 20 Nov 2026 10:00:00 +0000"


def test_behind_a_relay_spf_is_judged_by_the_client_that_the_relay_saw() -> None:
    assert outcome(make_mail(headers=(received(CLIENT),)), SPF, client_ip="10.0.0.5", trust=RELAYED) == ("pass", "aligned-spf")
    assert outcome(make_mail(headers=(received(STRANGER),)), SPF, client_ip="10.0.0.5", trust=RELAYED)[0] == "reject"
    assert (
        outcome(make_mail(headers=(received(STRANGER), received(CLIENT))), SPF, client_ip="10.0.0.5", trust=RELAYED)[0] == "reject"
    )


def test_a_relay_is_never_judged_itself(own: Signer) -> None:
    dns = spf(HOME, "ip4:10.0.0.5 -all")
    assert outcome(make_mail(), dns, client_ip="10.0.0.5", trust=RELAYED) == ("hold", "auth-relay-unreadable")
    assert outcome(make_mail(), dns | dmarc(HOME, "p=reject"), client_ip="10.0.0.5", trust=RELAYED)[0] == "hold"
    assert outcome(own.sign(make_mail()), dns | own.dns, client_ip="10.0.0.5", trust=RELAYED) == ("pass", "aligned-dkim")


def test_a_relays_findings_count_and_a_strangers_copy_does_not() -> None:
    said = "Authentication-Results: mx.drop.example; spf=pass smtp.mailfrom=sales.example"
    assert outcome(make_mail(headers=(said, received(STRANGER))), {}, client_ip="10.0.0.5", trust=RELAYED) == (
        "pass",
        "aligned-trusted",
    )
    assert outcome(make_mail(headers=(received(STRANGER), said)), SPF, client_ip="10.0.0.5", trust=RELAYED)[0] == "reject"
    assert outcome(make_mail(headers=(said,)), SPF, client_ip=STRANGER, trust=RELAYED)[0] == "reject"


# --- a mailbox --------------------------------------------------------------------------------------------------------------

MAILBOX: dict[str, Any] = {
    "source": "imap",
    "client_ip": None,
    "helo": None,
    "mail_from": None,
    "trust": Trust(authserv_ids=("mx.drop.example",)),
}


def said(findings: str, who: str = "mx.drop.example") -> str:
    return f"Authentication-Results: {who}; {findings}"


@pytest.mark.parametrize(
    "findings, decision",
    [
        ("dkim=pass header.d=sales.example", "pass"),
        ("spf=pass smtp.mailfrom=ana@sales.example", "pass"),
        ("dmarc=pass header.from=sales.example", "pass"),
        ("spf=pass smtp.mailfrom=x@evil.example; dkim=none", "reject"),
        ("dmarc=pass header.from=evil.example", "reject"),
        ("spf=fail smtp.mailfrom=ana@sales.example; dkim=none", "reject"),
        ("dmarc=fail header.from=sales.example", "reject"),
        ("spf=none smtp.mailfrom=ana@sales.example; dkim=none", "hold"),
        ("spf=temperror smtp.mailfrom=ana@sales.example", "hold"),
        ("dkim=pass", "hold"),
    ],
)
def test_from_a_mailbox_the_trusted_servers_findings_decide(findings: str, decision: str) -> None:
    assert outcome(make_mail(headers=(said(findings),)), {}, **MAILBOX)[0] == decision
    assert outcome(make_mail(headers=(said(findings, "mx.evil.example"),)), {}, **MAILBOX) == ("hold", "auth-mailbox-unproved")


def test_from_a_mailbox_our_own_check_of_the_signature_counts(own: Signer) -> None:
    raw = own.sign(make_mail())
    assert outcome(raw, own.dns, **MAILBOX) == ("pass", "aligned-dkim")
    assert outcome(make_mail(headers=(said("spf=fail smtp.mailfrom=sales.example"),)) + b"", own.dns, **MAILBOX)[0] == "reject"
    assert outcome(said("spf=fail smtp.mailfrom=sales.example").encode() + b"\r\n" + raw, own.dns, **MAILBOX) == (
        "pass",
        "aligned-dkim",
    )
    assert outcome(raw, {own.name: "SERVFAIL"}, **MAILBOX)[0] == "retry"


def test_from_a_mailbox_a_key_that_is_gone_holds(own: Signer, foreign: Signer) -> None:
    raw = own.sign(make_mail())
    assert outcome(raw, {}, **MAILBOX)[0] == "hold"
    assert outcome(raw + b"footer\r\n", own.dns, **MAILBOX)[0] == "hold"
    assert outcome(foreign.sign(raw), foreign.dns, **MAILBOX)[0] == "hold"
    assert outcome(foreign.sign(make_mail()), foreign.dns, **MAILBOX)[0] == "reject", "only a stranger's proof"


def test_a_mailbox_behind_trusted_networks_knows_its_clients() -> None:
    raw = b"Return-Path: <ana@sales.example>\r\n" + make_mail(headers=(received(CLIENT),))
    trust = Trust(networks=("10.0.0.0/8",))
    assert outcome(raw, SPF, **{**MAILBOX, "trust": trust}) == ("pass", "aligned-spf")
    assert outcome(raw.replace(b"192.0.2.10", b"203.0.113.9"), SPF, **{**MAILBOX, "trust": trust})[0] == "reject"
    assert outcome(raw, SPF, **{**MAILBOX, "trust": Trust()})[0] == "hold"


# --- a webhook --------------------------------------------------------------------------------------------------------------


def verdict(method: str, result: str, domain: str | None = HOME) -> TrustedVerdict:
    return TrustedVerdict(method, result, domain, "provider")


@pytest.mark.parametrize(
    "verdicts, decision",
    [
        ([verdict("dkim", "pass")], "pass"),
        ([verdict("spf", "PASS", "mail.sales.example")], "pass"),
        ([verdict("dkim", "pass", "evil.example")], "reject"),
        ([verdict("dkim", "pass", None), verdict("spf", "pass", None)], "hold"),
        ([verdict("dkim", "fail")], "reject"),
        ([verdict("dkim", "GRAY", None)], "retry"),
        ([verdict("spf", "PROCESSING_FAILED")], "retry"),
        ([verdict("dkim", "GRAY", None), verdict("spf", "pass")], "pass"),
        ([], "hold"),
    ],
)
def test_a_providers_verdict_counts_with_its_domain(verdicts: list[TrustedVerdict], decision: str) -> None:
    assert outcome(make_mail(), {}, source="webhook", client_ip=None, mail_from=None, verdicts=verdicts)[0] == decision


def test_a_webhooks_raw_mail_is_checked_as_any_other(own: Signer) -> None:
    webhook: dict[str, Any] = {"source": "webhook", "client_ip": None, "mail_from": None}
    assert outcome(own.sign(make_mail()), own.dns, **webhook) == ("pass", "aligned-dkim")
    assert outcome(own.sign(make_mail()) + b"x", own.dns, **webhook)[0] == "reject"
    assert outcome(make_mail(), SPF, source="webhook") == ("pass", "aligned-spf")
    assert outcome(make_mail(), SPF, source="webhook", client_ip=STRANGER)[0] == "reject"


# --- what holds for every mail ----------------------------------------------------------------------------------------------

DOMAINS = st.sampled_from(
    [None, HOME, f"eu.{HOME}", "evil.example", f"{HOME}.evil.example", "example", "onmicrosoft.com", "", "[192.0.2.1]"]
)
FINDINGS = st.builds(
    AuthResult,
    method=st.sampled_from(["dkim", "spf", "dmarc", "arc", "iprev", "x-own"]),
    result=st.sampled_from(["pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror", "odd"]),
    domain=DOMAINS,
    reason=st.sampled_from(
        [
            "",
            "dkim-pass",
            "spf-pass",
            "dkim-sha1",
            "dkim-partly-signed",
            "spf-not-checked",
            "trusted-verdict",
            "trusted-without-domain",
            "unheard-of",
        ]
    ),
    by=st.sampled_from(["us", "mx.drop.example"]),
)


@settings(max_examples=300)
@given(
    findings=st.lists(FINDINGS, max_size=5),
    source=st.sampled_from(["smtp", "lmtp", "imap", "webhook", "import", "explain"]),
    client=st.sampled_from([None, CLIENT]),
    policy=st.sampled_from([{}, dmarc(HOME, "p=reject"), dmarc(HOME, "adkim=s; aspf=s"), {f"_dmarc.{HOME}": "SERVFAIL"}]),
    softfail=st.booleans(),
)
def test_no_mail_passes_without_an_aligned_proof(
    findings: list[AuthResult], source: str, client: str | None, policy: dict[str, Any], softfail: bool
) -> None:
    identity = Identity(Mailbox(None, f"ana@{HOME}"))
    judged = judge(identity, (), Envelope(source, client_ip=client), Trust(softfail_holds=softfail), findings, Zone(policy))
    proofs = [
        found
        for found in findings
        if found.result == "pass"
        and found.method in ("dkim", "spf", "dmarc")
        and found.domain in (HOME, f"eu.{HOME}")
        and found.reason != "dkim-sha1"
    ]
    if judged.decision == "pass":
        assert proofs
    if not findings:
        assert judged.decision in ("hold", "reject")
    assert judge(identity, ("duplicate-header:subject",), Envelope(source), Trust(), findings, Zone(policy)).decision == "hold"
    assert judge(Identity(None, "multiple-from"), (), Envelope(source), Trust(), findings, Zone(policy)).decision == "hold"


@settings(max_examples=300)
@given(data=st.data())
def test_a_signed_mail_changed_at_any_signed_place_does_not_pass(data: st.DataObject) -> None:
    signer = spare_signer(HOME, "ed25519")
    mail = make_mail(message_id="<one@made.example>", body="Hello  Bo,\r\n\r\nhere is the offer. \r\n")
    raw = signer.sign(mail, canonical="simple/simple")
    assert decide(raw, signer.dns, client_ip=None).decision == "pass"
    start = raw.index(b"\r\nFrom:") + 2
    unsigned = range(raw.index(b"MIME-Version"), raw.index(b"\r\n\r\n") + 4)
    place = data.draw(st.integers(start, len(raw) - 1).filter(lambda at: at not in unsigned))
    octet = data.draw(st.integers(0, 255).filter(lambda value: value != raw[place]))
    changed = raw[:place] + bytes([octet]) + raw[place + 1 :]
    assert decide(changed, signer.dns, client_ip=None).decision != "pass"


# --- sentences --------------------------------------------------------------------------------------------------------------


def test_every_finding_and_every_decision_has_a_whole_sentence(own: Signer, foreign: Signer) -> None:
    mails = [
        own.sign(make_mail()),
        foreign.sign(make_mail()),
        make_mail(),
        own.sign(make_mail()) + b"x",
        own.sign(make_mail(), length=1),
    ]
    zones: list[dict[str, Any]] = [
        own.dns | foreign.dns | SPF,
        {},
        {own.name: "SERVFAIL"},
        own.dns | spf(HOME, "~all") | dmarc(HOME, "p=reject"),
    ]
    for raw in mails:
        for zone in zones:
            for more in (
                {},
                {"client_ip": STRANGER},
                {"mail_from": "x@evil.example"},
                MAILBOX,
                {"source": "webhook", "client_ip": None},
            ):
                judged = decide(raw, zone, **more)
                assert judged.reason in REASONS
                assert "…" not in sentence(judged.reason, judged.params), judged
                assert "…" not in remedy(judged.reason, judged.params), judged
                for check in judged.checks:
                    assert check.reason in REASONS, check
                    assert "…" not in sentence(check.reason, check.params), check
                    assert "…" not in remedy(check.reason, {**check.params, "mechanism": "ip4:192.0.2.1"}).replace("p=…", ""), check


def test_the_judgement_is_plain_data() -> None:
    import msgspec

    judged = decide(make_mail(), SPF)
    assert msgspec.json.decode(msgspec.json.encode(judged), type=Judgement) == replace(judged)
    assert judged.checks[-1].ip == CLIENT
    assert NOW.tzinfo is not None
