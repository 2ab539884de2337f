"""Our requests to other hosts go only where they may, follow nothing, and end in time."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.errors import HttpTrouble
from core.http import Client, HttpAnswer


class Talker:
    """A server that sends the given bytes to whoever connects; `then` may go on with the socket."""

    def __init__(self, reply: bytes, then: Callable[[socket.socket], None] | None = None) -> None:
        self.reply, self.then = reply, then
        self.heard: list[bytes] = []
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        try:
            self.heard.append(sock.recv(65536))
            sock.sendall(self.reply)
            if self.then:
                self.then(sock)
            sock.close()
        except OSError:
            return

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def talk() -> Iterator[Callable[..., Talker]]:
    made: list[Talker] = []

    def start(reply: bytes, then: Callable[[socket.socket], None] | None = None) -> Talker:
        made.append(Talker(reply, then))
        return made[-1]

    yield start
    for talker in made:
        talker.close()


def near(**more: Any) -> Client:
    """A client that may go to this machine, as every name leads to it."""
    return Client(networks=["127.0.0.0/8"], plain=True, resolve=lambda host, port: ["127.0.0.1"], **more)


def test_an_answer_comes_back_whole(talk: Callable[..., Talker]) -> None:
    server = talk(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Note: a\r\n\r\nhi")
    answer = near().post(f"http://host.example:{server.port}/a?b=c", b"body", headers={"X-Ours": "1"}, hosts=["host.example"])
    assert (answer.status, answer.body, answer.headers["x-note"]) == (200, b"hi", "a")
    assert server.heard[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert f"Host: host.example:{server.port}\r\n".encode() in server.heard[0]
    assert server.heard[0].endswith(b"\r\n\r\nbody") or b"X-Ours: 1" in server.heard[0]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "2002:a00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "nonsense", "192.0.2.1", "198.18.0.1",
    ],
)  # fmt: skip
def test_a_private_address_is_refused_after_resolution(address: str) -> None:
    client = Client(resolve=lambda host, port: ["93.184.216.34", address])
    with pytest.raises(HttpTrouble) as trouble:
        client.get("https://innocent.example/")
    assert trouble.value.refused


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://2130706433/", "https://0x7f.1/", "https://127.1/"])
def test_this_machine_is_refused_by_any_of_its_names(url: str) -> None:
    with pytest.raises(HttpTrouble):
        Client().get(url)


def test_a_name_is_resolved_once_so_it_cannot_change_its_mind(talk: Callable[..., Talker]) -> None:
    server = talk(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    client = Client(networks=["127.0.0.0/8"], plain=True, resolve=resolve)
    assert client.get(f"http://host.example:{server.port}/").status == 200
    assert asked == ["host.example"]


@pytest.mark.parametrize(
    "url",
    [
        "http://host.example/", "ftp://host.example/", "file:///etc/passwd", "https://user:pw@host.example/", "https://@host.example/", "https:///x", "",
        "https://host.example/a b", "https://host.example/\r\nX: y", "https://host.example:99999/", "https://[::1/", "https://höst.example/", "//host.example/",
    ],
)  # fmt: skip
def test_an_odd_address_is_refused(url: str) -> None:
    def never(host: str, port: int) -> list[str]:
        raise AssertionError("nothing may be looked up")

    with pytest.raises(HttpTrouble) as trouble:
        Client(resolve=never).get(url)
    assert trouble.value.refused


def test_only_the_hosts_of_the_call_are_asked() -> None:
    for url in ("https://evil.example/", "https://host.example.evil.example/", "https://xhost.example/"):
        with pytest.raises(HttpTrouble, match="not among the hosts") as trouble:
            near().get(url, hosts=["host.example"])
        assert trouble.value.refused


def test_a_redirect_is_an_answer_and_is_not_followed(talk: Callable[..., Talker]) -> None:
    server = talk(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n")
    answer = near().get(f"http://host.example:{server.port}/")
    assert (answer.status, answer.headers["location"], len(server.heard)) == (302, "http://169.254.169.254/", 1)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n",
    ],
)
def test_an_answer_larger_than_the_limit_is_refused(talk: Callable[..., Talker], reply: bytes) -> None:
    server = talk(reply)
    with pytest.raises(HttpTrouble, match="larger"):
        near().get(f"http://host.example:{server.port}/", limit=100_000)


@pytest.mark.parametrize(
    "reply",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"HTTP/1.1 999999 x\r\n\r\n"],
)
def test_a_broken_answer_is_trouble(talk: Callable[..., Talker], reply: bytes) -> None:
    server = talk(reply)
    with pytest.raises(HttpTrouble) as trouble:
        near().get(f"http://host.example:{server.port}/")
    assert not trouble.value.refused


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_host_that_drips_is_left_in_time(talk: Callable[..., Talker], beginning: bytes) -> None:
    gone = threading.Event()

    def drip(sock: socket.socket) -> None:
        try:
            while not gone.wait(0.02):
                sock.sendall(b"x")
        except OSError:
            gone.set()

    server = talk(beginning, drip)
    began = time.monotonic()
    with pytest.raises(HttpTrouble):
        near().get(f"http://host.example:{server.port}/", timeout=0.4)
    assert time.monotonic() - began < 5
    gone.set()


def test_a_certificate_that_is_not_trusted_ends_it(talk: Callable[..., Talker]) -> None:
    server = talk(b"this is no TLS")
    with pytest.raises(HttpTrouble, match="certificate or no TLS"):
        near(tls=ssl.create_default_context()).get(f"https://host.example:{server.port}/")


def test_nobody_there_is_trouble_and_no_refusal() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(HttpTrouble) as trouble:
            near().get(f"http://host.example:{sock.getsockname()[1]}/")
    assert not trouble.value.refused


def test_a_proxy_of_the_environment_is_not_used(talk: Callable[..., Talker], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = talk(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert near().get(f"http://host.example:{server.port}/") == HttpAnswer(204, b"", {})
