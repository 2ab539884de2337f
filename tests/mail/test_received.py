"""Who handed the mail to our boundary, read from the Received fields of trusted relays only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.received import boundary, read_address, read_hop
from core.types import Envelope, Trust

TRUST = Trust(networks=("10.0.0.0/8", "2001:db8:1::/48", "not a network"))


def seen(
    *received: str,
    client: str | None = "10.0.0.5",
    source: str = "smtp",
    trust: Trust = TRUST,
    top: str = "",
    mail_from: str | None = "a@x.example",
) -> Envelope:
    raw = (
        top
        + "".join(f"Received: {value}; Fri, 20 Nov 2026 10:00:00 +0000\r\n" for value in received)
        + "From: a@x.example\r\n\r\nhello"
    )
    return boundary(raw.encode(), Envelope(source, (), mail_from, client, "relay.drop.example"), trust)


@pytest.mark.parametrize(
    "value, address, helo",
    [
        (
            "from mail.x.example (rdns.x.example [192.0.2.1]) by mx.drop.example (Postfix) with ESMTPS id 4F",
            "192.0.2.1",
            "mail.x.example",
        ),
        (
            "from mail.x.example (unknown [IPv6:2001:db8::9])\r\n\tby mx.drop.example (Postfix) with ESMTP id 4F",
            "2001:db8::9",
            "mail.x.example",
        ),
        (
            "from rdns.x.example ([192.0.2.1] helo=mail.x.example) by mx.drop.example with esmtps (TLS1.3) (Exim 4.96)",
            "192.0.2.1",
            "mail.x.example",
        ),
        ("from [192.0.2.1] (helo=mail.x.example) by mx.drop.example with esmtp (Exim 4.96)", "192.0.2.1", "mail.x.example"),
        (
            "from [192.0.2.1] (port=4040 helo=mail.x.example) by mx.drop.example with esmtp (Exim 4.96)",
            "192.0.2.1",
            "mail.x.example",
        ),
        ("from unknown (HELO mail.x.example) (192.0.2.1) by mx.drop.example with SMTP", "192.0.2.1", "mail.x.example"),
        ("from unknown (HELO mail.x.example) (user@192.0.2.1) by mx.drop.example with SMTP", "192.0.2.1", "mail.x.example"),
        (
            "from mail.x.example (192.0.2.1) by VE1.mail.protection.outlook.example (10.152.16.1) with Microsoft SMTP Server",
            "192.0.2.1",
            "mail.x.example",
        ),
        (
            "from mail-yw1.x.example (mail-yw1.x.example. [192.0.2.1]) by mx.drop.example with ESMTPS id 5b1f17b1804b1",
            "192.0.2.1",
            "mail-yw1.x.example",
        ),
        (
            "from mail.x.example (root@rdns.x.example [192.0.2.1] (may be forged)) by mx.drop.example (8.17/8.17) with ESMTP id x",
            "192.0.2.1",
            "mail.x.example",
        ),
        ("from mail.x.example ([::ffff:192.0.2.1]) by mx.drop.example with ESMTP", "192.0.2.1", "mail.x.example"),
    ],
)
def test_the_fields_of_common_servers_are_read(value: str, address: str, helo: str) -> None:
    assert (str(read_hop(value.encode()).address), read_hop(value.encode()).helo) == (address, helo)
    found = seen(value)
    assert (found.client_ip, found.helo, found.relay) == (address, helo, "10.0.0.5")


@pytest.mark.parametrize(
    "value",
    [
        "from [10.0.0.9] (unknown [192.0.2.1]) by mx.drop.example (Postfix) with SMTP",
        "from rdns.x.example ([192.0.2.1] helo=[10.0.0.9]) by mx.drop.example with esmtp (Exim)",
        "from [192.0.2.1] (helo=[10.0.0.9]) by mx.drop.example with esmtp (Exim)",
        "from unknown (HELO [10.0.0.9]) (192.0.2.1) by mx.drop.example with SMTP",
        'from x (x.example [192.0.2.1]) (using TLSv1.3) (Client CN "[10.0.0.9]") by mx.drop.example (Postfix) with ESMTPS',
        'from x (x.example [192.0.2.1]) (Client CN "y) with LMTP (z") by mx.drop.example (Postfix) with ESMTPS',
    ],
)
def test_what_the_client_calls_itself_is_never_its_address(value: str) -> None:
    found = seen(value, "from trusted.example (trusted.example [198.51.100.7]) by forged.example with ESMTP")
    assert found.client_ip == "192.0.2.1"


@pytest.mark.parametrize(
    "value",
    [
        "from unknown (HELO x) (192.0.2.1) (203.0.113.9) by mx.drop.example with SMTP",
        "from x (192.0.2.1) (203.0.113.9) by mx.drop.example with Microsoft SMTP Server",
        "from x (y [192.0.2.1]) (unknown [203.0.113.9]) by mx.drop.example (Postfix) with SMTP",
        "from x ([192.0.2.1]) ([IPv6:2001:db8::9]) by mx.drop.example with SMTP",
    ],
)
def test_where_two_addresses_look_seen_neither_is_believed(value: str) -> None:
    assert seen(value).client_ip is None


def test_a_name_alone_is_the_clients_word() -> None:
    assert seen("from [192.0.2.1] by mx.drop.example with SMTP").client_ip is None
    assert seen("from mail.x.example by mx.drop.example with SMTP").client_ip is None


def test_a_client_that_is_no_relay_stays_what_it_is() -> None:
    found = seen("from a (a [198.51.100.1]) by forged.example with ESMTP", client="203.0.113.9")
    assert (found.client_ip, found.relay) == ("203.0.113.9", None)


def test_trusted_hops_are_followed_to_the_first_stranger() -> None:
    found = seen(
        "from edge.drop.example (edge.drop.example [10.0.0.6]) by hub.drop.example (Postfix) with ESMTP",
        "from localhost (localhost [127.0.0.1]) by edge.drop.example (Postfix) with ESMTP",
        "from mail.x.example (mail.x.example [192.0.2.1]) by edge.drop.example (Postfix) with ESMTPS",
        "from forged.example (forged.example [198.51.100.1]) by mail.x.example with ESMTP",
    )
    assert (found.client_ip, found.helo) == ("192.0.2.1", "mail.x.example")


def test_a_chain_that_cannot_be_followed_has_no_client() -> None:
    assert seen().client_ip is None
    assert seen("from mail.x.example by mx with ESMTP", "from a (a [192.0.2.1]) by b with ESMTP").client_ip is None
    assert seen("from a (a [192.0.2.1]) by [198.51.100.9] with ESMTP").client_ip is None
    assert seen(*["from a (a [10.0.0.7]) by b with ESMTP"] * 200, "from a (a [192.0.2.1]) by b with ESMTP").client_ip is None


def test_a_mailbox_has_a_client_only_with_trusted_networks() -> None:
    received = "from mail.x.example (mail.x.example [192.0.2.1]) by mx.drop.example with ESMTPS"
    assert seen(received, client=None, source="imap").client_ip == "192.0.2.1"
    assert seen(received, client=None, source="imap", trust=Trust()).client_ip is None
    assert seen(received, client=None, source="webhook").client_ip is None
    assert (
        seen("from mx.drop.example by imap.drop.example with LMTP id x", received, client=None, source="imap").client_ip
        == "192.0.2.1"
    )


def test_the_return_path_of_a_mailbox_counts_only_above_all_received_fields() -> None:
    received = "from mail.x.example (mail.x.example [192.0.2.1]) by mx.drop.example with ESMTPS"
    assert (
        seen(received, client=None, source="imap", top="Return-Path: <a@x.example>\r\n", mail_from=None).mail_from == "a@x.example"
    )
    assert seen(received, client=None, source="imap", top="Return-Path: <>\r\n", mail_from=None).mail_from == ""
    assert (
        seen(received + "\r\nReturn-Path: <forged@x.example>\r\nX-Y: z", client=None, source="imap", mail_from=None).mail_from
        is None
    )


def test_a_local_mta_is_no_client() -> None:
    assert seen(client="127.0.0.1", source="lmtp", trust=Trust()).client_ip is None
    assert seen(client="192.0.2.1", source="lmtp", trust=Trust()).client_ip == "192.0.2.1"


def test_it_may_be_asked_twice() -> None:
    once = seen("from mail.x.example (mail.x.example [10.9.9.9]) by mx.drop.example with ESMTPS")
    assert once.client_ip is None
    raw = b"Received: from a (a [192.0.2.1]) by b with SMTP\r\n\r\n"
    first = boundary(raw, Envelope("smtp", (), "", "10.0.0.5"), TRUST)
    assert boundary(raw, first, TRUST) == first


@given(st.binary(max_size=400))
def test_no_field_makes_it_raise(value: bytes) -> None:
    read_hop(value)
    read_hop(b"from " + value + b" by x with y")
    boundary(b"Received: from a (" + value + b")\r\n\r\n", Envelope("smtp", (), "", "10.0.0.5"), TRUST)


def test_addresses_lose_their_zone_and_their_clothes() -> None:
    assert str(read_address("fe80::1%eth0")) == "fe80::1"
    assert str(read_address("::ffff:192.0.2.1")) == "192.0.2.1"
    assert str(read_address("[192.0.2.1]")) == "192.0.2.1"
    assert read_address("999.1.1.1") is read_address("") is read_address(None) is None
