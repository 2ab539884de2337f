"""Bytes to text: one function for bodies, headers and file names, with an allow-list of text codecs."""

from __future__ import annotations

import codecs
import re

# Python's codec table also knows zlib, rot13, idna …: only what stands here is ever looked up.
_KNOWN = """
ascii utf-8 utf-7 utf-16 utf-16-le utf-16-be utf-32 utf-32-le utf-32-be
iso8859-1 iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-11
iso8859-13 iso8859-14 iso8859-15 iso8859-16
cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874
cp437 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 cp866 cp869 cp720 cp1125
koi8-r koi8-u koi8-t kz1048 ptcp154 tis-620 hp-roman8
mac-roman mac-cyrillic mac-greek mac-latin2 mac-turkish mac-iceland
gb18030 hz big5 big5hkscs cp950 cp932 shift_jis_2004 euc_jp euc_jis_2004 cp949 euc_kr johab
iso2022_jp_ext iso2022_jp iso2022_jp_2 iso2022_jp_3 iso2022_jp_2004 iso2022_kr
"""

# What senders write -> what they mean; the first codec that fits strictly serves. WHATWG Encoding section 4.2 in spirit.
_LATIN = ("utf-8", "cp1252")
_MEANT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ascii", "us-ascii", "iso8859-1", "iso-8859-1", "latin1", "latin-1", "l1", "ansi_x3.4-1968", "ansi", "usascii", "8bit", "7bit"), _LATIN),
    **dict.fromkeys(("gb2312", "gbk", "x-gbk", "cp936", "ms936", "iso-gb2312", "gb_2312-80", "gb_2312", "iso-ir-58", "csgb2312", "csiso58gb231280", "euc-cn", "chinese", "gb18030", "gb18030-2022"), ("gb18030",)),
    **dict.fromkeys(("shift_jis", "shift-jis", "x-sjis", "sjis", "ms_kanji", "windows-31j", "ms-cp932", "ms932", "csshiftjis", "cp932", "cp943c"), ("cp932",)),
    **dict.fromkeys(("iso-2022-jp", "iso2022-jp", "csiso2022jp", "iso-2022-jp-ms", "cp50220", "cp50221"), ("iso2022_jp_ext", "iso2022_jp_2004", "cp932", "utf-8")),
    **dict.fromkeys(
        ("ks_c_5601-1987", "ks_c_5601", "ks-c-5601-1987", "ksc5601", "ksc_5601", "euc-kr", "euckr", "cseuckr", "korean", "iso-ir-149", "csksc56011987", "ks_c_5601-1989", "uhc", "cp949"), ("cp949",)
    ),
    **dict.fromkeys(("big5", "chinesebig5", "big5-eten", "cn-big5", "x-x-big5", "csbig5", "big5-hkscs", "big5hkscs"), ("big5hkscs", "cp950")),
    **dict.fromkeys(("visual", "logical", "hebrew", "csiso88598i", "csiso88598e"), ("iso8859-8",)),
    **dict.fromkeys(("csiso88596i", "csiso88596e"), ("iso8859-6",)),
    **dict.fromkeys(("koi", "koi8"), ("koi8-r",)),
    "koi8-ru": ("koi8-u",),
    "sun_eu_greek": ("iso8859-7",),
    "csisolatin9": ("iso8859-15",),
    "cseucpkdfmtjapanese": ("euc_jp",),
    "shift_jisx0213": ("shift_jis_2004",),
    "mac-ukrainian": ("mac-cyrillic",),
    **dict.fromkeys(("mac-ce", "mac-centraleurroman", "mac-centraleurope"), ("mac-latin2",)),
    "mac-icelandic": ("mac-iceland",),
    "mac-japanese": ("cp932",),
    **dict.fromkeys(("macintosh", "csmacintosh", "mac", "macroman"), ("mac-roman",)),
    **dict.fromkeys(("unicode-1-1-utf-7", "utf7", "utf-7", "unicode-2-0-utf-7"), ("utf-7",)),
    **dict.fromkeys(("utf8", "utf-8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "utf-8-mac", "utf-8-sig", "utf8-sig", "utf8mb4"), ("utf-8",)),
    **dict.fromkeys(("cp874", "iso8859-11", "tis-620", "tis620"), ("cp874", "iso8859-11")),
    **dict.fromkeys(("utf16", "utf-16", "ucs-2", "iso-10646-ucs-2", "csunicode", "unicode"), ("utf-16",)),
    **dict.fromkeys(("utf32", "utf-32", "ucs-4", "iso-10646-ucs-4"), ("utf-32",)),
    "unicodefeff": ("utf-16-le",),
    "unicodefffe": ("utf-16-be",),
    **dict.fromkeys(("hz-gb-2312", "hz"), ("hz",)),
}


def _allowed() -> dict[str, str]:
    """Every name and alias that Python knows for a codec of the list, to that codec."""
    table: dict[str, str] = {}
    for name in _KNOWN.split():
        table[codecs.lookup(name).name] = name
    return table


_ALLOWED = _allowed()
_LABEL = re.compile(r"[a-z0-9][a-z0-9_.:+-]{0,59}")
_CODE_PAGE = re.compile(r"(?:windows|win|cp|ibm|dos)[-_]?(?:cp)?(\d{3,5})(?:\Z|:)")
_ISO_8859 = re.compile(r"iso[-_]?8859[-_]?(\d{1,2})(?:-[ei])?")
_C1 = {0x80 + i: char for i, char in enumerate("€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ")}
_ESCAPED = ("utf-7", "hz", "iso2022", "utf-16", "utf-32")  # plain ASCII bytes may mean something else here
WIDE = frozenset((f"{name}{order}",) for name in ("utf-16", "utf-32") for order in ("", "-le", "-be"))
_cache: dict[str, tuple[str, ...]] = {}


def codecs_of(label: str | None) -> tuple[str, ...]:
    """The codecs to try for a declared charset, in order; () when it is missing or unknown."""
    if not label:
        return ()
    label = label[:100]
    found = _cache.get(label)
    if found is None:
        found = _look_up(label)
        if len(_cache) < 1000:
            _cache[label] = found
    return found


def _look_up(label: str) -> tuple[str, ...]:
    cleaned = label.lower().strip().removeprefix("charset").lstrip("= \t").strip("\"'` \t<>")
    cleaned = cleaned.partition("*")[0].strip()  # RFC 2231 section 5: *language
    match = _LABEL.match(cleaned)
    if match is None:
        return ()
    name = match[0]
    if name not in _MEANT:
        name = _usual(name)
    if name in _MEANT:
        return _MEANT[name]
    try:
        canonical = codecs.lookup(name).name
    except (LookupError, ValueError):
        return ()
    known = _ALLOWED.get(canonical)
    if known is None:
        return ()
    return _MEANT.get(known, _LATIN if known in ("ascii", "iso8859-1") else (known,))


def _usual(name: str) -> str:
    """The usual form of a label: `x-` of private ones gone, code pages as cp1252, ISO 8859 as iso8859-2 whatever its direction (RFC 1556)."""
    name = name.removeprefix("x-")
    page = _CODE_PAGE.match(name)
    if page is not None:
        return f"cp{page[1]}"
    iso = _ISO_8859.fullmatch(name)
    return f"iso8859-{iso[1]}" if iso is not None else name


def wide(label: str | None) -> bool:
    """True for UTF-16 and UTF-32, in which no line of a header can be."""
    return codecs_of(label)[:1] in WIDE


def windows_1252(data: bytes) -> str:
    """As browsers read it: the five holes are C1 controls, so nothing ever fails."""
    return data.decode("latin-1").translate(_C1)


def decode(data: bytes, label: str | None = None) -> tuple[str, str]:
    """Text of `data`, and which step served: "ascii", "bom", "declared", "utf-8", "replaced" or "guessed".

    The text holds no lone surrogates and no NUL (PostgreSQL takes neither).
    """
    names = codecs_of(label)
    escaped = bool(names) and names[0].startswith(_ESCAPED)
    if not escaped and data.isascii():
        return data.decode("ascii").replace("\0", ""), "ascii"
    text, step = _decode(data, names)
    if "\0" in text:
        text = text.replace("\0", "")
    if escaped:
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text, step


def _decode(data: bytes, names: tuple[str, ...]) -> tuple[str, str]:
    for mark, codec in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace"), "bom"
    if names and names[0] in ("utf-16", "utf-32"):
        return _wide(data, names[0]), "declared"
    for name in names:
        try:
            return _strict(data, name), "declared"
        except (UnicodeError, ValueError):
            continue
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    if names:
        try:
            return data.decode(names[0], "replace"), "replaced"
        except (UnicodeError, ValueError):
            pass
    return windows_1252(data), "guessed"


def _strict(data: bytes, name: str) -> str:
    return windows_1252(data) if name == "cp1252" else data.decode(name)


def _wide(data: bytes, name: str) -> str:
    """UTF-16 or UTF-32 without a byte order mark: big endian, or the other when that is the better fit."""
    big = data.decode(name + "-be", "replace")
    little = data.decode(name + "-le", "replace")
    return little if _plain(little) > _plain(big) else big


def _plain(text: str) -> int:
    sample = text[:4000]
    return sum(1 for char in sample if " " <= char <= "~" or char in "\r\n\t") - 2 * sample.count("\ufffd")
