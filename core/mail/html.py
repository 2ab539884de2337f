"""HTML of a stranger: made safe for a sandboxed frame, or read as text. Bounded by cheap linear scans first."""

from __future__ import annotations

import re
from html import escape, unescape

import nh3
from selectolax.lexbor import LexborHTMLParser, LexborNode

from core.mail.nesting import MAX_ATTRIBUTES, deeper_than, names

MAX_BYTES = 2_000_000
MAX_DEPTH = 200  # the sanitiser and the parser are quadratic in nesting
MAX_ESCAPED = 300_000  # & and no-break spaces: the sanitiser is quadratic in those of one text; an honest mail has some thousands
MAX_TEXT = 2_000_000

# --- the profile ---------------------------------------------------------------------------------------------------

_TAGS = names("""
    a abbr acronym address article aside b bdi bdo big blockquote br caption center cite code col colgroup dd del details dfn dir
    div dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark menu nav ol p pre q rp rt
    ruby s samp section small span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr
    """)
_DROPPED_WITH_CONTENT = names("script style title noscript template iframe object embed applet svg math textarea select xmp noembed noframes audio video canvas")
_LAYOUT = names("align valign width height bgcolor dir lang title style")
_ATTRIBUTES: dict[str, set[str]] = {
    "*": set(_LAYOUT),
    "a": {"href"},
    "img": {"src", "alt", "border", "hspace", "vspace"},
    "font": {"color", "face", "size"},
    "table": {"border", "cellpadding", "cellspacing", "rules", "frame", "summary"},
    "td": {"colspan", "rowspan", "nowrap", "abbr"},
    "th": {"colspan", "rowspan", "nowrap", "abbr", "scope"},
    "col": {"span"},
    "colgroup": {"span"},
    "ol": {"start", "type", "reversed"},
    "ul": {"type"},
    "li": {"value", "type"},
    "hr": {"size", "noshade", "color"},
    "br": {"clear"},
    "bdo": {"dir"},
    "time": {"datetime"},
}
_STYLES = names("""
    background-color border border-bottom border-bottom-color border-bottom-style border-bottom-width border-collapse border-color
    border-left border-left-color border-left-style border-left-width border-radius border-right border-right-color
    border-right-style border-right-width border-spacing border-style border-top border-top-color border-top-style
    border-top-width border-width box-sizing caption-side clear color direction display empty-cells float font font-family
    font-size font-style font-variant font-weight height letter-spacing line-height list-style-position list-style-type margin
    margin-bottom margin-left margin-right margin-top max-height max-width min-height min-width opacity overflow overflow-wrap
    padding padding-bottom padding-left padding-right padding-top quotes table-layout text-align text-decoration
    text-decoration-color text-decoration-line text-decoration-style text-indent text-transform unicode-bidi vertical-align
    visibility white-space width word-break word-spacing word-wrap
    """)
# A value is words, numbers, colours and quoted font names; of functions only colours. No escapes, comments, at-rules.
_STYLE_VALUE = re.compile(r"[\w\s#%.,()'\"!+/-]{1,300}")
_STYLE_CALL = re.compile(r"([\w-]*)\s*\(")
_STYLE_CALLS = frozenset(("rgb", "rgba", "hsl", "hsla"))
_FORBIDDEN = ("expression", "javascript", "vbscript", "behavior", "-moz-binding", "/*", "url", "image", "var(", "attr(", "import")
_HREF = re.compile(r"(?i)(?:https?://|mailto:|tel:)[^\x00-\x1f\x7f]{1,8000}")
_CID = re.compile(r"(?i)cid:[^\x00-\x20\x7f]{1,1000}")
_REMOTE = re.compile(r"(?i)https?://[^\x00-\x20\x7f]{1,8000}")
_DATA_IMAGE = re.compile(r"(?i)data:image/(?:png|gif|jpe?g|webp);base64,[A-Za-z0-9+/=\s]{1,1500000}")


def _style(value: str) -> str | None:
    kept = []
    for declaration in value[:10_000].split(";"):
        name, colon, text = declaration.partition(":")
        name, text = name.strip().lower(), text.strip()
        if not colon or name not in _STYLES or not _STYLE_VALUE.fullmatch(text):
            continue
        lower = text.lower()
        if any(word in lower for word in _FORBIDDEN) or any(call not in _STYLE_CALLS for call in _STYLE_CALL.findall(lower)):
            continue
        kept.append(f"{name}:{text}")
    return ";".join(kept) or None


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "style":
        return _style(value)
    if name == "href":
        return value.strip() if tag == "a" and _HREF.fullmatch(value.strip()) else None
    if name == "src":
        return value.strip() if _CID.fullmatch(value.strip()) else None
    return value


def _attribute_with_images(tag: str, name: str, value: str) -> str | None:
    if name == "src":
        source = value.strip()
        return source if any(kind.fullmatch(source) for kind in (_CID, _REMOTE, _DATA_IMAGE)) else None
    return _attribute(tag, name, value)


def _cleaner(remote_images: bool) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute_with_images if remote_images else _attribute,
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto", "tel", "cid"} | ({"data"} if remote_images else set()),
        url_relative="deny",
        filter_style_properties=_STYLES,
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


_SAFE = _cleaner(remote_images=False)
_SAFE_WITH_IMAGES = _cleaner(remote_images=True)


def safe_html(html: str, remote_images: bool = False) -> str:
    """HTML that may be shown in a sandboxed frame: no code, no forms, nothing fetched.

    Images show by `cid:` only; a remote one keeps its `alt` and its size without a source. With `remote_images` the sources
    https, http and small data: pictures stay, for a reader who asked for them. Over 2 MB, nested deeper than 200 tags, or with a tag
    of more than 500 attributes: the text alone. Change nothing in the result: it was sanitised last.
    """
    if "\0" in html:
        html = html.replace("\0", "")
    if too_much(html):
        return text_to_html(_stripped(html))
    return (_SAFE_WITH_IMAGES if remote_images else _SAFE).clean(html)


def text_to_html(text: str) -> str:
    """Plain text as HTML that keeps its lines; safe in itself."""
    return f'<pre style="white-space:pre-wrap">{escape(text, quote=False)}</pre>' if text.strip() else ""


# --- limits --------------------------------------------------------------------------------------------------------


def too_much(html: str) -> bool:
    """True when the HTML is over the limits of size, escapes, nesting or attributes. One pass; an over-estimate of the nesting is possible."""
    if len(html) > MAX_BYTES or (not html.isascii() and len(html) * 4 > MAX_BYTES and len(html.encode("utf-8", "replace")) > MAX_BYTES):
        return True
    if html.count("&") + html.count("\xa0") > MAX_ESCAPED:
        return True
    return (html.count("<") > MAX_DEPTH or len(html) > 2 * MAX_ATTRIBUTES) and deeper_than(html, MAX_DEPTH)


_ANY_TAG = re.compile(r"<[^<>]{0,2000}>")
_LINE_TAG = re.compile(r"(?i)<(?:br|/p|/div|/tr|/li|/h[1-6]|/table)\b[^<>]{0,200}>")
_RAW_START = re.compile(r"(?i)<(script|style|title|noscript|template|svg|math)\b")


def _stripped(html: str) -> str:
    """Text of HTML that is too large or too deep for a parser: tags cut out by linear scans."""
    html = html[: MAX_BYTES * 2]
    kept: list[str] = []
    pos = 0
    while True:
        start = _RAW_START.search(html, pos)
        if start is None:
            kept.append(html[pos:])
            break
        kept.append(html[pos : start.start()])
        end = re.compile(rf"(?i)</{start[1]}\b[^<>]{{0,100}}>").search(html, start.end())
        if end is None:
            break
        pos = end.end()
    text = _ANY_TAG.sub("", _LINE_TAG.sub("\n", "".join(kept)))
    return _tidy(unescape(text).replace("\0", ""))[:MAX_TEXT]


# --- text of HTML --------------------------------------------------------------------------------------------------

_SKIPPED = names("script style title head noscript template svg math object iframe textarea select audio video canvas")
_BLOCKS = names("""
    address article aside blockquote body center dd details dialog div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5
    h6 header hr html li main menu nav ol p pre section summary table tbody tfoot thead tr ul caption
    """)
_SPACED = names("p h1 h2 h3 h4 h5 h6 ul ol dl table blockquote pre")
_HIDDEN_STYLE = re.compile(
    r"(?i)(?:^|[;\s])(?:display\s{0,5}:\s{0,5}none|visibility\s{0,5}:\s{0,5}hidden|mso-hide\s{0,5}:\s{0,5}all"
    r"|font-size\s{0,5}:\s{0,5}0(?:\.0{1,5})?(?:px|pt|em|%|rem)?\s{0,5}(?:;|!|$)|max-height\s{0,5}:\s{0,5}0(?:px)?\s{0,5}(?:;|!|$))"
)
_WHITE = re.compile(r"[ \t\r\n\f\v]+")
_BLANKS = re.compile(r"\n{3,}")
_TRAILING = re.compile(r"(?<![ \t])[ \t]+\n")


def html_to_text(html: str, quotes: bool = True) -> str:
    """The text that a reader would see: hidden text left out, blocks as lines, cells apart. At most 2 MB.

    `quotes` False leaves out block quotes and the quoted history that webmail marks.
    """
    if "\0" in html:
        html = html.replace("\0", "")
    if not html.strip():
        return ""
    if too_much(html):
        return _stripped(html)
    body = LexborHTMLParser(html).body
    return "" if body is None else _tidy(_walk(body, quotes))[:MAX_TEXT]


def _walk(root: LexborNode, quotes: bool) -> str:
    """Walk the tree without recursion. `kept` is the depth of open <pre>."""
    out: list[str] = []
    fresh = True  # at the begin of a line: leading blanks are dropped
    pre = 0
    node: LexborNode | None = root.child
    root_id = root.mem_id
    while node is not None:
        tag = node.tag
        if tag == "-text":
            text = node.text_content or ""
            if not pre:
                text = _WHITE.sub(" ", text)
                if fresh:
                    text = text.lstrip(" ")
            if text:
                out.append(text)
                fresh = text.endswith((" ", "\n"))
        elif tag == "br":
            out.append("\n")
            fresh = True
        elif tag is not None and tag not in _SKIPPED and tag[0] not in "-!" and not _hidden(node) and (quotes or not _quoted(node, tag)):
            if tag in _BLOCKS:
                out.append("\x01" if tag in _SPACED else "\x02")
                fresh = True
            elif tag in ("td", "th") and not fresh:
                out.append(" ")
                fresh = True
            if tag == "pre":
                pre += 1
            if node.child is not None:
                node = node.child
                continue
        else:
            tag = ""
        # Go up until there is a next sibling; blocks end their line.
        while True:
            if tag in _BLOCKS:
                out.append("\x01" if tag in _SPACED else "\x02")
                fresh = True
            if tag == "pre":
                pre -= 1
            following = node.next
            if following is not None:
                node = following
                break
            parent = node.parent
            if parent is None or parent.mem_id == root_id:
                return "".join(out)
            node = parent
            tag = node.tag or ""
    return "".join(out)


def _hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    if not attributes:
        return False
    style = attributes.get("style")
    return "hidden" in attributes or bool(style and _HIDDEN_STYLE.search(style[:5000]))


def _quoted(node: LexborNode, tag: str) -> bool:
    if tag == "blockquote":
        return True
    if tag != "div":
        return False
    marks = node.attributes
    words = f"{marks.get('class') or ''} {marks.get('id') or ''}"
    return any(word in words for word in ("gmail_quote", "yahoo_quoted", "divRplyFwdMsg", "moz-cite-prefix", "protonmail_quote", "zmail_extra"))


_BREAKS = re.compile("[\x01\x02 \t]*[\x01\x02][\x01\x02 \t\n]*")


def _tidy(text: str) -> str:
    """Block marks to line ends: a new line at blocks, an empty line around paragraphs, never more than one empty line."""
    if "\x01" in text or "\x02" in text:
        text = _BREAKS.sub(_break, text)
    text = text.replace("\xa0", " ").replace("\u200b", "").replace("\xad", "").replace("\u034f", "").replace("\u200c", "")
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    return _BLANKS.sub("\n\n", text).strip("\n \t")


def _break(match: re.Match[str]) -> str:
    found = match[0]
    return "\n\n" if "\x01" in found or found.count("\n") else "\n"
