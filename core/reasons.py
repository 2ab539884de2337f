"""Every reason code once, with its sentence and its remedy.

Code compares the codes; people read the sentences. A sentence is a full one, may hold `{named}` parameters, and is
translatable: `N_` marks it for the catalogue, `sentence()` renders it with the reader's own gettext.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Gettext = Callable[[str], str]


def N_(text: str) -> str:
    """Mark a text for the catalogue without translating it here."""
    return text


@dataclass(frozen=True, slots=True)
class Reason:
    code: str
    sentence: str
    remedy: str = ""


class _Gaps(dict[str, Any]):
    """A parameter that is missing shows as an ellipsis: a sentence never raises."""

    def __missing__(self, key: str) -> str:
        return "…"


REASONS: dict[str, Reason] = {}


def reason(code: str, text: str, remedy: str = "") -> str:
    """Enter a reason code; gives the code back, so that modules may name it as a constant."""
    if code in REASONS:
        raise ValueError(f"the reason code {code} is entered twice")
    REASONS[code] = Reason(code, text, remedy)
    return code


def sentence(code: str, params: Mapping[str, Any] | None = None, gettext: Gettext = str) -> str:
    """The sentence of a code with its parameters, in the reader's language. An unknown code reads as itself."""
    known = REASONS.get(code)
    if known is None:
        return code
    return filled(gettext(known.sentence), _spoken(params or {}, gettext))


# What a parameter named `kind` may be: of a record, and of a mail that a machine wrote.
_KINDS = frozenset(
    (
        N_("deal"), N_("lead"), N_("project"), N_("contact"), N_("organisation"),
        N_("bounce"), N_("report"), N_("auto-reply"), N_("auto-generated"), N_("list"), N_("bulk"),
    )
)  # fmt: skip


def _spoken(params: Mapping[str, Any], gettext: Gettext) -> Mapping[str, Any]:
    """The parameters with the word for a kind, and with the clause `detail`, in the reader's language.

    A clause with gaps of its own comes with `detail_of`, its text, and `detail_NAME` for each gap; programs read `detail`.
    """
    spoken = dict(params)
    kind, clause = params.get("kind"), params.get("detail")
    if isinstance(kind, str) and kind in _KINDS:
        spoken["kind"] = gettext(kind)
    if params.get("detail_of"):
        gaps = {name.removeprefix("detail_"): value for name, value in params.items() if name.startswith("detail_")}
        spoken["detail"] = filled(gettext(str(params["detail_of"])), gaps)
    elif clause and isinstance(clause, str):
        spoken["detail"] = gettext(clause)
    return spoken


def filled(text: str, params: Mapping[str, Any]) -> str:
    """The text with its {named} gaps filled; what is missing shows as an ellipsis."""
    return text.format_map(_Gaps(params))


def remedy(code: str, params: Mapping[str, Any] | None = None, gettext: Gettext = str) -> str:
    """What the reader can do about it; "" when there is nothing to do."""
    known = REASONS.get(code)
    if known is None or not known.remedy:
        return ""
    return filled(gettext(known.remedy), _spoken(params or {}, gettext))


# --- states and the end of the way --------------------------------------------------------------------------------

reason("received", N_("The mail was received and waits for its turn."))
reason("processing", N_("The mail is being read right now."))
reason("logged", N_("The mail was logged."))
reason("duplicate", N_("This mail was logged before; the first copy is kept and this one's drop addresses were joined to it."))
reason("deleted-before", N_("This mail was logged before and deleted by a person, so it was not logged again."), N_("Restore the deleted message if it is wanted after all."))
reason("dismissed", N_("{who} looked at the mail and put it aside."), N_("Release it, if it should be logged after all."))
reason("removed", N_("A person deleted the mail from the quarantine; its content is gone."))
reason("expired", N_("Nobody decided about the mail within its time, so its content was removed."), N_("Ask the sender to send it again."))
reason("released", N_("{who} released the mail by hand."))

# --- intake -------------------------------------------------------------------------------------------------------

reason("unknown-recipient", N_("{address} is no drop address here."), N_("Copy the address from the settings page and send the mail again."))
reason("too-large", N_("The mail is larger than the limit of {limit}."), N_("Send it with smaller attachments, or ask an admin to raise the limit."))
reason("intake-trouble", N_("The mail could not be kept just now."), N_("The sender's server tries again by itself."))
reason("disk-full", N_("There is not enough room on the disk to keep the mail."), N_("Free some disk space; the sender's server tries again by itself."))

# --- reading ------------------------------------------------------------------------------------------------------

reason("unprocessable", N_("The mail could not be read: reading it failed {attempts} times."), N_("Download the raw mail and look at it; it can be tried again after an upgrade."))
reason("read-timeout", N_("Reading the mail took longer than {seconds} seconds, so it was stopped."), N_("It can be tried again, or downloaded in its raw form."))
reason("read-memory", N_("Reading the mail needed more memory than it may use, so it was stopped."), N_("It can be tried again, or downloaded in its raw form."))
reason("bad-case", N_("The case could not be read: {detail}"), N_("Correct the line and run it again."))
reason("too-complex", N_("The mail is too complex to be read safely ({detail})."), N_("Download the raw mail and look at it."))
reason("read", N_("The mail was read (parts: {parts}, attachments: {attachments})."))

# What was odd in a mail, cut from it, or could not be read (Email.defects; a detail may follow the code after a colon).
reason("attachments-cut", N_("The mail holds too many attachments; {count} are not listed."), N_("Download the raw mail; it holds all of them."))
reason("attachment-dropped", N_("The attachment {file} ({size}) is larger than the limit of {limit}, so the mail was logged without it."), N_("Send it on another way, or ask an admin to raise the limit."))
reason("parts-cut", N_("The mail has too many parts; {count} were not read."), N_("Download the raw mail; it holds all of them."))
reason("participants-cut", N_("The field {field} names too many people; only the first ones are listed."))
reason("originals-cut", N_("The mail holds more attached mails, or more deeply nested ones, than are read."), N_("Download the attached mail to see the rest."))
reason("text-cut", N_("The text is very long; only its beginning is shown."), N_("Download the raw mail to see all of it."))
reason("html-cut", N_("The formatted text is very long; only its beginning is shown."), N_("Download the raw mail to see all of it."))
reason("bad-date", N_("The date of the mail cannot be read, so the time of its arrival counts."))
reason("bad-encoding", N_("A part of the mail is encoded in an unknown or broken way and is shown as it stands."))
reason("boundary-missing", N_("The parts of the mail cannot be told apart, so they are shown as one text."))
reason("no-blank-line", N_("No empty line divides the header of the mail from its text."))
reason("junk-in-header", N_("The header holds lines that are no fields; they were skipped."))
reason("charset-guessed", N_("The mail does not say in which character set it is written; it was guessed."))
reason("charset-replaced", N_("Some characters do not fit the character set of the mail and are shown as replacement signs."))
reason("encrypted", N_("The mail is encrypted, so its text cannot be shown."), N_("Download the attachment and open it with your mail program."))
reason("signed-content", N_("The text of the mail is wrapped in a signature, so it cannot be shown."), N_("Download the attachment and open it with your mail program."))

# --- the sender's identity ----------------------------------------------------------------------------------------

reason("no-from", N_("The mail names no sender in its From field."), N_("Ask the sender to send it again with an ordinary mail client."))
reason("multiple-from", N_("The mail names more than one sender, so nobody can say whose it is."), N_("Send the mail again with a single From address."))
reason("bad-from", N_("The From field cannot be read as one plain address."), N_("Send the mail again with an ordinary From address."))
reason("bare-cr-in-header", N_("The header holds a bare carriage return, which mail programs read in different ways."), N_("Ask the sender to send it again with an ordinary mail client."))
reason("bare-lf-in-header", N_("The header holds a bare line feed, which mail programs read in different ways."), N_("Ask the sender to send it again with an ordinary mail client."))
reason("nul-in-header", N_("The header holds a NUL byte, which mail programs read in different ways."), N_("Ask the sender to send it again with an ordinary mail client."))
reason("duplicate-header", N_("The field {field} stands in the mail more than once, which mail programs read in different ways."), N_("Ask the sender to send it again with an ordinary mail client."))
reason("identity-read", N_("The sender is {address}."))

# --- authentication -----------------------------------------------------------------------------------------------

reason("aligned-dkim", N_("The mail carries a valid DKIM signature of {domain}, which is the sender's own domain."))
reason("aligned-spf", N_("The server that sent the mail is allowed by the SPF record of {domain}, which is the sender's own domain."))
reason("aligned-trusted", N_("{by}, which this company trusts, found that the mail passed {method} for {domain}, which is the sender's own domain."))
reason("auth-rejected", N_("The mail could not prove that it comes from {domain}: {detail}."), N_("If it is genuine, publish the DNS record shown, or ask an admin to release the mail."))
reason("dmarc-enforced", N_("{domain} asks for mail without a proof to be refused (DMARC), and this mail has none."), N_("Sign the mail with a DKIM key of {domain}, or send it through a server that the SPF record of {domain} allows."))
reason("auth-nothing-published", N_("{domain} publishes neither a DKIM signature nor an SPF record for this mail, so nobody can say who sent it."), N_("Publish an SPF record for {domain}, or switch on DKIM signing at your mail provider; an admin can release this mail."))
reason("auth-not-provable", N_("Nothing in the mail proves or disproves that it comes from {domain}."), N_("An admin can release the mail after a look at it."))
reason("auth-mailbox-unproved", N_("The mail was fetched from a mailbox, and neither a DKIM signature of {domain} nor a trusted server's findings prove its sender."), N_("Enter the name (authserv-id) that your mail server writes into Authentication-Results under the trusted servers, or switch on DKIM signing for {domain}; an admin can release this mail."))
reason("auth-client-not-given", N_("No client address was given, so SPF was not looked at, and neither a DKIM signature of {domain} nor a trusted server's findings prove the sender."), N_("Name the server that handed the mail over with --client-ip (client_ip in a case), and the return path with --mail-from (mail_from)."))
reason("auth-relay-unreadable", N_("The mail came through a trusted relay whose Received fields do not tell who sent it, and it is not signed by {domain}."), N_("Check that all relays of your company are listed in the trusted networks, or switch on DKIM signing for {domain}; an admin can release this mail."))
reason("auth-verdict-without-domain", N_("{by} says that the mail passed, but not for which domain, so that proves nothing about {domain}."), N_("Let the provider send the raw mail, which can be checked here; an admin can release this mail."))
reason("auth-softfail", N_("The SPF record of {domain} does not quite allow the server {ip} that sent the mail, and the settings hold such mail."), N_("Add {mechanism} to the SPF record of {domain}, or release the mail."))
reason("auth-partly-signed", N_("The DKIM signature of {domain} covers only a part of the mail, so text may have been added to it."), N_("Switch off the length tag (l=) where the mail is signed; an admin can release this mail."))
reason("auth-dns-trouble", N_("The DNS of {domain} did not answer, so the mail waits and is checked again."), N_("Nothing needs to be done; it is tried again by itself."))
reason("auth-dns-gave-up", N_("The DNS of {domain} did not answer for a long time, so the mail could not be checked."), N_("Try it again when the DNS works, or release the mail."))
reason("auth-null-sender", N_("The mail was sent by a mail system (empty return path), not by a person."))

# --- single findings of the checks, with the DNS record that would mend them --------------------------------------

reason("check-failed", N_("The check {method} failed here, so the mail waits and is checked again."), N_("Look at the plugin page for the error; the mail is tried again by itself."))
reason("dkim-pass", N_("The DKIM signature of {domain} holds."))
reason("dkim-pass-unaligned", N_("The DKIM signature of {domain} holds, but that is not the sender's domain {from_domain}."), N_("Let the mail provider sign with d={from_domain}: switch on DKIM for {from_domain} there and publish the TXT record it shows, named SELECTOR._domainkey.{from_domain}."))
reason("dkim-pass-pinned", N_("The DKIM signature of {domain} holds, and an admin has accepted that signer for {from_domain}."))
reason("dkim-none", N_("The mail carries no DKIM signature."), N_("Switch on DKIM for {from_domain} at your mail provider and publish the TXT record it shows, named SELECTOR._domainkey.{from_domain}."))
reason("dkim-body-changed", N_("The text of the mail was changed after {domain} signed it."), N_("Look for a mailing list, a virus scanner or a footer that changes mail on its way."))
reason("dkim-header-changed", N_("The DKIM signature of {domain} does not hold: a signed header field was changed, or the key is not the one that signed."), N_("Compare the TXT record {selector}._domainkey.{domain} with the one that your mail provider shows."))
reason("dkim-key-missing", N_("The key of the DKIM signature is not published: there is no TXT record {selector}._domainkey.{domain}."), N_("Publish the TXT record {selector}._domainkey.{domain} with the value that your mail provider shows: v=DKIM1; k=rsa; p=…"))
reason("dkim-key-several", N_("There are several TXT records {selector}._domainkey.{domain}, so nobody can say which key counts."), N_("Leave one TXT record at {selector}._domainkey.{domain}."))
reason("dkim-key-revoked", N_("{domain} has withdrawn the key {selector} with which the mail was signed."), N_("Sign with a current key, or publish the key again in the TXT record {selector}._domainkey.{domain}."))
reason("dkim-key-weak", N_("The key {selector} of {domain} has only {bits} bits, which can be broken."), N_("Make a key of 2048 bits and publish it in the TXT record {selector}._domainkey.{domain}."))
reason("dkim-key-huge", N_("The key {selector} of {domain} is larger than is checked here ({bits} bits)."), N_("Make a key of 2048 bits and publish it in the TXT record {selector}._domainkey.{domain}."))
reason("dkim-key-wrong", N_("The TXT record {selector}._domainkey.{domain} cannot be used: {detail}."), N_("Publish the TXT record {selector}._domainkey.{domain} exactly as your mail provider shows it: v=DKIM1; k=rsa; p=…"))
reason("dkim-key-other-use", N_("The key {selector} of {domain} is not meant for mail."), N_("Remove the tag s= from the TXT record {selector}._domainkey.{domain}, or set it to s=email."))
reason("dkim-key-strict", N_("The key {selector} of {domain} does not allow signing for subdomains (t=s)."), N_("Remove t=s from the TXT record {selector}._domainkey.{domain}, or sign with i=@{domain}."))
reason("dkim-sha1", N_("The DKIM signature of {domain} uses SHA-1, which can be forged and does not count."), N_("Let the mail be signed with rsa-sha256."))
reason("dkim-expired", N_("The DKIM signature of {domain} was valid until {date}."), N_("Send the mail again, or sign with a later x=."))
reason("dkim-in-future", N_("The DKIM signature of {domain} is dated {date}, which is in the future."), N_("Set the clock of the signing server."))
reason("dkim-from-unsigned", N_("The DKIM signature of {domain} does not cover the From field, so anybody could have changed the sender."), N_("Let the signing server sign the From field (h=from)."))
reason("dkim-tags-wrong", N_("The DKIM signature of {domain} cannot be read: {detail}."), N_("Look at the settings of the signing server."))
reason("dkim-partly-signed", N_("The DKIM signature of {domain} covers only the beginning of the mail (l=), so text may have been added."), N_("Switch off the length tag (l=) where the mail is signed."))
reason("dkim-nothing-signed", N_("The DKIM signature of {domain} covers nothing of the text (l=0), so it counts as none."), N_("Switch off the length tag (l=) where the mail is signed."))
reason("dkim-too-many", N_("The mail carries {count} DKIM signatures; {limit} were checked."))
reason("dkim-header-malformed", N_("The header of the mail is malformed, so no signature can be checked."), N_("Ask the sender to send it again with an ordinary mail client."))
reason("dkim-header-odd", N_("A header field has blanks before its colon, so no signature is checked."), N_("Ask the sender to send it again with an ordinary mail client."))
reason("dkim-dns-trouble", N_("The DNS did not answer when asked for the key {selector}._domainkey.{domain}."), N_("Nothing needs to be done; it is tried again by itself."))

reason("spf-pass", N_("The SPF record of {domain} allows the server {ip}."))
reason("spf-pass-unaligned", N_("The SPF record of {domain} allows the server {ip}, but that is not the sender's domain {from_domain}."), N_("Use an address of {from_domain} as return path, or let the mail be signed with DKIM for {from_domain}."))
reason("spf-fail", N_("The SPF record of {domain} forbids the server {ip}."), N_("If this server sends for you, put {mechanism} into the TXT record of {domain} that begins with v=spf1, before its last word."))
reason("spf-softfail", N_("The SPF record of {domain} does not list the server {ip} and calls it suspicious."), N_("If this server sends for you, put {mechanism} into the TXT record of {domain} that begins with v=spf1, before its last word."))
reason("spf-neutral", N_("The SPF record of {domain} says nothing about the server {ip}."), N_("If this server sends for you, put {mechanism} into the TXT record of {domain} that begins with v=spf1, before its last word."))
reason("spf-none", N_("{domain} publishes no SPF record."), N_("Publish this TXT record at {domain}: v=spf1 {mechanism} ~all"))
reason("spf-record-wrong", N_("The SPF record of {domain} is wrong and cannot be evaluated."), N_("Mend the TXT record of {domain} that begins with v=spf1: there may be one only, with at most ten look-ups; for this server it needs {mechanism}."))
reason("spf-dns-trouble", N_("The DNS did not answer when asked for the SPF record of {domain}."), N_("Nothing needs to be done; it is tried again by itself."))
reason("spf-not-checked", N_("SPF was not checked, because the server that sent the mail is not known for certain."))

reason("trusted-verdict", N_("{by} found {method} {result} for {domain}."))
reason("trusted-verdict-unaligned", N_("{by} found {method} {result} for {domain}, which is not the sender's domain {from_domain}."), N_("Let the mail be signed with DKIM for {from_domain}, or use an address of {from_domain} as return path."))
reason("trusted-without-domain", N_("{by} found {method} {result} without saying for which domain, so it proves nothing."))
reason("arc-pass", N_("The chain of seals (ARC) holds, and its sealer {domain} is trusted."))
reason("arc-not-trusted", N_("The chain of seals (ARC) holds, but its sealer {domain} is not trusted."), N_("An admin can add {domain} to the trusted ARC sealers."))
reason("arc-fail", N_("The chain of seals (ARC) does not hold."))
reason("arc-none", N_("The mail carries no seals (ARC)."))
reason("arc-dns-trouble", N_("The DNS did not answer when asked for the key of an ARC seal."), N_("Nothing needs to be done; it is tried again by itself."))

# --- admit --------------------------------------------------------------------------------------------------------

reason("admitted", N_("The mail came to the drop address {address}."))
reason("no-drop-address", N_("The envelope of the mail names none of our drop addresses."), N_("Check how the mail is delivered: the drop address must be an envelope recipient."))
reason("machine-mail", N_("The mail was made by a machine ({kind}), not written by a person."), N_("An admin or the rep can release it if it should be logged."))
reason("loop", N_("The mail was sent by Dropcopy itself and came back."))
reason("never-log", N_("Everybody the mail was exchanged with is on the never-log list."), N_("An admin can remove the entry from the never-log list and try the mail again, if it should be logged."))
reason("forward-of-own-notice", N_("The forwarded mail came from the drop address {address} itself, so it holds nothing to file."))

# --- attribution --------------------------------------------------------------------------------------------------

reason("connected-address", N_("{address} is a connected personal address of {rep}."))
reason("account-address", N_("{address} is the account address of {rep}."))
reason("alias", N_("{address} is an alias of {rep}."))
reason("longest-connected", N_("Several reps have connected {address}; {rep} connected it first."))
reason("team-address", N_("{address} is a team address that {rep} connected."))
reason("unattributed", N_("No rep could be found for the sender {address}."), N_("Add {address} to a rep's addresses; once it is confirmed, the mail is released."))
reason("unknown-sender", N_("{address} belongs to no rep."), N_("Add {address} to a rep's addresses; once it is confirmed, the mail is released."))
reason("blocked-domain", N_("{address} belongs to no rep, and an admin has blocked strangers of {domain}."), N_("Add {address} to a rep's addresses, or unblock {domain}; then judge the mail once more."))
reason("ambiguous-sender", N_("{address} belongs to several reps and no rule decides between them."), N_("Let one rep connect {address} as a personal address."))
reason("suspended-rep", N_("{address} belongs to {rep}, whose account is suspended."), N_("Reactivate the account and release the mail."))
reason("claimed", N_("{who} claimed the mail as their own."))

# --- forwards -----------------------------------------------------------------------------------------------------

reason("not-a-forward", N_("The mail is not a forward."))
reason("forward-read", N_("The mail forwards what {address} wrote; that sender is claimed, not proved."))
reason("forward-to-others", N_("The mail was forwarded to other people with the drop address in Bcc, so it is filed as the mail that it is."))
reason("forward-unreadable", N_("The forwarded block could not be understood, so nobody was guessed."), N_("Link the thread by hand."))
reason("forward-not-both", N_("Strict mode asks for the forwarded block in both text and HTML, and it stands in one only."), N_("Forward the mail as HTML, or switch strict mode off."))

# --- threads ------------------------------------------------------------------------------------------------------

reason("new-thread", N_("The mail answers nothing that was logged before, so it starts a new thread."))
reason("joined-by-id", N_("The mail names a message of this thread in its References or In-Reply-To."))
reason("joined-by-subject", N_("The mail has the subject and the participants of this thread."))
reason("joined-by-claim", N_("The forwarded mail has the subject, the sender and the date of this thread."))
reason("forward-duplicates-thread", N_("The forwarded mail was logged before, so the forward starts a thread of its own."))
reason("threads-merged", N_("The mail shows that several threads are one conversation, so they were joined."))
reason("threads-related", N_("The mail names messages of other threads too; these stay apart and are shown as related."), N_("They differ in sharing, hold different records, or one was split by hand."))
reason("dedupe-new", N_("The mail was not logged before."))

# --- contacts -----------------------------------------------------------------------------------------------------

reason("contact-known", N_("{address} is a known contact."))
reason("contact-new", N_("{address} was unknown and became a new contact."))
reason("contact-internal", N_("{address} belongs to the company, so it is no contact."))
reason("contact-rep", N_("{address} belongs to a rep, so it is no contact."))
reason("contact-drop-address", N_("{address} is a drop address, so it is no contact."))
reason("more-people", N_("The mail names more people than the {limit} that are looked at; the others are no contacts by it."))
reason("contact-never-log", N_("{address} is on the never-log list, so it is no contact."))
reason("contact-role", N_("{address} is a role or no-reply address, so it is no contact."))
reason("contact-bcc", N_("{address} was in Bcc, so it gets no contact and no entry."))
reason("contact-forward-cc", N_("{address} was only copied on the forwarded mail, so it was not added."))
reason("contact-sender", N_("{address} wrote the mail, so it is no contact of this mail."))
reason("contact-limit", N_("The mail names more people than are taken as contacts ({limit})."))
reason("no-counterparty", N_("The mail names nobody outside the company."))

# --- links --------------------------------------------------------------------------------------------------------

reason("thread-contact", N_("{title} takes part in the thread."))
reason("contact-organisation", N_("{title} is the organisation of {contact}."))
reason("by-address", N_("The mail was sent to the address of this {kind}."))
reason("several-addresses", N_("The mail was sent to the addresses of several records, and a thread holds only one."), N_("Choose one of them."))
reason("only-open", N_("It is the only open record of the thread's contacts."))
reason("only-recipient-open", N_("It is the only open record of any recipient."))
reason("only-open-of-kind", N_("It is the only open {kind} of the thread's contacts."))
reason("several-open", N_("The thread's contacts have several open records, so none was chosen."), N_("Choose one of them."))
reason("recent-open", N_("It is among the {number} most recent open records of {contact}."))
reason("not-recent", N_("It is not among the {number} most recent open records of {contact}."))
reason("not-of-participant", N_("It stands on none of the thread's contacts."))
reason("every-open", N_("It is an open record of the thread's contacts."))
reason("contacts-only", N_("The policy links contacts and organisations only."))
reason("kind-not-linked", N_("The policy does not link records of this kind."))
reason("not-open", N_("It was not open at the time of the mail."), N_("It can be linked by hand."))
reason("created-after-thread", N_("It was created after the thread began."), N_("It can be linked by hand."))
reason("unlinked-by-hand", N_("A person unlinked it before, so no policy brings it back."), N_("It can be linked by hand."))
reason("thread-has-record", N_("The thread already holds a record, and the policy allows only one."), N_("Replace it by hand if this one is right."))
reason("policy-several", N_("The linking policy {policy} chose several records, and a thread holds only one."), N_("Choose one of them."))
reason("not-chosen", N_("The linking policy {policy} did not choose it."), N_("It can be linked by hand."))
reason("automatic-linking-off", N_("{rep} has switched automatic linking off."), N_("Link it by hand, or switch automatic linking on."))
reason("policy-unavailable", N_("The linking policy {policy} failed, so no record was linked."), N_("Look at the plugin page for the error; link by hand meanwhile."))
reason("no-candidates", N_("The thread's contacts have no records."))
reason("more-candidates", N_("{count} more records were considered and not linked."))
reason("linked-by-hand", N_("{who} linked it by hand."))
reason("imported", N_("It was linked by an import."))
reason("needs-choice", N_("No rule could decide which record is right."), N_("Choose one of the candidates."))
