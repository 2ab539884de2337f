"""What the arguments of SMTP and LMTP commands say: paths, parameters, XFORWARD attributes. Pure and linear.

Every function raises BadCommand, whose text is the whole reply. Replies never echo what the client sent.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from core.mail.addresses import normalise_domain

MAX_PATH = 256  # octets, RFC 5321 4.5.3.1.3

# RFC 5321 4.1.2, a little wider: dots may stand anywhere in a dot-string (real senders do it) and non-ASCII letters are let
# through here (RFC 6531 3.3) and judged later. No control, blank, comment, list or backslash outside a quoted string.
_ATOM = r'[^\x00-\x20\x7f"(),:;<>@\[\\\]]+'
_LOCAL = rf'(?:{_ATOM}|"(?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*")'
_HOST = r"(?:[^\x00-\x2c\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]+|\[[0-9A-Za-z.:]{1,60}\])"
_ROUTE = r'(?:@[^\x00-\x20\x7f"()<>:;]{1,255}:)?'  # RFC 5321 appendix C: a source route is read over
_PATH = re.compile(rf"\ *(?:<{_ROUTE}(?P<in>{_LOCAL})(?:@(?P<in_domain>{_HOST}))?>|(?P<null><>)|(?P<out>{_ATOM})@(?P<out_domain>{_HOST}))(?P<more>(?:\ .*)?)")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e\x80-\U0010ffff]+))?")
_HELLO = re.compile(r"[\x21-\x7e]{1,255}")
_XTEXT = re.compile(r"\+([0-9A-Fa-f]{2})")

SYNTAX_MAIL = "501 5.5.4 Syntax: MAIL FROM:<address>"
SYNTAX_RCPT = "501 5.5.4 Syntax: RCPT TO:<address>"


class BadCommand(Exception):
    """The command cannot be taken; `reply` is what to answer."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class MailFrom:
    """`address` is "" for the null sender; `size` is what the client says it will send, in octets, or None."""

    address: str
    size: int | None = None
    utf8: bool = False


def _text(argument: bytes, utf8_allowed: bool) -> str:
    if b"\0" in argument or b"\r" in argument or b"\n" in argument:
        raise BadCommand("501 5.5.2 Control characters are not allowed")
    try:
        text = argument.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand("553 5.6.7 The address is not valid UTF-8") from None
    if not utf8_allowed and not text.isascii():
        # RFC 6531 3.1: non-ASCII addresses only after the client has asked for SMTPUTF8
        raise BadCommand("553 5.6.7 Non-ASCII addresses need SMTPUTF8")
    return text


def _domain(domain: str) -> str:
    name = normalise_domain(domain)
    if name is None:
        raise BadCommand("553 5.1.3 The domain is not valid")
    return name


def _local_part(local: str) -> str:
    """A quoted local part that needs no quotes is the same mailbox as the plain one (RFC 5321 4.1.2)."""
    if local.startswith('"'):
        plain = re.sub(r"\\(.)", r"\1", local[1:-1])
        return plain if re.fullmatch(_ATOM, plain) else local
    return local


def _path(text: str, syntax: str) -> tuple[str | None, dict[str, str | None]]:
    """(address, parameters); the address is "" for <> and has no "@" when no domain was given."""
    found = _PATH.fullmatch(text)
    if found is None:
        raise BadCommand(syntax)
    local, domain = found["in"] or found["out"], found["in_domain"] or found["out_domain"]
    if local is None:
        address = ""
    elif domain is None:
        address = _local_part(local)
    else:
        address = f"{_local_part(local)}@{_domain(domain)}"
    if len(address.encode("utf-8")) > MAX_PATH - 2:
        raise BadCommand("501 5.1.3 The address is too long")
    return address, _parameters(found["more"])


def _words(text: str) -> list[str]:
    """Parted by spaces and tabs only: what else Unicode calls white space no other program would cut at."""
    return [word for word in text.replace("\t", " ").split(" ") if word]


def _parameters(text: str) -> dict[str, str | None]:
    parameters: dict[str, str | None] = {}
    for word in _words(text):
        found = _PARAMETER.fullmatch(word)
        if found is None or found[1].upper() in parameters:
            raise BadCommand("501 5.5.4 The parameters cannot be read")
        parameters[found[1].upper()] = found[2]
    return parameters


def read_mail(argument: bytes) -> MailFrom:
    """The argument of MAIL, which begins with FROM:. SIZE (RFC 1870), BODY (RFC 6152) and SMTPUTF8 (RFC 6531) are known."""
    if argument[:5].upper() != b"FROM:":
        raise BadCommand(SYNTAX_MAIL)
    text = _text(argument[5:], utf8_allowed=b"SMTPUTF8" in argument.upper().split())
    address, parameters = _path(text, SYNTAX_MAIL)
    size = parameters.pop("SIZE", "")
    if size is None or (size and not (size.isascii() and size.isdigit())):
        raise BadCommand("501 5.5.4 SIZE must be a number")
    body = parameters.pop("BODY", "7BIT")
    if body is None or body.upper() not in ("7BIT", "8BITMIME"):
        raise BadCommand("501 5.5.4 BODY must be 7BIT or 8BITMIME")
    utf8 = "SMTPUTF8" in parameters
    if parameters.pop("SMTPUTF8", None) is not None:
        raise BadCommand("501 5.5.4 SMTPUTF8 takes no value")
    if parameters:
        raise BadCommand("555 5.5.4 A parameter is not supported")
    # SIZE has at most 20 digits (RFC 1870 3); more only means "very large".
    return MailFrom(address or "", int(size[:25]) if size else None, utf8)


def read_rcpt(argument: bytes, utf8: bool) -> str:
    """The address that RCPT names, local part as written. Raises BadCommand: 501 no address, 550 no domain of ours."""
    if argument[:3].upper() != b"TO:":
        raise BadCommand(SYNTAX_RCPT)
    address, parameters = _path(_text(argument[3:], utf8_allowed=utf8), SYNTAX_RCPT)
    if not address:
        raise BadCommand("501 5.1.3 A recipient is needed")
    if parameters:
        raise BadCommand("555 5.5.4 A parameter is not supported")
    return address


def read_hello(argument: bytes) -> str:
    """The name of HELO, EHLO or LHLO: its first word, printable ASCII."""
    words = argument.split()
    name = words[0].decode("latin-1") if words else ""
    if not _HELLO.fullmatch(name):
        raise BadCommand("501 5.5.4 A host name is needed")
    return name


def read_xforward(argument: bytes) -> dict[str, str | None]:
    """Attributes of XFORWARD (Postfix XFORWARD_README) by upper-case name; None where the relay does not know."""
    found: dict[str, str | None] = {}
    for word in _words(argument.decode("latin-1")):
        name, equals, value = word.partition("=")
        name = name.upper()
        if not equals or name not in XFORWARD_ATTRIBUTES:
            raise BadCommand("501 5.5.4 An attribute is not known")
        # RFC 3461 4: xtext
        plain = _XTEXT.sub(lambda match: chr(int(match[1], 16)), value)
        if plain.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]", ""):
            found[name] = None
        elif name == "ADDR":
            found[name] = _ip(plain)
        elif name == "HELO":
            if not _HELLO.fullmatch(plain):
                raise BadCommand("501 5.5.4 HELO is no host name")
            found[name] = plain
        else:
            found[name] = None  # NAME, PORT, PROTO and SOURCE are taken and not used
    if not found:
        raise BadCommand("501 5.5.4 Syntax: XFORWARD attribute=value")
    return found


XFORWARD_ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "SOURCE")


def _ip(text: str) -> str:
    if text[:5].upper() == "IPV6:":
        text = text[5:]
    try:
        return plain_ip(text)
    except ValueError:
        raise BadCommand("501 5.5.4 ADDR is no address") from None


def plain_ip(text: str) -> str:
    """An IP address without zone; an IPv4 address that came as IPv6 is IPv4. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


# --- the PROXY protocol (haproxy's proxy-protocol.txt, versions 1 and 2) ---------------------------------------------

_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V1_LONGEST = 107
_V2_LONGEST = 16 + 2048  # addresses and TLVs; nothing in the field comes near


class BadProxy(Exception):
    """What came is no PROXY header."""


def read_proxy(octets: bytes) -> tuple[str | None, int] | None:
    """(client's IP or None for a connection of the proxy's own, length of the header); None when more octets are needed.

    Raises BadProxy.
    """
    if octets.startswith(_V2):
        return _proxy_v2(octets)
    if octets.startswith(b"PROXY "):
        return _proxy_v1(octets)
    if _V2.startswith(octets) or b"PROXY ".startswith(octets):
        return None
    raise BadProxy("no signature")


def _proxy_v1(octets: bytes) -> tuple[str | None, int] | None:
    end = octets.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(octets) >= _V1_LONGEST:
            raise BadProxy("version 1 header too long")
        return None
    words = octets[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return None, end + 2
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise BadProxy("version 1 header cannot be read")
    return _proxy_ip(words[2]), end + 2


def _proxy_v2(octets: bytes) -> tuple[str | None, int] | None:
    if len(octets) < 16:
        return None
    kind, family, length = octets[12], octets[13], int.from_bytes(octets[14:16], "big")
    if kind not in (0x20, 0x21) or 16 + length > _V2_LONGEST:
        raise BadProxy("version 2 header cannot be read")
    if len(octets) < 16 + length:
        return None
    size = {0x11: 4, 0x21: 16}.get(family, 0)  # TCP over IPv4, TCP over IPv6
    if kind == 0x20 or size == 0:  # LOCAL: a health check of the proxy; or a family without addresses
        return None, 16 + length
    if length < 2 * size + 4:
        raise BadProxy("version 2 header is too short")
    return plain_ip(str(ipaddress.ip_address(octets[16 : 16 + size]))), 16 + length


def _proxy_ip(text: str) -> str:
    try:
        return plain_ip(text)
    except ValueError:
        raise BadProxy("version 1 address cannot be read") from None
