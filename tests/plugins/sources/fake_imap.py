"""An IMAP server that says whatever a test wants, for what no real server does."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[["FakeImap", str, str], "bytes | None"]


class FakeImap:
    """One mailbox with mails by UID. `odd(server, tag, line)` may answer a command in its own way: bytes are sent as they
    are, b"" hangs up, None leaves it to the ordinary answer."""

    def __init__(self, mails: dict[int, bytes], odd: Answer | None = None, *, capabilities: str = "IMAP4rev1 UIDPLUS") -> None:
        self.mails = dict(mails)
        self.odd = odd or (lambda server, tag, line: None)
        self.capabilities = capabilities
        self.validity = 7
        self.lines: list[str] = []  # what clients said
        self.connections = 0
        self.sent = 0
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FakeImap:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()
        for sock in self._open:
            sock.close()

    def said(self, pattern: str) -> list[str]:
        return [line for line in self.lines if re.search(pattern, line)]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        try:
            self._send(sock, b"* OK ready\r\n")
            reader = sock.makefile("rb")
            while line := reader.readline():
                text = line.decode("latin-1").rstrip("\r\n")
                self.lines.append(text)
                tag, _, rest = text.partition(" ")
                answer = self.odd(self, tag, rest)
                if answer is None:
                    answer = self._answer(tag, rest)
                if answer == b"":
                    break
                self._send(sock, answer)
                if b"* BYE" in answer:
                    break
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def _send(self, sock: socket.socket, data: bytes) -> None:
        self.sent += len(data)
        sock.sendall(data)

    def _answer(self, tag: str, line: str) -> bytes:
        ok = f"{tag} OK done\r\n".encode()
        word = line.upper()
        if word.startswith("CAPABILITY"):
            return f"* CAPABILITY {self.capabilities}\r\n".encode() + ok
        if word.startswith(("EXAMINE", "SELECT")):
            shape = f"* {len(self.mails)} EXISTS\r\n* OK [UIDVALIDITY {self.validity}]\r\n* OK [UIDNEXT {max(self.mails, default=0) + 1}]\r\n"
            return shape.encode() + ok
        if word.startswith("UID SEARCH"):
            return f"* SEARCH {' '.join(map(str, sorted(self.mails)))}\r\n".encode() + ok
        if word.startswith("UID FETCH"):
            return b"".join(self.item(uid, line) for uid in self._named(line)) + ok
        if word.startswith("LOGOUT"):
            return b"* BYE\r\n" + ok
        return ok

    def _named(self, line: str) -> list[int]:
        listed = line.split(" ")[2]
        return [int(uid) for uid in listed.split(",") if int(uid) in self.mails]

    def item(self, uid: int, line: str) -> bytes:
        """The ordinary FETCH answer of one mail."""
        raw, number = self.mails[uid], sorted(self.mails).index(uid) + 1
        if "RFC822.SIZE" in line:
            return f'* {number} FETCH (UID {uid} RFC822.SIZE {len(raw)} INTERNALDATE "22-Nov-2026 08:00:00 +0100")\r\n'.encode()
        piece = re.search(r"<(\d+)\.(\d+)>", line)
        name = "BODY[]"
        if piece:
            raw, name = raw[int(piece[1]) : int(piece[1]) + int(piece[2])], f"BODY[]<{piece[1]}>"
        return f"* {number} FETCH (UID {uid} {name} {{{len(raw)}}}\r\n".encode() + raw + b")\r\n"


class FakeRelay:
    """Passes a connection on and counts the bytes of both ways."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._target = port
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FakeRelay:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._sock.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: Any, other: Any) -> None:
        try:
            while data := one.recv(65536):
                self.bytes += len(data)
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return
