"""File names of parts: read from the raw parameters, cleaned for display and download."""

from __future__ import annotations

import mimetypes
import re
from pathlib import PurePosixPath

from core.mail.headers import Params, clean, decode_header
from core.mail.tree import Part

MAX_NAME = 200  # bytes in UTF-8

_BAD = re.compile('[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"]')
_DRIVE = re.compile(r"[A-Za-z]:(?=\S)")  # a path on Windows needs no slash behind it
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_USUAL = {
    "message/rfc822": ".eml",
    "message/global": ".eml",
    "message/delivery-status": ".txt",
    "text/rfc822-headers": ".txt",
    "text/calendar": ".ics",
    "application/ics": ".ics",
    "application/ms-tnef": ".dat",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/pgp-signature": ".asc",
    "application/pgp-encrypted": ".asc",
    "text/html": ".html",
    "text/plain": ".txt",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
}


def written_name(part: Part) -> str:
    """The name that the sender gave, cleaned; "" when there is none. Content-Disposition before Content-Type."""
    for params, name in ((part.disposition, "filename"), (part.params, "name")):
        text = _text(params, name)
        if text:
            found = safe_name(text)
            if found:
                return found
    return ""


def _text(params: Params, name: str) -> str:
    return params.text(name) or ""


def safe_name(text: str) -> str:
    """The last component, without controls, bidi characters and leading dots, at most 200 bytes with its extension kept."""
    text = clean(_BAD.sub("", text))
    text = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    text = text[2:] if _DRIVE.match(text) else text
    text = text.lstrip(". ").strip()
    if len(text.encode("utf-8", "replace")) <= MAX_NAME:
        return text
    match = _EXTENSION.search(text)
    extension = match[0] if match else ""
    return _fitting(text[: len(text) - len(extension)], extension)


def _fitting(stem: str, extension: str) -> str:
    return stem.encode("utf-8", "replace")[: MAX_NAME - len(extension)].decode("utf-8", "ignore") + extension


def made_name(content_type: str, number: int, subject: bytes | None = None) -> str:
    """A name for a part that has none: an original by its subject, else `part-3.png`."""
    extension = _USUAL.get(content_type) or mimetypes.guess_extension(content_type, strict=True) or ".bin"
    if subject is not None:
        name = safe_name(decode_header(subject[:1000]).replace("/", "-").replace("\\", "-"))
        if name:
            return _fitting(name[:120], extension)
    return f"part-{number + 1}{extension}"


def extension_of(name: str) -> str:
    return PurePosixPath(name).suffix.lower()
