"""A stranger's HTML: nothing of it runs, loads or covers anything; its text is what a reader would see."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from core.mail.html import html_to_text, safe_html, text_to_html, too_much

ACTIVE = (
    "script style iframe frame frameset object embed applet form input button select textarea option link meta base svg math template noscript audio video source track portal dialog canvas"
)
FORBIDDEN = re.compile(r"^(on|hx-|data-|aria-|x-|ws-|sse-)|^(id|name|class|srcset|background|action|formaction|ping|poster|cite|data|codebase|srcdoc|usemap|accesskey|tabindex|autofocus|contenteditable|is|slot|part)$")


def findings(html: str, images: bool = False) -> list[str]:
    """What is active, foreign or able to cover the page in sanitised HTML, told by parsing it again."""
    found: list[str] = []
    for node in LexborHTMLParser(html).css("*"):
        if node.tag in ("html", "head", "body"):
            continue
        if node.tag in ACTIVE.split():
            found.append(f"<{node.tag}>")
        for name, value in node.attributes.items():
            text = (value or "").strip().lower()
            if FORBIDDEN.match(name):
                found.append(f"{node.tag} {name}={text}")
            if name == "href" and not re.match(r"(https?://|mailto:|tel:)", text):
                found.append(f"href {text}")
            if name == "src" and not re.match(r"cid:|https?://|data:image/(png|gif|jpe?g|webp);" if images else r"cid:", text):
                found.append(f"src {text}")
            if name == "style" and re.search(r"url|image|expression|@|\\|var\(|position|javascript|behavior|/\*|z-index", text):
                found.append(f"style {text}")
            if name == "target" and text != "_blank":
                found.append(f"target {text}")
    for link in LexborHTMLParser(html).css("a[href]"):
        if "noopener" not in (link.attributes.get("rel") or "") or link.attributes.get("target") != "_blank":
            found.append("a link without rel and target")
    return found


@pytest.mark.parametrize("images", [False, True])
def test_no_payload_of_the_corpus_survives(corpora: Path, images: bool) -> None:
    count = 0
    for name in ("payloads.jsonl", "mail.jsonl"):
        for line in (corpora / "xss" / name).read_text("utf-8").splitlines():
            row = json.loads(line)
            count += 1
            for html in (row["payload"], f"<html><body><div>{row['payload']}</div></body></html>"):
                safe = safe_html(html, remote_images=images)
                assert not findings(safe, images), (row["id"], safe)
                assert safe_html(safe, remote_images=images) == safe or not findings(safe_html(safe, remote_images=images), images)
    assert count >= 3683


@pytest.mark.parametrize(
    ("html", "safe"),
    [
        ("<p style='color:red;position:fixed;background:url(x)'>a</p>", '<p style="color:red">a</p>'),
        ("<div hx-get=/x data-hx-post=/y id=a class=b name=c onclick=d>a</div>", "<div>a</div>"),
        ('<img src="cid:a@b" alt="logo" width="3">', '<img src="cid:a@b" alt="logo" width="3">'),
        ('<img src="https://t.example/1.gif" alt="logo">', '<img alt="logo">'),
        ('<img src="//t.example/1.gif"><img src="/api/x"><img src="data:image/png;base64,AA==">', "<img><img><img>"),
        ("<script>x</script><style>y</style><title>z</title>a", "a"),
        ("<form action=/x><input name=q>a</form>", "a"),
        ('<a href="javascript:x">a</a>', "a"),
        ('<a href="/logout">a</a>', "a"),
        ("<!-- x -->a<!--[if mso]>b<![endif]-->", "a"),
        ("a\0b", "ab"),
    ],
)
def test_the_profile(html: str, safe: str) -> None:
    found = safe_html(html)
    for attribute in (' target="_blank"', ' rel="noopener noreferrer nofollow"'):
        found = found.replace(attribute, "")
    assert found.replace("<a>a</a>", "a") == safe


def test_remote_images_come_back_on_request() -> None:
    html = '<img src="https://t.example/1.gif"><img src="data:image/png;base64,AA=="><img src="data:image/svg+xml;base64,AA=="><img src="/x">'
    assert safe_html(html, remote_images=True) == '<img src="https://t.example/1.gif"><img src="data:image/png;base64,AA=="><img><img>'


def test_links_open_apart_and_tell_nothing() -> None:
    assert safe_html('<a href="https://x.example/a?b=c&amp;d">l</a>') == '<a href="https://x.example/a?b=c&amp;d" target="_blank" rel="noopener noreferrer nofollow">l</a>'


@pytest.mark.parametrize("html", ["<div>" * 20_000 + "text", "<div></x>" * 20_000 + "text", "<b><table><tr><td></b>" * 5000 + "text", "<svg><g>" * 5000 + "</svg>text", "<p>text" + "x" * 2_100_000,
    "<span><div></span></div>" * 5000 + "text", "<b><table></b></table>" * 5000 + "text", "<optgroup>a" * 5000 + "text", "<li><dd>a" * 5000 + "text", "<p.>a" * 5000 + "text",
    "<div><!-- </div> -->" * 5000 + "text", "<div><p title='</div>'>" * 5000 + "text", "<div><style></div></style>" * 5000 + "text", "a & b " * 310_000 + "text"])  # fmt: skip
def test_what_is_too_deep_or_too_long_is_shown_as_text(html: str) -> None:
    assert too_much(html)
    assert "text" in html_to_text(html)
    safe = safe_html(html)
    assert safe.startswith("<pre")
    assert not findings(safe)


def test_unclosed_paragraphs_and_long_tables_are_no_depth() -> None:
    assert not too_much("<p>a<br>" * 5000)
    assert not too_much("<table>" + "<tr><td><b>x</b>" * 5000 + "</table>")
    assert not too_much("<ul>" + "<li>x" * 5000 + "</ul>")
    assert not too_much("<dl>" + "<dt>x<dd>y" * 5000 + "</dl>" + "<!-- <div> -->" * 500)
    assert not too_much("<p><span>a<b>b</span></b></p><div><p>c</div><ul><li><ul><li>d</ul></ul>" * 5000)
    assert not too_much("<table>" + "<tr><td><p>a" * 5000 + "</table>" + "<table><tr><td><p>a</table>" * 5000 + "<ul><li>a</ul>" * 5000)
    assert not too_much("<table><tr><td><table><td><font>a</font></table><td title='<div>'><img><br></table><h1>x</h1><a href='y'>z</a>" * 5000)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>Bo</b>,</p><p>bye</p>", "Hello Bo,\n\nbye"),
        ("a<br>b<div>c</div><div>d</div>", "a\nb\nc\nd"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("a<span style='display:none'>secret</span><div style='font-size:0px'>s</div><p hidden>s</p><b style='visibility: hidden'>s</b>b", "ab"),
        ("<head><title>t</title><style>s</style></head><script>x</script>a", "a"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("a &amp; b &lt;c&gt; d&nbsp;e", "a & b <c> d e"),
        ("  a \n\n b  ", "a b"),
        ("<a href='https://x.example'>link</a>", "link"),
        ("<p></p><p></p>a<p></p><p></p>b", "a\n\nb"),
        ("a\u200bb\u00adc", "abc"),
        ("<div style='font-size:0.9em'>shown</div>", "shown"),
        ("", ""),
        ("plain", "plain"),
    ],
)
def test_text_of_html(html: str, text: str) -> None:
    found = html_to_text(html)
    assert re.sub(r"\n+", "\n", found) == re.sub(r"\n+", "\n", text)


def test_quotes_can_be_left_out() -> None:
    html = "<p>new</p><div class='gmail_quote'>On Monday Bo wrote:<blockquote>old</blockquote></div>"
    assert "old" in html_to_text(html)
    assert html_to_text(html, quotes=False) == "new"


def test_text_as_html_keeps_its_lines_and_no_tags() -> None:
    assert text_to_html("a\n<b>") == '<pre style="white-space:pre-wrap">a\n&lt;b&gt;</pre>'


markup = st.lists(
    st.sampled_from(
        ["<div>", "</div>", "<a href='javascript:x'>", "<img src=x onerror=y>", "<svg><style>", "</style>", "<math><mtext>", "<table>", "<b ", "style='x:expression(y)'", ">", "&lt;script&gt;", "<!--", "-->", "<script>", "</script>", "\0", "<title>", "<noscript>", "<template>", "text", '"', "'", "<![CDATA[", "]]>", "<select>", "<p hx-get=/x>", "<form>", "<textarea>", "<xmp>", "<plaintext>"]
    ),
    max_size=25,
).map("".join)


@given(st.one_of(markup, st.text(max_size=200)))
@settings(max_examples=500, deadline=None)
def test_no_markup_survives_as_code_or_breaks_the_reader(html: str) -> None:
    assert not findings(safe_html(html))
    assert not findings(safe_html(html, remote_images=True), images=True)
    assert "\0" not in html_to_text(html)
    assert "\x01" not in html_to_text(html)
