"""Which domains belong together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.mail.alignment import TENANT_SUFFIXES, aligned, ascii_domain, organisational, pinned


def test_the_public_suffix_vectors_are_right(corpora: Path) -> None:
    vectors = json.loads((corpora / "mailauth/public_suffix/vectors.json").read_text())
    assert len(vectors) == 78
    wrong = {}
    for vector in vectors:
        wanted = ascii_domain(vector["registrable"]) if vector["registrable"] else None
        if organisational(vector["name"] or "") != wanted:
            wrong[vector["name"]] = organisational(vector["name"])
    assert wrong == {}


@pytest.mark.parametrize(
    "one, other",
    [
        ("sales.example", "sales.example"),
        ("eu.sales.example", "sales.example"),
        ("a.sales.example", "b.c.SALES.example."),
        ("firm.co.uk", "mail.firm.co.uk"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("firm.onmicrosoft.com", "x.firm.onmicrosoft.com"),
    ],
)
def test_domains_of_one_owner_align(one: str, other: str) -> None:
    assert aligned(one, other)
    assert aligned(other, one)


@pytest.mark.parametrize(
    "one, other",
    [
        ("sales.example", "evilsales.example"),
        ("sales.example", "sales.example.evil.example"),
        ("a.co.uk", "b.co.uk"),
        ("co.uk", "firm.co.uk"),
        ("uk", "firm.co.uk"),
        ("example", "sales.example"),
        ("one.github.io", "two.github.io"),
        ("one.onmicrosoft.com", "two.onmicrosoft.com"),
        ("onmicrosoft.com", "one.onmicrosoft.com"),
        ("one.odoo.com", "two.odoo.com"),
        ("one.on.crisp.email", "two.on.crisp.email"),
        ("one-example.20210112.gappssmtp.com", "two-example.20210112.gappssmtp.com"),
        ("gappssmtp.com", "gappssmtp.com"),
        ("sales.example", ""),
        ("sales.example", None),
        ("192.0.2.1", "192.0.2.1"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("p\u0430ypal.example", "paypal.example"),
        ("localhost", "localhost"),
        ("a..example", "a..example"),
    ],
)
def test_domains_of_strangers_do_not(one: str | None, other: str | None) -> None:
    assert not aligned(one, other)
    assert not aligned(other, one)


def test_strict_means_equal() -> None:
    assert aligned("Sales.example", "sales.example.", strict=True)
    assert not aligned("eu.sales.example", "sales.example", strict=True)
    assert not aligned("co.uk", "co.uk", strict=True)


@pytest.mark.parametrize("suffix", sorted(TENANT_SUFFIXES))
def test_tenants_of_a_provider_are_strangers(suffix: str) -> None:
    assert organisational(suffix) is None
    assert organisational(f"x.y.one.{suffix}") in (f"one.{suffix}", f"y.one.{suffix}")
    assert not aligned(f"x.one.two.{suffix}", f"x.three.four.{suffix}")


def test_a_pinned_signer_is_accepted_exactly_for_its_domain() -> None:
    pins = {"Sales.example": ("sales-example.20240101.gappssmtp.com",)}
    assert pinned("Sales-Example.20240101.gappssmtp.com", "sales.example", pins)
    assert not pinned("x.sales-example.20240101.gappssmtp.com", "sales.example", pins)
    assert not pinned("sales-example.20240101.gappssmtp.com", "eu.sales.example", pins)
    assert not pinned(None, "sales.example", pins)
