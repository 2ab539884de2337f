"""F24 to F28: who becomes a contact, who is one, and who never will be."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Ignored
from core.steps.contacts import (
    ContactPlan,
    addresses,
    forms,
    glob,
    internal_domains,
    is_never_log,
    organisation_domains,
    plan,
    sort_out,
)
from core.steps.facts import House, Unwrapped
from core.types import Contact, Email, Envelope
from tests.steps.world import (
    ANA,
    BCC_DROP,
    BEN,
    BO,
    CY,
    HOUSE,
    block,
    box,
    boxes,
    contact,
    envelope,
    forwarded,
    mail,
    reasons,
    written,
)

IT = "it@cust.example"


def planned(
    email: Email,
    *,
    unwrapped: Unwrapped | None = None,
    house: House = HOUSE,
    known: dict[str, Contact] | None = None,
    sent: Envelope | None = None,
) -> ContactPlan:
    return plan(email, unwrapped or written(email), sent or envelope(), house, known or {})


def new(result: ContactPlan) -> list[str]:
    return [person.address for person in result.new]


def linked(result: ContactPlan) -> list[int]:
    return [person.contact.id for person in result.counterparties if person.contact]


def why(result: ContactPlan) -> dict[str, str]:
    return {entry.params["address"]: entry.reason for entry in result.trace if "address" in entry.params}


def with_rules(**rules: object) -> House:
    return dataclasses.replace(HOUSE, **rules)


class TestBcc:
    def test_every_to_and_cc_recipient_becomes_a_contact(self):
        result = planned(mail(to=(BO,), cc=(CY,)))
        assert new(result) == [BO, CY]
        assert [(p.address, p.role) for p in result.participants] == [(ANA, "from"), (BO, "to"), (CY, "cc")]
        assert reasons(result.trace) == ["contact-new", "contact-new"]

    def test_a_known_recipient_is_linked_and_not_made_again(self):
        result = planned(mail(to=(BO, CY)), known={BO: contact(7, BO)})
        assert linked(result) == [7]
        assert new(result) == [CY]

    def test_a_contact_is_known_by_any_of_its_addresses_in_any_case(self):
        result = planned(mail(to=("Bo@Cust.Example", "bo@home.example")), known={a: contact(7) for a in (BO, "bo@home.example")})
        assert linked(result) == [7, 7]
        assert new(result) == []

    def test_the_name_comes_from_the_mail_or_else_is_the_address(self):
        email = dataclasses.replace(mail(), to=(box(BO, "Bo Berg"), box(CY, f"'{CY}'"), box("di@third.example")))
        assert [person.title for person in planned(email).new] == ["Bo Berg", CY, "di@third.example"]

    def test_whoever_was_in_bcc_gets_no_contact_and_no_entry(self):
        result = planned(mail(), sent=envelope(BCC_DROP.address, BO, CY))
        assert new(result) == [BO]
        assert CY not in [person.address for person in result.participants]
        assert why(result)[CY] == "contact-bcc"

    def test_a_recipient_whom_envelope_and_header_name_was_in_no_bcc(self):
        result = planned(mail(), sent=envelope(BCC_DROP.address, BO))
        assert reasons(result.trace) == ["contact-new"]

    def test_one_person_in_to_and_cc_is_one_participant(self):
        result = planned(mail(to=(BO,), cc=("BO@cust.example",)))
        assert [(p.key, p.role) for p in result.participants] == [(ANA, "from"), (BO, "to")]

    def test_a_mail_to_colleagues_only_has_no_counterparty(self):
        result = planned(mail(to=(BEN,)))
        assert result.counterparties == ()
        assert "no-counterparty" in reasons(result.trace)
        assert [p.address for p in result.participants] == [ANA, BEN]

    def test_a_drop_address_in_to_is_neither_contact_nor_participant(self):
        result = planned(mail(to=(BO, BCC_DROP.address)))
        assert [p.address for p in result.participants] == [ANA, BO]
        assert why(result)[BCC_DROP.address] == "contact-drop-address"


class TestNeverContacts:
    @pytest.mark.parametrize(
        "address, reason",
        [
            (BEN, "contact-rep"),
            ("ana.private@home.example", "contact-rep"),
            ("ana.private+crm@home.example", "contact-rep"),
            ("team@shared.example", "contact-rep"),
            (BCC_DROP.address, "contact-drop-address"),
            ("anybody@sales.example", "contact-internal"),
            ("robot@eu.sales.example", "contact-internal"),
            ("no-reply@cust.example", "contact-role"),
            ("info@cust.example", "contact-role"),
        ],
    )
    def test_never(self, address, reason):
        result = planned(mail(to=(address,)))
        assert result.counterparties == ()
        assert why(result)[address] == reason

    @pytest.mark.parametrize("address", ["bo@notsales.example", "bo@sales.example.cust.example", "home@home.example"])
    def test_a_look_alike_of_the_company_is_an_ordinary_person(self, address):
        assert new(planned(mail(to=(address,)))) == [address]

    def test_role_addresses_may_be_allowed(self):
        assert new(planned(mail(to=(IT,)), house=with_rules(role_addresses=False))) == [IT]

    def test_a_role_address_that_a_person_made_a_contact_is_one(self):
        assert linked(planned(mail(to=(IT,)), known={IT: contact(7)})) == [7]

    def test_a_colleague_who_was_imported_as_a_contact_is_still_a_colleague(self):
        assert planned(mail(to=(BEN,)), known={BEN: contact(7)}).counterparties == ()


class TestForward:
    FORWARD = mail(to=("acme-fwd@drop.example",))

    def test_only_the_original_author_becomes_a_contact(self):
        unwrapped = forwarded(block(to=boxes(ANA, "di@third.example"), cc=boxes(CY)))
        result = planned(self.FORWARD, unwrapped=unwrapped)
        assert new(result) == [BO]
        assert {why(result)[a] for a in (CY, "di@third.example")} == {"contact-forward-cc"}

    def test_known_people_in_its_cc_take_part_but_are_not_linked(self):
        result = planned(self.FORWARD, unwrapped=forwarded(block(cc=boxes(CY))), known={CY: contact(8)})
        assert linked(result) == []
        shown = next(person for person in result.participants if person.address == CY)
        assert (shown.role, shown.contact, shown.counterparty) == ("cc", contact(8), False)

    def test_a_known_author_is_linked(self):
        assert linked(planned(self.FORWARD, unwrapped=forwarded(), known={BO: contact(7)})) == [7]

    def test_what_a_rep_wrote_himself_makes_no_contact_but_finds_the_known_recipient(self):
        unwrapped = forwarded(block(ANA, to=boxes(BO, CY)))
        result = planned(self.FORWARD, unwrapped=unwrapped, known={BO: contact(7)})
        assert new(result) == []
        assert linked(result) == [7]

    def test_of_several_attached_originals_every_author_becomes_a_contact(self):
        others = (block(CY, to=boxes("di@third.example")), block(BEN))
        result = planned(self.FORWARD, unwrapped=forwarded(block(others=others, evidence="attachment")))
        assert new(result) == [BO, CY]

    def test_beside_a_reps_own_original_another_author_is_a_contact(self):
        result = planned(self.FORWARD, unwrapped=forwarded(block(ANA, to=boxes(BO), others=(block(CY),))))
        assert new(result) == [CY]

    def test_a_colleagues_mail_is_filed_like_ones_own(self):
        result = planned(self.FORWARD, unwrapped=forwarded(block(BEN, to=boxes(ANA))))
        assert result.counterparties == ()

    def test_a_forward_of_what_a_drop_address_sent_is_ignored(self):
        with pytest.raises(Ignored) as stop:
            planned(self.FORWARD, unwrapped=forwarded(block(BCC_DROP.address)))
        assert stop.value.code == "forward-of-own-notice"

    def test_an_unreadable_forward_makes_nobody(self):
        result = planned(self.FORWARD, unwrapped=Unwrapped(is_forward=True, waits="forward-unreadable"))
        assert result.participants == ()


class TestNeverLog:
    def test_a_mail_to_listed_people_only_is_ignored(self):
        with pytest.raises(Ignored) as stop:
            planned(mail(to=(BO,), cc=(BEN, "di@eu.cust.example")), house=with_rules(never_log=("cust.example",)))
        assert stop.value.code == "never-log"

    def test_a_mail_to_some_listed_people_is_logged_without_them(self):
        result = planned(mail(to=(BO, CY)), house=with_rules(never_log=(BO,)))
        assert new(result) == [CY]
        assert BO not in [person.address for person in result.participants]
        assert why(result)[BO] == "contact-never-log"

    def test_a_listed_person_is_none_even_as_a_known_contact(self):
        result = planned(mail(to=(BO, CY)), house=with_rules(never_log=(BO,)), known={BO: contact(7)})
        assert linked(result) == []

    def test_a_mail_to_colleagues_is_not_taken_for_a_listed_one(self):
        assert not sort_out(
            mail(to=(BEN,)), written(mail(to=(BEN,))), envelope(), with_rules(never_log=("x.example",)), {}
        ).never_log

    def test_a_forward_of_a_listed_author_is_ignored(self):
        with pytest.raises(Ignored, match="never-log"):
            planned(TestForward.FORWARD, unwrapped=forwarded(), house=with_rules(never_log=("cust.example",)))

    def test_a_forward_is_not_ignored_for_its_recipients(self):
        unwrapped = forwarded(block(cc=boxes(CY)))
        result = planned(TestForward.FORWARD, unwrapped=unwrapped, house=with_rules(never_log=("other.example",)))
        assert new(result) == [BO]
        assert CY not in [person.address for person in result.participants]

    def test_a_dry_run_sees_the_people_of_an_ignored_mail(self):
        email = mail(to=(BO,))
        result = sort_out(email, written(email), envelope(), with_rules(never_log=(BO,)), {})
        assert result.never_log
        assert reasons(result.trace) == ["contact-never-log", "no-counterparty"]

    @pytest.mark.parametrize(
        "pattern, named",
        [
            ("bo@cust.example", True),
            ("BO@Cust.Example", True),
            ("cust.example", True),
            ("@cust.example", True),
            ("*.example", True),
            ("bo@*", True),
            ("*@cust.example", True),
            ("*o@c*t.ex*", True),
            ("b*b@cust.example", False),
            ("ust.example", False),
            ("cust.exampl", False),
            ("o@cust.example", False),
            ("*.cust.example", False),
            ("", False),
            ("(a+)+$", False),
            (".*", False),
        ],
    )
    def test_the_patterns(self, pattern, named):
        assert is_never_log(BO, [pattern]) is named

    def test_a_listed_person_is_known_with_a_tag_as_well(self):
        assert is_never_log("bo+shop@cust.example", [BO])

    def test_a_domain_stands_for_those_below_it(self):
        assert is_never_log("di@mail.cust.example", ["cust.example"])
        assert not is_never_log("di@notcust.example", ["cust.example"])

    @settings(deadline=None, max_examples=80)
    @given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
    def test_a_glob_is_what_a_slow_and_simple_reader_says(self, pattern, text):
        def fits(rest: str, left: str) -> bool:
            if not rest:
                return not left
            if rest[0] == "*":
                return any(fits(rest[1:], left[cut:]) for cut in range(len(left) + 1))
            return bool(left) and rest[0] == left[0] and fits(rest[1:], left[1:])

        assert glob(pattern, text) is fits(pattern, text)

    def test_the_two_ends_of_a_glob_never_share_a_letter(self):
        assert not glob("ab*ba", "aba")
        assert glob("ab*ba", "abba")

    def test_thousands_of_entries_and_people_are_no_matter(self):
        many = tuple(f"spam{n}.example" for n in range(5000))
        crowd = mail(to=tuple(f"p{n}@cust.example" for n in range(500)))
        assert planned(crowd, house=with_rules(never_log=many)).new

    def test_a_hostile_pattern_costs_no_more_than_its_length(self):
        assert not glob("*a" * 5000 + "b", "a" * 5000)


class TestSettings:
    def test_plus_tags_are_different_people_unless_they_are_folded(self):
        to = ("bo+chairs@cust.example", "bo+tables@cust.example")
        assert len(new(planned(mail(to=to)))) == 2
        folded = planned(mail(to=to), house=with_rules(fold_plus_tags=True))
        assert [person.key for person in folded.new] == [BO]

    def test_a_contact_entered_with_its_plus_tag_is_found_though_tags_are_folded(self):
        house, tagged = with_rules(fold_plus_tags=True), "bo+x@cust.example"
        assert set(forms("Bo+X@cust.example", house)) == {tagged, BO}
        assert linked(planned(mail(to=(tagged,)), house=house, known={tagged: contact(7), BO: contact(8)})) == [7]
        assert linked(planned(mail(to=(tagged, "bo+y@cust.example")), house=house, known={tagged: contact(7), BO: contact(8)})) == [7, 8]

    def test_a_folded_contact_is_found(self):
        assert linked(planned(mail(to=("bo+x@cust.example",)), house=with_rules(fold_plus_tags=True), known={BO: contact(7)})) == [
            7
        ]

    def test_new_contacts_are_bounded_and_known_ones_are_not(self):
        crowd = tuple(f"p{n}@cust.example" for n in range(60))
        result = planned(mail(to=crowd), house=with_rules(limit=10), known={crowd[-1]: contact(7)})
        assert len(result.new) == 10
        assert linked(result) == [7]
        assert list(why(result).values()).count("contact-limit") == 49

    def test_a_mail_to_thousands_is_looked_at_within_bounds(self):
        email = mail(to=tuple(f"p{n}@cust.example" for n in range(5000)))
        result = planned(email)
        assert len([one for one in result.participants if one.role == "to"]) == 500
        assert result.trace[-1].reason == "more-people"
        assert len(planned(mail(to=tuple(f"p{n}@cust.example" for n in range(500)))).new) == 500
        assert len(addresses(email, written(email), envelope())) == 501


class TestOrganisations:
    @pytest.mark.parametrize(
        "address, domains",
        [
            (BO, ("cust.example",)),
            ("bo@eu.cust.example", ("eu.cust.example", "cust.example")),
            ("bo@cust.co.uk", ("cust.co.uk",)),
            ("bo@gmail.com", ()),
            ("bo@co.uk", ()),
            ("bo@localhost", ()),
        ],
    )
    def test_the_domain_tells_the_organisation_and_free_mail_tells_none(self, address, domains):
        assert organisation_domains(address) == domains

    def test_only_new_contacts_look_for_one(self):
        result = planned(mail(to=(BO, CY)), known={CY: contact(7)})
        assert [person.domains for person in result.counterparties] == [("cust.example",), ()]

    def test_the_internal_domains_are_those_of_the_reps_but_free_mail(self):
        assert internal_domains([ANA, "ben@Sales.example", "di@gmail.com"]) == frozenset({"sales.example"})
