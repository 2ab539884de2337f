"""May the mail be filed as its sender's? Findings of the checks, folded with alignment into one decision.

The order: the structure of the mail; an aligned pass; trouble that may pass; what disproves the sender; else a person looks.
The table stands in docs/authentication.md.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core import reasons
from core.mail.alignment import aligned, ascii_domain, organisational, pinned
from core.mail.headers import FWS
from core.reasons import N_
from core.types import AuthResult, Dns, DnsTrouble, Envelope, Identity, Judgement, Trust

# What programs read in different ways: a signature that holds says nothing about what a person would see.
_AMBIGUOUS = ("bare-cr-in-header", "nul-in-header", "duplicate-header")
_PROOFS = ("dkim", "spf", "dmarc")  # methods that can speak for a domain


def judge(
    identity: Identity, defects: Sequence[str], envelope: Envelope, trust: Trust, results: Sequence[AuthResult], dns: Dns
) -> Judgement:
    """The decision on one mail, with `aligned` and the reason set on every finding.

    params always hold `domain`, the sender's; a rejection adds `detail` (an English clause) and `because` (a reason code).
    """
    sender = identity.mailbox.domain if identity.mailbox else ""
    sender = ascii_domain(sender) or sender
    policy = read_policy(sender, dns)
    case = _Case(sender, envelope, trust, policy, tuple(_aligned(result, sender, trust, policy) for result in results))
    return (
        _by_structure(identity, defects, case)
        or _by_pass(case)
        or _by_trouble(case)
        or _by_partial_signature(case)
        or _by_disproof(case)
        or _held(case)
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """What the sender's domain asks of receivers (DMARC, RFC 7489 section 6.3)."""

    strict_dkim: bool = False
    strict_spf: bool = False
    enforced: bool = False  # p=quarantine or p=reject, and not as a trial only
    unknown: bool = False  # the DNS did not tell


@dataclass(frozen=True, slots=True)
class _Case:
    sender: str
    envelope: Envelope
    trust: Trust
    policy: Policy
    checks: tuple[AuthResult, ...]

    @property
    def from_mailbox(self) -> bool:
        """Fetched, not handed over: nobody told us the client."""
        if self.envelope.source in ("import", "explain"):
            return self.envelope.client_ip is None and self.envelope.relay is None
        return self.envelope.source == "imap"

    @property
    def handed_over(self) -> bool:
        """It came by SMTP or LMTP, where only CR LF ends a line (RFC 5321 2.3.8); mailboxes and files may store lines as they like."""
        return self.envelope.source in ("smtp", "lmtp")

    @property
    def spf_known(self) -> bool:
        return any(
            check.method in ("spf", "dmarc") and check.reason not in ("spf-not-checked", "trusted-without-domain")
            for check in self.checks
        )

    def verdict(self, decision: str, reason: str, **params: str) -> Judgement:
        return Judgement(decision, reason, self.checks, {"domain": self.sender, **params})  # type: ignore[arg-type]


# --- DMARC --------------------------------------------------------------------------------------------------------


def read_policy(sender: str, dns: Dns) -> Policy:
    """The DMARC record of the sender's domain, or of the registrable domain above it (RFC 7489 section 6.6.3).

    RFC 9989 walks the DNS tree instead of asking a list; both find the same record wherever senders publish one at the
    registrable domain, and alignment needs the list anyway, for the many domains that publish none.
    """
    domain, home = ascii_domain(sender), organisational(sender)
    if domain is None:
        return Policy()
    try:
        tags = _record(dns, domain)
        inherited = not tags and home is not None and home != domain
        if inherited and home is not None:
            tags = _record(dns, home)
    except DnsTrouble:
        return Policy(unknown=True)
    asked = tags.get("sp", tags.get("p", "none")) if inherited else tags.get("p", "none")
    enforced = asked == "reject" or (asked == "quarantine" and not _only_tried_out(tags))
    return Policy(tags.get("adkim") == "s", tags.get("aspf") == "s", enforced)


def _only_tried_out(tags: Mapping[str, str]) -> bool:
    """One policy lower is asked for: quarantine in place of reject, nothing in place of quarantine (RFC 9989 t=y, RFC 7489 6.6.4 pct=0)."""
    return tags.get("t") == "y" or re.fullmatch("0+", tags.get("pct", "")) is not None


def _record(dns: Dns, domain: str) -> dict[str, str]:
    """The tags of the one DMARC record at `_dmarc.<domain>`; {} when there is none or more than one."""
    found = []
    for octets in dns.txt(f"_dmarc.{domain}"):
        parts = [part.partition("=") for part in octets.decode("latin-1").split(";")]
        tags = [(name.strip(FWS).lower(), value.strip(FWS)) for name, _, value in parts]
        if tags[0] == ("v", "DMARC1"):
            found.append({name: value.lower() for name, value in reversed(tags)})
    return found[0] if len(found) == 1 else {}


def evidence(result: AuthResult) -> dict[str, str]:
    """What the sentence of a finding names."""
    named = {"method": result.method.upper(), "result": result.result, "domain": result.domain or "", "selector": result.selector or "", "ip": result.ip or ""}
    return {**named, "by": result.by, **result.params}


# --- alignment ----------------------------------------------------------------------------------------------------


def _aligned(result: AuthResult, sender: str, trust: Trust, policy: Policy) -> AuthResult:
    """The finding with `aligned` set, and with the reason and the parameters that its sentence needs."""
    strict = (result.method == "dkim" and policy.strict_dkim) or (result.method == "spf" and policy.strict_spf)
    chosen = result.method == "dkim" and pinned(result.domain, sender, trust.extra_signers)
    counts = result.method in _PROOFS and result.reason != "dkim-sha1" and (result.method != "dmarc" or result.by != "us")
    ours = counts and (chosen or aligned(result.domain, sender, strict))
    reason = result.reason
    if result.result == "pass" and reason in ("dkim-pass", "spf-pass", "trusted-verdict"):
        reason = reason if ours else f"{reason}-unaligned"
        if chosen and reason == "dkim-pass" and not aligned(result.domain, sender, strict):
            reason = "dkim-pass-pinned"
    params = {
        "domain": result.domain or sender,
        "from_domain": sender,
        "method": result.method,
        **{k: v for k, v in result.params.items() if v},
    }
    return dataclasses.replace(result, aligned=ours, reason=reason, params={key: value for key, value in params.items() if value})


# --- the decisions, in their order --------------------------------------------------------------------------------


def _by_structure(identity: Identity, defects: Sequence[str], case: _Case) -> Judgement | None:
    if identity.mailbox is None:
        return case.verdict("hold", identity.reason or "no-from")
    for defect in defects:
        code, _, field = defect.partition(":")
        if code in _AMBIGUOUS or (code == "bare-lf-in-header" and case.handed_over):
            return case.verdict("hold", code, field=field)
    return None


def _by_pass(case: _Case) -> Judgement | None:
    passes = [check for check in case.checks if check.result == "pass" and check.aligned]
    if case.policy.unknown:  # perhaps the domain asks for equality: only what is equal is sure
        passes = [check for check in passes if check.domain == case.sender or check.reason == "dkim-pass-pinned"]
    passes.sort(key=lambda check: (check.by != "us", _PROOFS.index(check.method)))
    if not passes:
        return None
    best = passes[0]
    if best.by == "us":
        return case.verdict("pass", f"aligned-{best.method}", domain=best.domain or "")
    return case.verdict("pass", "aligned-trusted", domain=best.domain or "", by=best.by, method=best.method.upper())


def _by_trouble(case: _Case) -> Judgement | None:
    """Retry only what could still become a pass: trouble of a stranger's domain is the stranger's."""
    for check in case.checks:
        sealer = check.reason == "arc-dns-trouble" and check.domain is not None  # a trusted one, whose word could count
        own = check.by == "us" and (check.aligned or sealer or check.reason == "check-failed")
        provider = case.envelope.source == "webhook" and check.by != "us" and (check.aligned or check.domain is None)
        if check.result == "temperror" and (own or provider):
            return case.verdict("retry", "auth-dns-trouble", domain=check.domain or case.sender)
        if check.result == "pass" and check.aligned and case.policy.unknown:
            return case.verdict("retry", "auth-dns-trouble")
    return None


def _by_partial_signature(case: _Case) -> Judgement | None:
    if any(check.reason == "dkim-partly-signed" and check.aligned for check in case.checks):
        return case.verdict("hold", "auth-partly-signed")
    return None


def _by_disproof(case: _Case) -> Judgement | None:
    grounds = [check for check in case.checks if _disproves(check, case)]
    if not grounds and not (case.policy.enforced and case.spf_known):
        return None
    if not grounds:
        return _rejected(case, "dmarc-enforced", _DETAILS["dmarc-enforced"], {})
    worst = min(grounds, key=lambda check: (check.result == "pass", not check.aligned))
    because = worst.reason or f"{worst.method}-{worst.result}"
    detail = _DETAILS.get(because, _DETAILS.get(worst.method, N_("a check failed")))
    return _rejected(case, because, detail, {**worst.params, "domain": worst.domain or case.sender, "from_domain": case.sender})


def _rejected(case: _Case, because: str, clause: str, facts: Mapping[str, str]) -> Judgement:
    """The clause in English for programs, and what a page needs to say it in the reader's language."""
    gaps = {f"detail_{name}": facts.get(name, "…") for name in _GAP.findall(clause)}
    said = {"detail_of": clause, **gaps} if gaps else {}
    return case.verdict("reject", "auth-rejected", detail=reasons.filled(clause, facts), because=because, **said)


def _disproves(check: AuthResult, case: _Case) -> bool:
    """Whether a finding speaks against the sender. Temporary trouble and silence never do."""
    if check.method not in _PROOFS:
        return False
    if check.result == "pass":
        if check.domain is None or check.aligned:
            return False
        return not (case.from_mailbox and _own_signature_broke(case))
    if check.method == "spf" and check.result == "softfail":
        return not case.trust.softfail_holds
    if check.result not in ("fail", "permerror"):
        return False
    # A mail from a mailbox is often older than its key: what we cannot verify any more disproves nothing.
    return not (case.from_mailbox and check.method == "dkim" and check.by == "us")


def _own_signature_broke(case: _Case) -> bool:
    return any(check.method == "dkim" and check.aligned and check.result in ("fail", "permerror") for check in case.checks)


_GAP = re.compile(r"\{(\w+)\}")

_DETAILS = {
    "dmarc-enforced": N_("its domain asks for mail without a proof to be refused (DMARC), and this mail has none"),
    "dkim": N_("its DKIM signature does not hold"),
    "spf": N_("SPF does not allow the server that sent it"),
    "dmarc": N_("{by} found that it fails DMARC"),
    "dkim-pass-unaligned": N_("it is signed by {domain}, not by {from_domain}"),
    "spf-pass-unaligned": N_("it was sent for {domain}, not for {from_domain}"),
    "trusted-verdict-unaligned": N_("{by} found a proof for {domain} only"),
    "trusted-verdict": N_("{by} found {method} {result}"),
    "trusted-without-domain": N_("{by} found {method} {result}"),
    "dkim-sha1": N_("its DKIM signature uses SHA-1, which can be forged"),
    "dkim-body-changed": N_("its text was changed after it was signed"),
    "dkim-header-changed": N_("its DKIM signature does not hold"),
    "dkim-key-missing": N_("the key of its DKIM signature, {selector}._domainkey.{domain}, is not published"),
    "dkim-key-revoked": N_("the key of its DKIM signature, {selector}._domainkey.{domain}, was withdrawn"),
    "dkim-key-weak": N_("the key of its DKIM signature has only {bits} bits"),
    "dkim-expired": N_("its DKIM signature was valid until {date}"),
    "dkim-in-future": N_("its DKIM signature is dated in the future"),
    "spf-fail": N_("the SPF record of {domain} forbids the server {ip}"),
    "spf-softfail": N_("the SPF record of {domain} does not list the server {ip}"),
    "spf-record-wrong": N_("the SPF record of {domain} cannot be evaluated"),
}


def _held(case: _Case) -> Judgement:
    """Nothing speaks for the sender and nothing against: a person decides."""
    for check in case.checks:
        if check.result == "softfail":
            return case.verdict(
                "hold", "auth-softfail", **{key: check.params.get(key, "") for key in ("domain", "ip", "mechanism")}
            )
        if check.reason == "trusted-without-domain":
            return case.verdict("hold", "auth-verdict-without-domain", by=check.by)
    spf_left_out = any(check.reason == "spf-not-checked" for check in case.checks)
    if case.from_mailbox:
        return case.verdict("hold", "auth-client-not-given" if case.envelope.source == "explain" and spf_left_out else "auth-mailbox-unproved")
    if spf_left_out and case.envelope.source in ("smtp", "lmtp"):
        return case.verdict("hold", "auth-relay-unreadable")
    if case.spf_known and all(check.result == "none" for check in case.checks):
        return case.verdict("hold", "auth-nothing-published")
    return case.verdict("hold", "auth-not-provable")
