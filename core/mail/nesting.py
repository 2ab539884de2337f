"""How deep HTML nests and how many attributes a tag has, told in one pass and without a tree: parsers take time with the square of both.

The tokens are those of the HTML standard (13.2.5). Of its tree construction only as much is followed as is needed never to
count too little: an end tag lowers the count only where every parser would close an element of that name. What a parser
closes by itself may stay counted, so the answer can be too high for sloppy HTML, and where parsers read differently it is "deep".
"""

from __future__ import annotations

import re
from itertools import islice


def names(text: str) -> frozenset[str]:
    """Names of elements, written with blanks between them."""
    return frozenset(text.split())


MAX_ATTRIBUTES = 500  # of one tag

_SPACE = r"\t\n\f\r "
_VALUE = rf"[{_SPACE}]*+=[{_SPACE}]*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^{_SPACE}>\"'][^{_SPACE}>]*+)?+"
_ATTRIBUTE = rf"(?:=[^{_SPACE}/>=]*+|[^{_SPACE}/>=]++)(?:{_VALUE})?+"  # an attribute may be called "="
_TOKEN = re.compile(
    r"<(?:!--(?:-?>|(?s:.*?)(?:--!?>|\Z))"  # a comment
    r"|(?P<bogus>[!?]|/(?![a-zA-Z]))[^>]*+"  # what is read as a comment up to the next >
    rf"|(?P<end>/?)(?P<name>[a-zA-Z][^{_SPACE}/>]*+)"
    rf"(?:[{_SPACE}/]++|{_ATTRIBUTE})*+)"
)
_ONE_ATTRIBUTE = re.compile(rf"[{_SPACE}/]*+{_ATTRIBUTE}")
_VOID = names("area base br col embed hr img input link meta param source track wbr")
_ROWS = names("tr thead tbody tfoot colgroup")  # one of each stands open in a table, and tables are counted
_FRAME = names("html head body")
_FEW = names("p td th")  # one of these stands open in a table or another element of `_MARKERS`, which are counted
_ITEMS = names("li dd dt p")
_LISTS = names("ul ol dl menu dir")
_HEADINGS = names("h1 h2 h3 h4 h5 h6")
# Of what is not counted, these close foreign elements before they are put in; the others would nest among those.
_LEAVE_FOREIGN = names("br embed hr img meta head body")
_RAW = names("script style title textarea xmp iframe noembed noframes")
_FORMATTING = names("a b big code em font i nobr s small strike strong tt u")
_FOREIGN = names("svg math foreignobject desc title mi mo mn ms mtext annotation-xml")
_MARKERS = _FOREIGN | names("applet caption marquee object table td th template select frameset noscript")
_SPECIAL = _MARKERS | names("""
    address article aside blockquote button center dd details dialog dir div dl dt fieldset figcaption figure footer form h1 h2 h3 h4
    h5 h6 header hgroup li listing main menu nav ol p plaintext pre search section summary ul
    """)
_TABLES = names("table template")
_ODD = names("svg math select frameset")  # inside these a parser reads raw text and CDATA in another way
_TO_TABLE = _TABLES | names("svg math select noscript")
_MOST_STEPS = 4_000_000  # through the stack; honest HTML of 2 MB takes some 200,000
_LOOPS = 8  # 13.2.6.4.7, adoption agency: blocks that an end tag of formatting reaches through, at most


def deeper_than(html: str, most: int) -> bool:
    """True when more than `most` elements may be open at once, or a tag has more attributes than `MAX_ATTRIBUTES`.

    Linear: the stack is bounded, and so are the steps through it.
    """
    return _Nesting(most).read(html)


def _crowded(html: str, pos: int, end: int) -> bool:
    """True when the tag whose name ends at `pos` has too many attributes; each is compared with all before it."""
    return end - pos > 2 * MAX_ATTRIBUTES and next(islice(_ONE_ATTRIBUTE.finditer(html, pos, end), MAX_ATTRIBUTES, None), None) is not None


class _Nesting:
    def __init__(self, most: int) -> None:
        self.most = most
        self.stack: list[str] = []  # what may be open; of what a parser closes by itself some stays here
        self.weight: list[int] = []
        self.sure: list[bool] = []  # which of them are open for certain
        self.depth = 0  # the sum of the weights
        self.odd = False
        self.steps = 0

    def read(self, html: str) -> bool:
        pos = 0
        noscript_end = 0  # where the text of a <noscript> ends for those that run scripts
        while True:
            token = _TOKEN.search(html, pos)
            if token is None:
                return False
            if token.start() < noscript_end < token.end() or pos < noscript_end < token.start():
                return True  # its text is no whole number of tokens: parsers with and without scripts read on at two places
            pos = token.end()
            name = token["name"]
            if name is None:
                if self.odd and html.startswith("<![CDATA[", token.start()):
                    return True
                continue
            if _crowded(html, token.end("name"), pos):
                return True
            name = name.lower() if name.isascii() else name
            if token["end"]:
                self._close(name)
                continue
            if name == "plaintext":
                return self.odd
            if name in _RAW:
                text = self._raw_text(html, name, pos)
                if text is None:
                    return True
                pos = text
                continue
            if name == "noscript" and noscript_end < pos:
                found = re.compile(rf"(?i)</noscript(?=[{_SPACE}/>])").search(html, pos)
                if found is None:
                    return True
                noscript_end = found.start()
            self._open(name)
            if self.depth > self.most or len(self.stack) > 4 * self.most or self.steps > _MOST_STEPS:
                return True

    def _raw_text(self, html: str, name: str, pos: int) -> int | None:
        """Where the text of an element ends that holds no tags; None when parsers may not agree."""
        found = re.compile(rf"(?i)</{name}(?=[{_SPACE}/>])").search(html, pos)
        end = len(html) if found is None else found.start()
        if self.odd and html.find("<", pos, end) >= 0:
            return None
        if name == "script" and html.find("<!--", pos, end) >= 0:  # 13.2.5.18: a script inside may hide the end
            return None
        return end

    def _open(self, name: str) -> None:
        if name in _ROWS or name == "caption" or name == "col":
            self._doubt("table")
        if not self.odd:
            if name in _VOID or name in _FRAME or name in _ROWS:
                return
            # These close one of their kind before them.
            if name == "p":
                self._remove(("p",), _MARKERS | {"button"})
            elif name == "li":
                self._remove(("li",), _SPECIAL - {"address", "div", "p", "li"})
            elif name in ("dd", "dt"):
                self._remove(("dd", "dt"), _SPECIAL - {"address", "div", "p", "dd", "dt"})
            elif name in ("td", "th"):
                self._doubt("table")
                self._remove(("td", "th"), _TO_TABLE)
            elif name == "button":
                self._doubt("button")
        elif name in _LEAVE_FOREIGN:
            return
        self.odd = self.odd or name in _ODD
        weight = 0 if name in _FEW and not self.odd else 1
        self.stack.append(name)
        self.weight.append(weight)
        self.sure.append(True)
        self.depth += weight

    def _close(self, name: str) -> None:
        if name in _ROWS or name in ("td", "th", "caption"):
            self._doubt("table")
        if name in _FORMATTING:
            self._remove((name,), _MARKERS, formatting=True)
        elif name in _TABLES or name in ("td", "th", "caption"):
            self._remove((name,), _TO_TABLE - {name})
        elif name == "p":
            self._remove((name,), _MARKERS | {"button"})
        elif name == "li":
            self._remove((name,), _MARKERS | {"ul", "ol"})
        elif name in _HEADINGS:
            self._remove(tuple(_HEADINGS), _MARKERS)
        elif name in _FOREIGN:  # its end tag reaches it through no HTML element
            if self.stack and self.stack[-1] == name:
                self._take(len(self.stack) - 1)
        elif name == "noscript" or name not in _SPECIAL:
            self._remove((name,), _SPECIAL - {name})
        else:
            self._remove((name,), _MARKERS - {name})

    def _remove(self, names: tuple[str, ...], walls: frozenset[str], formatting: bool = False) -> None:
        """Take the topmost of these elements away, unless a wall stands above it. What stands above it may now be closed too."""
        stack = self.stack
        if self.steps > _MOST_STEPS or not any(name in stack for name in names):
            return
        blocks = 0
        for index in range(len(stack) - 1, -1, -1):
            self.steps += 1
            if stack[index] in names:
                if blocks < _LOOPS or not formatting:
                    self._take(index)
                return
            if stack[index] in walls:
                return
            blocks += stack[index] in _SPECIAL

    def _take(self, index: int) -> None:
        name = self.stack[index]
        gone = [index]
        if name in _LISTS and self.sure[index] and _ITEMS.issuperset(self.stack[index + 1 :]):
            gone = list(range(index, len(self.stack)))  # the end tags of items may be left out
        elif name in ("table", "td", "th"):  # so may those of cells and of paragraphs inside
            gone += [at for at in range(index + 1, len(self.stack)) if not self.weight[at]]
        self.sure[index:] = [False] * (len(self.stack) - index)
        for at in reversed(gone):
            self.depth -= self.weight[at]
            del self.stack[at], self.weight[at], self.sure[at]

    def _doubt(self, name: str) -> None:
        """Whatever stands in the innermost of these may be closed without an end tag of its own."""
        if name in self.stack:
            index = len(self.stack) - self.stack[::-1].index(name)
            self.sure[index:] = [False] * (len(self.stack) - index)
