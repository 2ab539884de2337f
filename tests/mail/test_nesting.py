"""The nesting of HTML is never counted too low: held against the tree that a parser builds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from core.mail.nesting import MAX_ATTRIBUTES, deeper_than


def _words(text: str) -> list[str]:
    return text.split()


# Elements of every kind of rule: formatting, blocks, those that close one another, scopes, foreign ones, raw text, unknown ones.
NAMES = _words("""a b font span div p li ul dd dt table tr td tbody caption h1 section button object template svg math g foreignObject mi select
    option optgroup form pre o:p p. noscript marquee ruby rt br img input col style title textarea script nobr center""")
NOT_COUNTED = frozenset(_words("html head body p td th tr tbody thead tfoot colgroup area base br col embed hr img input link meta param source track wbr"))

names = st.sampled_from(NAMES)
tokens = st.one_of(
    names.map("<{}>".format), names.map("<{}>".format), names.map("</{}>".format), names.map("</{}>".format), names.map("<{}/>".format),
    names.map("<!-- </{}> -->".format), names.map("<i a='</{}>'>".format), names.map('<{} ="'.format),
    st.sampled_from(["x", "<!--", "-->", "--!>", "<!-->", '"', "'", "<![CDATA[", "]]>", "</>", "<?x>", "<!x>", "<b c=1>", "<b c=2>"]),
)  # fmt: skip
soups = st.lists(tokens, max_size=9).map("".join)


def depth(html: str) -> int:
    """How many elements of those that are counted stand above the deepest one, itself included."""
    deepest, todo = 0, [(LexborHTMLParser(html).root, 0)]
    while todo:
        node, above = todo.pop()
        if node is None:
            continue
        here = above + (node.tag is not None and node.tag[:1].isalpha() and node.tag not in NOT_COUNTED)
        deepest = max(deepest, here)
        child = node.child
        while child is not None:
            todo.append((child, here))
            child = child.next
    return deepest


@given(soups, soups, st.sampled_from([1, 10, 40]))
@settings(max_examples=1500, deadline=None)
def test_no_tag_soup_is_deeper_than_it_was_counted(first: str, again: str, times: int) -> None:
    html = first + again * times
    # A form leaves the open elements before what stands in it, so the tree may be up to twice as deep as they are many.
    # Cells and paragraphs have no weight, since only so many stand open as other elements allow.
    assert depth(html) < 16 or deeper_than(html, (depth(html) - 6) // 2 - 1)


@pytest.mark.parametrize(
    "unit",
    ["<span><div></span></div>", "<b><table></b></table>", "<li><dd>", "<p><div></p>", "<h1></h2><section></h1>", "<td><div></td>", "<mi><center></mi></center>", "<math><mi><b></mi></math></b>", "<div><ul></div><li></ul><div><ul></div><dd></ul>", "<!-- > --><i>", "<i a='>'>"],
)
def test_what_looks_closed_is_counted(unit: str) -> None:
    assert depth(unit * 100) >= 100
    assert deeper_than(unit * 100, 99)


@pytest.mark.parametrize("html", ["<i></i>" * 9, "<table><tr><td>a" * 3 + "</table>" * 3 + "<p>" * 9, "<!-- " + "<i>" * 9 + " -->", "<style>" + "<i>" * 9 + "</style>", "<img>" * 9, "<ul><li>a<li>b</ul>" * 9, ""])
def test_flat_html_is_flat(html: str) -> None:
    assert not deeper_than(html, 6)


@pytest.mark.parametrize("between", [" a{}=1", " a{}='x y>'", '/a{}="<"', " =a{}=1", "\n=a{} = b"])
@pytest.mark.parametrize("around", ["<p{}>x</p>", "<b>x</b{}>", "<img{}", "<!-- > --><img{}/>", "<x:y{}>"])
def test_a_tag_of_many_attributes_is_told(around: str, between: str) -> None:
    many, some = (around.format("".join(between.format(number) for number in range(count))) for count in (MAX_ATTRIBUTES + 2, MAX_ATTRIBUTES // 2))
    assert deeper_than(many, 200)
    assert not deeper_than(some, 200)


def test_a_tag_of_long_values_has_few_attributes() -> None:
    assert not deeper_than("<img src='data:image/png;base64," + "A/b= " * 50_000 + "' alt=" + "a/" * 50_000 + ">" + "a=b " * 50_000, 200)
