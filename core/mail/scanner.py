"""The DATA scanner: finds the one true end of a mail in a stream of octets and undoes dot-stuffing.

Pure and linear: no lines are built, every octet but the transparency dots is given back as received.
"""

from __future__ import annotations

END = b"\r\n.\r\n"  # RFC 5321 4.1.1.4: exactly CR LF . CR LF ends the mail; nothing else does (smuggling)


class DataScanner:
    """Feed it what the network brings; it gives the clean octets of the mail.

    done     True once the terminator was seen
    rest     what came after the terminator (b"" until then)
    bare_cr  CRs that no LF follows, so far; what is held back is counted when it is given out
    bare_lf  LFs that no CR precedes

    Between two calls it holds back at most four octets: the longest end of the input that may begin the terminator.
    """

    __slots__ = ("_first", "_held", "bare_cr", "bare_lf", "done", "rest")

    def __init__(self) -> None:
        self._held = b"\r\n"  # a line end before the first line, so that a dot at once ends an empty mail
        self._first = True
        self.done = False
        self.rest = b""
        self.bare_cr = 0
        self.bare_lf = 0

    def feed(self, chunk: bytes) -> bytes:
        """The clean octets that this chunk completes. Must not be called when `done`."""
        octets = self._held + chunk if self._held else chunk
        clean = self._until_end(octets)
        if not clean:
            return b""
        self._count_bare(clean)
        if self._first:
            self._first = False
            # The virtual line end goes; a dot-stuffed first line has already lost its dot.
            clean = clean[2:]
        return clean

    def _until_end(self, octets: bytes) -> bytes:
        dot = octets.find(b"\r\n.")
        end = octets.find(END, dot) if dot >= 0 else -1
        if end >= 0:
            self.done, self.rest, self._held = True, octets[end + len(END) :], b""
            octets = octets[: end + 2]
            stuffed = dot < end
        else:
            held = next((n for n in (4, 3, 2, 1) if octets.endswith(END[:n])), 0)
            self._held = octets[len(octets) - held :] if held else b""
            octets = octets[: len(octets) - held] if held else octets
            stuffed = 0 <= dot < len(octets)
        # RFC 5321 4.5.2: the first dot of a line that is not the terminator is dropped.
        return octets.replace(b"\r\n.", b"\r\n") if stuffed else octets

    def _count_bare(self, octets: bytes) -> None:
        """A CR LF is never cut between two calls: what is held back begins with CR and takes its LF with it."""
        others = b"".join(octets.split(b"\r\n"))
        if b"\n" in others:
            self.bare_lf += others.count(b"\n")
        if b"\r" in others:
            self.bare_cr += others.count(b"\r")
