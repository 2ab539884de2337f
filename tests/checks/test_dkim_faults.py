"""What dkimpy 1.1.8 lets through or trips over, each fault beside its mend: first the stock library, then ours."""

from __future__ import annotations

import base64
import datetime as dt
import inspect
import threading
import time
from collections.abc import Callable
from unittest import mock

import dkim as dkimpy
import pytest
from dkim import canonicalization as stock_ways
from hypothesis import given, settings
from hypothesis import strategies as st

from core.dns import Zone
from core.types import DnsTrouble, Envelope, Identity, Mailbox, Message
from plugins.checks import dkim
from tests.judging import NOW, decide
from tests.mailmaker import SIGNED, Signer, make_mail, spare_signer

DOMAIN = "sales.example"


def stock(raw: bytes, signer: Signer, index: int = 0) -> bool:
    return dkimpy.DKIM(raw).verify(idx=index, dnsfunc=lambda name, timeout=5: signer.record.encode())


def ours(
    raw: bytes, signer: Signer, *, now: dt.datetime = NOW, dns: dict | None = None, source: str = "smtp"
) -> list[tuple[str, str]]:
    message = Message(raw, Identity(Mailbox("Ana", f"ana@{DOMAIN}")))
    return [(found.result, found.reason) for found in dkim.check(message, Envelope(source), Zone(dns or signer.dns), now)]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer(DOMAIN)


def with_record(signer: Signer, tags: str) -> Signer:
    """The same key, published with other tags."""
    other = Signer.__new__(Signer)
    other.__dict__.update(signer.__dict__)
    other.record = signer.record.replace("; p=", f"; {tags}; p=")
    return other


# --- what is lost ---------------------------------------------------------------------------------------------------


def test_a_dead_dns_is_trouble_and_no_failure(signer: Signer) -> None:
    raw = signer.sign(make_mail())

    def dead(name: bytes, timeout: float = 5) -> bytes:
        raise dkimpy.DnsTimeoutError("dead")

    assert dkimpy.DKIM(raw).verify(dnsfunc=dead) is False
    assert ours(raw, signer, dns={signer.name: "SERVFAIL"}) == [("temperror", "dkim-dns-trouble")]
    assert ours(raw, signer, dns={signer.name: {"TXT": "TIMEOUT"}}) == [("temperror", "dkim-dns-trouble")]


def test_every_kind_of_no_has_its_own_word(signer: Signer) -> None:
    plain, signed = make_mail(), signer.sign(make_mail())
    assert stock(plain, signer) is stock(signer.sign(plain, break_signature=True), signer) is stock(signed, signer, 5) is False
    assert dkimpy.DKIM(signed).verify(dnsfunc=lambda name, timeout=5: None) is False
    assert ours(plain, signer) == [("none", "dkim-none")]
    assert ours(signer.sign(plain, break_signature=True), signer) == [("fail", "dkim-header-changed")]
    assert ours(signed + b"more\r\n", signer) == [("fail", "dkim-body-changed")]
    assert ours(signed, signer, dns={"x.example": {}}) == [("permerror", "dkim-key-missing")]
    assert ours(signed, signer, dns={signer.name: {"TXT": ["v=DKIM1; k=rsa; p="]}}) == [("permerror", "dkim-key-revoked")]


def test_a_foreign_signature_above_does_not_hide_the_senders_own(signer: Signer) -> None:
    foreign = spare_signer("mailer.example")
    raw = foreign.sign(signer.sign(make_mail()), break_signature=True)
    assert dkimpy.verify(raw, dnsfunc=lambda name, timeout=5: foreign.record.encode()) is False
    assert ours(raw, signer, dns=signer.dns | foreign.dns) == [("pass", "dkim-pass"), ("fail", "dkim-header-changed")]


# --- what is let through --------------------------------------------------------------------------------------------


def test_a_signature_must_cover_the_from_field(signer: Signer) -> None:
    raw = signer.sign(make_mail(), headers=("To", "Subject"))
    changed = raw.replace(b"Ana <ana@", b"Ceo <ceo@")
    assert stock(changed, signer) is True
    assert ours(changed, signer) == [("permerror", "dkim-from-unsigned")]


def test_a_length_tag_shows_what_it_leaves_open(signer: Signer) -> None:
    mail = make_mail(body="Hello\r\n")
    raw = signer.sign(mail, length=7) + b"and buy this\r\n"
    assert stock(raw, signer) is True
    assert ours(raw, signer) == [("policy", "dkim-partly-signed")]
    assert ours(signer.sign(mail, length=7), signer) == [("pass", "dkim-pass")]
    assert ours(signer.sign(mail, length=0), signer) == [("none", "dkim-nothing-signed")]
    assert ours(signer.sign(mail, tags={"l": "8"}), signer) == [("permerror", "dkim-tags-wrong")]


def test_sha1_never_counts(signer: Signer) -> None:
    raw = signer.sign(make_mail(), hash_name="sha1")
    assert stock(raw, signer) is True
    assert ours(raw, signer) == [("pass", "dkim-sha1")]
    judged = decide(raw, signer.dns, client_ip=None)
    assert (judged.decision, judged.checks[0].aligned) == ("reject", False)


@pytest.mark.parametrize("seconds, word", [(-7200, "dkim-expired"), (-300, "dkim-pass"), (300, "dkim-pass")])
def test_an_expired_signature_is_over_after_ten_minutes(signer: Signer, seconds: int, word: str) -> None:
    now = int(time.time())
    raw = signer.sign(make_mail(), tags={"t": str(now - 90_000), "x": str(now + seconds)})
    assert stock(raw, signer) is True
    assert [reason for _, reason in ours(raw, signer, now=dt.datetime.fromtimestamp(now, dt.UTC))] == [word]


def test_a_signature_from_the_future_does_not_count(signer: Signer) -> None:
    now = int(time.time())
    raw = signer.sign(make_mail(), tags={"t": str(now + 7200)})
    assert stock(raw, signer) is True
    assert ours(raw, signer, now=dt.datetime.fromtimestamp(now, dt.UTC)) == [("fail", "dkim-in-future")]


def test_a_mail_does_not_expire_in_a_mailbox(signer: Signer) -> None:
    arrived = int(NOW.timestamp()) - 86_400
    raw = signer.sign(make_mail(), tags={"t": str(arrived - 60), "x": str(arrived + 60)})
    message = Message(raw, Identity(Mailbox(None, f"ana@{DOMAIN}")))
    kept = Envelope("imap", received_at=dt.datetime.fromtimestamp(arrived, dt.UTC))
    assert dkim.check(message, kept, Zone(signer.dns), NOW)[0].result == "pass"
    assert dkim.check(message, Envelope("smtp", received_at=kept.received_at), Zone(signer.dns), NOW)[0].reason == "dkim-expired"


def test_a_strict_key_does_not_sign_for_subdomains(signer: Signer) -> None:
    strict = with_record(signer, "t=y:s")
    raw = strict.sign(make_mail(), tags={"i": f"ana@eu.{DOMAIN}"})
    assert stock(raw, strict) is True
    assert ours(raw, strict) == [("permerror", "dkim-key-strict")]
    assert ours(strict.sign(make_mail(), tags={"i": f"ana@{DOMAIN}"}), strict) == [("pass", "dkim-pass")]


def test_a_key_names_its_digests(signer: Signer) -> None:
    sha1_only = with_record(signer, "h=sha1")
    raw = sha1_only.sign(make_mail())
    assert stock(raw, sha1_only) is True
    assert ours(raw, sha1_only) == [("permerror", "dkim-key-wrong")]
    assert ours(raw, with_record(signer, "h=sha1:SHA256")) == [("pass", "dkim-pass")]


@pytest.mark.parametrize("suffix", ["co.uk", "onmicrosoft.com"])
def test_a_public_suffix_signs_for_nobody(suffix: str) -> None:
    signer = spare_signer(suffix)
    raw = signer.sign(make_mail(f"Ana <ana@firm.{suffix}>"))
    assert stock(raw, signer) is True
    judged = decide(raw, signer.dns, client_ip=None)
    assert (judged.decision, judged.checks[0].result, judged.checks[0].aligned) == ("reject", "pass", False)


@pytest.mark.parametrize(
    "field", ["Subject: pay now", "Date: Mon, 1 Jan 2001 00:00:00 +0000", "To: x@x.example", "Message-ID: <x@x>"]
)
def test_a_field_put_on_top_of_a_signed_one_holds_the_mail(signer: Signer, field: str) -> None:
    raw = field.encode() + b"\r\n" + signer.sign(make_mail())
    assert stock(raw, signer) is True
    assert (decide(raw, signer.dns).decision, decide(raw, signer.dns).reason) == ("hold", "duplicate-header")


@pytest.mark.parametrize("where", ["top", "bottom"])
def test_a_second_from_field_breaks_the_signature(signer: Signer, where: str) -> None:
    raw = signer.sign(make_mail())
    extra = b"From: ceo@sales.example\r\n"
    raw = extra + raw if where == "top" else raw.replace(b"\r\n\r\n", b"\r\n" + extra + b"\r\n", 1)
    assert ours(raw, signer) == [("fail", "dkim-header-changed")]
    assert decide(raw, signer.dns).reason == "multiple-from"


def test_two_keys_at_one_selector_are_no_key(signer: Signer) -> None:
    raw = signer.sign(make_mail())
    several = {signer.name: {"TXT": [signer.record, "v=DKIM1; p=AAAA"]}}
    assert stock(raw, signer) is True
    assert ours(raw, signer, dns=several) == [("permerror", "dkim-key-several")]


# --- what is refused although it is good ----------------------------------------------------------------------------


def test_a_key_may_serve_several_uses(signer: Signer) -> None:
    shared = with_record(signer, "s=email:tlsrpt")
    raw = shared.sign(make_mail())
    with pytest.raises(dkimpy.UnknownKeyTypeError):
        stock(raw, shared)
    assert ours(raw, shared) == [("pass", "dkim-pass")]
    assert ours(raw, with_record(signer, "s=tlsrpt")) == [("permerror", "dkim-key-other-use")]


@pytest.mark.parametrize(
    "tags",
    [
        {"q": "web/xml:dns/txt"},
        {"i": f"=61na@{DOMAIN}"},
        {"i": f"ana=40home@{DOMAIN}"},
        {"a": "RSA-SHA256"},
        {"c": "Relaxed/RELAXED"},
    ],
)
def test_spellings_that_the_standard_allows_hold(signer: Signer, tags: dict[str, str]) -> None:
    assert ours(signer.sign(make_mail(), tags=tags), signer) == [("pass", "dkim-pass")]


@pytest.mark.parametrize("tags", [{"q": "web/xml:dns/txt"}, {"a": "RSA-SHA256"}, {"c": "Relaxed/RELAXED"}])
def test_the_stock_library_refuses_such_spellings(signer: Signer, tags: dict[str, str]) -> None:
    with pytest.raises(dkimpy.DKIMException):
        stock(signer.sign(make_mail(), tags=tags), signer)


def test_a_blank_before_a_colon_leaves_the_signature_out_and_spf_in(signer: Signer) -> None:
    raw = signer.sign(make_mail()).replace(b"Subject:", b"Subject :")
    with pytest.raises(dkimpy.MessageFormatError):
        stock(raw, signer)
    assert ours(raw, signer) == [("none", "dkim-header-odd")]
    assert decide(raw, signer.dns | {DOMAIN: {"TXT": ["v=spf1 ip4:192.0.2.10 -all"]}}).reason == "aligned-spf"


# --- what makes it stumble ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "front, fault",
    [
        (b" x\r\n", IndexError),
        (b"\xef\xbb\xbf", dkimpy.MessageFormatError),
        (b">From a b\r\n", dkimpy.MessageFormatError),
        (b"no colon\r\n", dkimpy.MessageFormatError),
    ],
)
def test_a_malformed_header_is_a_permanent_error(signer: Signer, front: bytes, fault: type[Exception]) -> None:
    raw = front + signer.sign(make_mail())
    with pytest.raises(fault):
        stock(raw, signer)
    assert ours(raw, signer) == [("permerror", "dkim-header-malformed")] or front == b"\xef\xbb\xbf"


def test_a_byte_order_mark_before_the_signature_hides_it(signer: Signer) -> None:
    assert ours(b"\xef\xbb\xbf" + signer.sign(make_mail()), signer) == [("none", "dkim-none")]
    assert ours(b"\xef\xbb\xbfX: y\r\n" + signer.sign(make_mail()), signer) == [("permerror", "dkim-header-malformed")]


@pytest.mark.parametrize("tags, fault", [({"i": DOMAIN}, IndexError), ({"l": ""}, ValueError)])
def test_tags_that_make_the_stock_library_crash(signer: Signer, tags: dict[str, str], fault: type[Exception]) -> None:
    raw = signer.sign(make_mail(), tags=tags)
    with pytest.raises(fault):
        stock(raw, signer)
    assert ours(raw, signer) == [("permerror", "dkim-tags-wrong")]


def test_an_ed25519_signature_of_the_wrong_size_just_fails() -> None:
    signer = Signer(DOMAIN, algorithm="ed25519")
    raw = signer.sign(make_mail())
    head, _, rest = raw.partition(b"; b=")
    raw = head + b"; b=" + base64.b64encode(b"short") + b"\r\n" + rest.partition(b"\r\n")[2]
    with pytest.raises(ValueError):
        stock(raw, signer)
    assert ours(raw, signer) == [("fail", "dkim-header-changed")]


@given(st.binary(max_size=300), st.integers(0, 3))
def test_no_signature_field_makes_the_check_raise(value: bytes, place: int) -> None:
    signer = spare_signer(DOMAIN, "ed25519")
    good = signer.sign(make_mail())
    raw = [b"DKIM-Signature:" + value + b"\r\n" + good, good[:40] + value + good[40:], value + good, good[: -len(value) or None]][
        place
    ]
    for result, reason in ours(raw, signer):
        assert result in ("pass", "fail", "none", "permerror", "policy")
        assert reason


@given(st.binary(max_size=200))
def test_no_key_record_makes_the_check_raise(record: bytes) -> None:
    signer = spare_signer(DOMAIN)
    raw = signer.sign(make_mail())
    for text in (
        record,
        b"v=DKIM1; p=" + record,
        b"v=DKIM1; p=" + base64.b64encode(record),
        b"v=DKIM1; k=ed25519; p=" + base64.b64encode(record),
    ):
        assert ours(raw, signer, dns={signer.name: {"TXT": [text]}})[0][0] in ("permerror", "fail")


# --- keys -----------------------------------------------------------------------------------------------------------


def test_short_keys_are_refused_by_both() -> None:
    signer = Signer(DOMAIN, bits=1024)
    raw = signer.sign(make_mail())
    assert ours(raw, signer) == [("pass", "dkim-pass")]
    short = with_record(signer, "x=y")
    short.record = f"v=DKIM1; p={base64.b64encode(der_key((1 << 767) | 1, 65537)).decode()}"
    assert ours(raw, short) == [("permerror", "dkim-key-weak")]


@pytest.mark.parametrize("bits, exponent", [(5000, 65537), (2048, 2**33 + 1), (16384, 2**4096 + 1)])
def test_huge_keys_are_refused_before_any_arithmetic(signer: Signer, bits: int, exponent: int) -> None:
    raw = signer.sign(make_mail())
    huge = with_record(signer, "x=y")
    huge.record = f"v=DKIM1; p={base64.b64encode(der_key((1 << bits - 1) | 1, exponent)).decode()}"
    if exponent == 65537:
        verifier = dkimpy.DKIM(raw)
        assert verifier.verify(dnsfunc=lambda name, timeout=5: huge.record.encode()) is False
        assert verifier.keysize == bits, "the stock library computes with whatever it is given"
    assert ours(raw, huge)[0] in (("permerror", "dkim-key-huge"), ("permerror", "dkim-key-wrong"))


def der_key(modulus: int, exponent: int) -> bytes:
    """A bare RSAPublicKey."""

    def element(tag: int, content: bytes) -> bytes:
        size = len(content)
        length = (
            bytes([size])
            if size < 128
            else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
        )
        return bytes([tag]) + length + content

    numbers = [number.to_bytes(number.bit_length() // 8 + 1, "big") for number in (modulus, exponent)]
    return element(0x30, b"".join(element(0x02, number) for number in numbers))


# --- what it costs --------------------------------------------------------------------------------------------------


def stock_relaxed(body: bytes) -> bytes:
    """dkimpy's own relaxed canonicalisation, from its source."""
    stripped = stock_ways.compress_whitespace(stock_ways.strip_trailing_whitespace(body))
    return stock_ways.correct_empty_body(stock_ways.strip_trailing_lines(stripped))


PIECES = st.lists(st.sampled_from([b" ", b"  ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"bc.", b"\xff", b"\0"]), max_size=60)


@settings(max_examples=1500)
@given(PIECES)
def test_the_canonical_bodies_are_those_of_the_stock_library(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    parsed = dkimpy.rfc822_parse(b"a: b\r\n\r\n" + body)[1]
    for block in (dkim._BLOCK, 3):
        with mock.patch.object(dkim, "_BLOCK", block):
            assert dkim.relaxed_body(body) == stock_relaxed(parsed)
            assert dkim.simple_body(body) == stock_ways.strip_trailing_lines(parsed)
    assert dkim.with_crlf(body) == parsed


def test_the_stock_canonicaliser_is_still_the_one_that_was_compared() -> None:
    source = inspect.getsource(stock_ways)
    for line in ('re.sub(b"[\\t ]+\\r\\n", b"\\r\\n", content)', 're.sub(b"[\\t ]+", b" ", content)', "while content.endswith"):
        assert line in source


def seconds(work: Callable[[], object]) -> float:
    best = 9e9
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return max(best, 1e-6)


def test_blank_runs_cost_linear_time() -> None:
    def stock_growth(size: int) -> float:
        return seconds(lambda: stock_relaxed(b" " * size + b"x"))

    assert stock_growth(8_000) / stock_growth(2_000) > 7, "the stock library got better: the mend may go"
    lines = [seconds(lambda size=size: dkim.relaxed_body(b" " * size + b"x")) for size in (1_000_000, 4_000_000)]
    assert lines[1] / lines[0] < 10
    tails = [seconds(lambda size=size: dkim.simple_body(b"\r\n" * size)) for size in (1_000_000, 4_000_000)]
    assert tails[1] / tails[0] < 10
    assert seconds(lambda: stock_ways.strip_trailing_lines(b"\r\n" * 1_000_000)) / tails[0] > 3


def test_folds_in_the_signature_cost_linear_time() -> None:
    def value(folds: int) -> bytes:
        return b" v=1; b=" + b"\r\n " * folds + b"; d=a.example\r\n"

    stock_times = [seconds(lambda folds=folds: dkimpy.RE_BTAG.sub(b"\\1", value(folds))) for folds in (500, 2_000)]
    ours_times = [seconds(lambda folds=folds: dkim.without_b(value(folds))) for folds in (20_000, 80_000)]
    assert stock_times[1] / stock_times[0] > 7
    assert ours_times[1] / ours_times[0] < 10


def test_at_most_eight_signatures_are_judged_and_the_body_is_read_once(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = make_mail()
    own = signer.sign(raw)
    strangers = [spare_signer("x.example", "ed25519").sign(raw).removesuffix(raw)] * 40
    bodies, asked = [], []
    monkeypatch.setattr(dkim, "canonical_body", lambda *where, real=dkim.canonical_body: (bodies.append(1), real(*where))[1])

    class Counting(Zone):
        def txt(self, name: str) -> list[bytes]:
            asked.append(name)
            return super().txt(name)

    message = Message(b"".join(strangers) + own, Identity(Mailbox(None, f"ana@{DOMAIN}")))
    dns = Counting(signer.dns | spare_signer("x.example", "ed25519").dns)
    found = dkim.check(message, Envelope("smtp"), dns, NOW)
    assert (found[0].domain, found[0].result) == (DOMAIN, "pass"), "the sender's own signature comes first"
    assert [one.reason for one in found].count("dkim-pass") == 8
    assert found[-1].reason == "dkim-too-many"
    assert (len(bodies), len(asked)) == (1, 8)


def test_a_thousand_signatures_are_bounded(corpora) -> None:
    raw = (corpora / "hostile/eml/dkim_1000.eml").read_bytes()
    asked: list[str] = []

    class Counting(Zone):
        def txt(self, name: str) -> list[bytes]:
            asked.append(name)
            raise DnsTrouble("dead")

    found = dkim.check(Message(raw, Identity(Mailbox(None, "rep@sender.example"))), Envelope("smtp"), Counting(), NOW)
    assert len(asked) <= 8
    assert len(found) <= 9


def test_signatures_are_judged_as_the_stock_library_judges_them() -> None:
    """Good mails and mails spoilt at one place: the same yes or no, in every canonicalisation and both algorithms."""
    for algorithm in ("rsa", "ed25519"):
        signer = spare_signer(DOMAIN, algorithm)
        for canonical in ("relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed", "relaxed", "simple"):
            raw = signer.sign(
                make_mail(body="a  b \t\r\n\r\n  c\r\n\r\n\r\n", headers=("X-A: one\r\n two",)),
                canonical=canonical,
                headers=(*SIGNED, "X-A"),
            )
            spoilt = [
                raw,
                raw.replace(b"a  b", b"a b"),
                raw.replace(b"one\r\n two", b"one two"),
                raw + b"\r\n\r\n",
                raw + b"x",
                raw.replace(b"To: Bo", b"To: bo"),
            ]
            spoilt += [raw.replace(b"\r\n", b"\n"), raw.replace(b"Subject", b"SUBJECT"), raw.replace(b"Subject: ", b"Subject:   ")]
            for mail in spoilt:
                try:
                    wanted = stock(mail, signer)
                except dkimpy.ValidationError:
                    wanted = False
                assert (ours(mail, signer)[0][0] == "pass") is wanted, (algorithm, canonical, mail)


def test_threads_do_not_disturb_each_other() -> None:
    signer = spare_signer(DOMAIN)
    good = signer.sign(make_mail())
    spoilt = [good + b"x", good.replace(b"Ten chairs", b"Two chairs")]
    wrong: list[tuple[int, str]] = []

    def work() -> None:
        for number in range(60):
            mail = spoilt[number % 2] if number % 3 == 0 else good
            found = ours(mail, signer)[0][0]
            if (found == "pass") is (number % 3 == 0):
                wrong.append((number, found))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    "body",
    [
        b" " * 2_000_000,
        b"\r\n" * 1_000_000,
        (b" " * 990 + b"\r\n") * 2_000,
        b"\t \t" * 700_000 + b"x",
        b"\r" * 2_000_000,
        b"\n" * 2_000_000,
        b"x" * 2_000_000,
    ],
    ids=["blanks", "empty lines", "long blank lines", "tabs", "bare CR", "bare LF", "one line"],
)
def test_eight_signatures_over_hostile_megabytes_cost_little_more_than_over_plain_ones(body: bytes) -> None:
    """With a valid key and eight different l=, so that nothing may be skipped."""
    signer = spare_signer(DOMAIN, "ed25519")
    prefix = b"".join(
        signer.sign(make_mail(), tags={"l": str(number)}).partition(b"\r\nFrom:")[0] + b"\r\n" for number in range(1000, 1008)
    )
    plain = b"The ten chairs are ready, and the table follows on Monday.\r\n" * 34_000

    def check(text: bytes) -> None:
        assert len(ours(prefix + make_mail(body=text), signer)) == 8

    assert seconds(lambda: check(body)) < 12 * seconds(lambda: check(plain))
