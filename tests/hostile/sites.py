"""A server on the loopback interface that answers as it is told, byte by byte, and notes what it was asked."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Script = bytes | Callable[[socket.socket], object]
"""What follows a request's head: bytes, or whatever is done with the connection."""


@dataclass
class Site:
    """A running server; `heads` are the requests' heads, in order."""

    port: int
    scripts: Mapping[str, Script]
    heads: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)  # as given in TLS's SNI
    num_open: int = 0
    most_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, connection: socket.socket) -> None:
        with self.lock:
            self.num_open += 1
            self.most_open = max(self.most_open, self.num_open)
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := connection.recv(65_536)):
                    return
                if data.startswith(b"\x16"):  # a TLS handshake, which a plain server does not know
                    connection.sendall(answer(b"", status="400 Bad Request"))
                    return
                head += data
            self.heads.append(head.decode("ascii"))
            script = self.scripts[self.heads[-1].split()[1]]
            if callable(script):
                script(connection)
            else:
                connection.sendall(script)
        finally:
            with self.lock:
                self.num_open -= 1


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    declared = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join([f"HTTP/1.1 {status}", declared, *headers, "", ""]).encode("latin-1") + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", status=status)


@contextlib.contextmanager
def site(
    scripts: Mapping[str, Script], *, address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Site]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            connection = self.request
            connection.settimeout(10)
            with contextlib.suppress(OSError):  # whoever asked may hang up, which is what most attacks come to
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                running.serve(connection)
                connection.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server((address, port), Handler) as server:
        running = Site(server.server_address[1], scripts)
        if tls is not None:
            tls.sni_callback = lambda _socket, name, _context: running.names.append(name)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
