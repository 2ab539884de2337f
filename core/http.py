"""Requests of ours to other hosts: no private address, no redirect, bounded in size and time, only to hosts named in the call.

The name is resolved once, every address it has is judged, and the connection goes to a judged address, so a name that
changes its address in between (DNS rebinding) gains nothing. Proxies from the environment are not used.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from core.errors import HttpTrouble
from core.reasons import N_

Resolve = Callable[[str, int], list[str]]

TIMEOUT = 10.0  # seconds for everything: resolving, connecting, sending, reading
LIMIT = 1 << 20  # bytes of an answer's body
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back; a redirect is an answer like any other. Header names are in lower case."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def system_resolve(host: str, port: int) -> list[str]:
    """The addresses of a host as the system's resolver gives them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Client:
    """Makes outgoing requests safe.

    networks  CIDR networks that may be reached although they are private (an admin's choice; empty: none)
    plain     whether http:// is allowed beside https://
    resolve   gives the addresses of a host; raises OSError when there are none
    tls       the TLS settings; default: the system's certificate authorities
    """

    def __init__(
        self,
        *,
        networks: Collection[str] = (),
        plain: bool = False,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._schemes = ("https", "http") if plain else ("https",)
        self._resolve = resolve
        self._given_tls = tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Reading the certificate authorities takes a while, and most clients are made and never asked."""
        return self._given_tls or ssl.create_default_context()

    def get(
        self,
        url: str,
        *,
        hosts: Collection[str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = LIMIT,
        timeout: float = TIMEOUT,
    ) -> HttpAnswer:
        """GET. `hosts`: the only host names allowed, None for any. Raises HttpTrouble."""
        return self._request("GET", url, None, hosts, headers, limit, timeout)

    def post(
        self,
        url: str,
        body: bytes,
        *,
        hosts: Collection[str] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = LIMIT,
        timeout: float = TIMEOUT,
    ) -> HttpAnswer:
        """POST. Raises HttpTrouble."""
        return self._request("POST", url, body, hosts, headers, limit, timeout)

    def _request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        hosts: Collection[str] | None,
        headers: Mapping[str, str] | None,
        limit: int,
        timeout: float,
    ) -> HttpAnswer:
        ends = time.monotonic() + timeout
        parts, host, port = self._judged_url(url, hosts)
        addresses = self._judged_addresses(host, port)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"User-Agent": "Dropcopy", "Connection": "close", **(headers or {})}
        with _Deadline(ends) as deadline:
            connection = self._connect(parts.scheme, host, port, addresses, deadline)
            try:
                connection.request(method, target, body=body, headers=headers)
                answer = connection.getresponse()
                content = _read(answer, host, limit)
                if deadline.over:  # the end of a connection that we have cut looks like the end of an answer
                    raise HttpTrouble(N_("%(host)s did not answer in time."), host=host)
                return HttpAnswer(answer.status, content, {name.lower(): value for name, value in answer.getheaders()})
            except (OSError, http.client.HTTPException, ValueError) as error:
                if deadline.over:
                    raise HttpTrouble(N_("%(host)s did not answer in time."), host=host) from error
                raise HttpTrouble(N_("%(host)s could not be asked: %(why)s."), host=host, why=type(error).__name__) from error
            finally:
                connection.close()

    def _judged_url(self, url: str, hosts: Collection[str] | None) -> tuple[SplitResult, str, int]:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError as error:
            raise HttpTrouble(N_("The address of the request is no address."), refused=True) from error
        odd = not url.isascii() or any(c <= " " or c == "\x7f" for c in url)
        if odd or parts.scheme not in self._schemes or not host or parts.username is not None or parts.password is not None:
            raise HttpTrouble(N_("Only plain https addresses without user and password are asked."), refused=True)
        if hosts is not None and host not in {name.lower() for name in hosts}:
            raise HttpTrouble(N_("%(host)s is not among the hosts that may be asked for this."), host=host, refused=True)
        return parts, host, port or (443 if parts.scheme == "https" else 80)

    def _judged_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise HttpTrouble(N_("%(host)s could not be found."), host=host) from error
        if not addresses:
            raise HttpTrouble(N_("%(host)s could not be found."), host=host)
        # One private address among several is refused as well: which one is taken would be the host's choice.
        if not all(self._allowed(address) for address in addresses):
            raise HttpTrouble(N_("%(host)s has a private address, so it is not asked."), host=host, refused=True)
        return addresses

    def _allowed(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if any(ip in network for network in self._networks):
            return True
        return all(each.is_global and not each.is_multicast and not each.is_reserved for each in _inner(ip))

    def _connect(self, scheme: str, host: str, port: int, addresses: list[str], deadline: _Deadline) -> http.client.HTTPConnection:
        trouble: Exception | None = None
        for address in addresses[:4]:
            if deadline.over:
                break
            try:
                sock = socket.create_connection((address, port), timeout=deadline.left)
            except OSError as error:
                trouble = error
                continue
            deadline.watch(sock)
            try:
                if scheme == "https":
                    sock = self._tls.wrap_socket(sock, server_hostname=host)
                    deadline.watch(sock)
            except (OSError, ValueError) as error:
                sock.close()
                raise HttpTrouble(N_("%(host)s gave no trustworthy certificate or no TLS: %(why)s."), host=host, why=type(error).__name__) from error
            connection = http.client.HTTPConnection(host, port)
            connection.default_port = 443 if scheme == "https" else 80  # what the Host field leaves out
            connection.sock = sock
            return connection
        raise HttpTrouble(N_("%(host)s could not be reached."), host=host) from trouble


class _Deadline:
    """Shuts the watched sockets when the time is over: a read waits anew for every byte, so a host could drip for hours."""

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(self.left, self._shut)
        self._timer.daemon = True

    @property
    def left(self) -> float:
        return max(self._ends - time.monotonic(), 0.01)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends

    def watch(self, sock: socket.socket) -> None:
        self._sockets.append(sock)

    def _shut(self) -> None:
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _inner(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address and the IPv4 addresses hidden in it: mapped, 6to4, Teredo, NAT64 (RFC 4291, 3056, 4380, 6052)."""
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [ip]
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return [ip.ipv4_mapped]
        if ip.sixtofour is not None:
            found.append(ip.sixtofour)
        if ip.teredo is not None:
            found.extend(ip.teredo)
        if ip in ipaddress.IPv6Network("64:ff9b::/96"):
            found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return found


def _read(answer: http.client.HTTPResponse, host: str, limit: int) -> bytes:
    """The body, refused as soon as it is known to be larger than the limit."""
    content = bytearray()
    if (answer.length or 0) <= limit:
        while chunk := answer.read(min(CHUNK, limit + 1 - len(content))):
            content += chunk
    if (answer.length or 0) > limit or len(content) > limit:
        raise HttpTrouble(N_("The answer of %(host)s is larger than %(limit)s bytes."), host=host, limit=limit, refused=True)
    if answer.length:
        raise HttpTrouble(N_("The answer of %(host)s was cut off."), host=host)
    return bytes(content)
