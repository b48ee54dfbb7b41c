"""A server on the loopback interface that answers as badly as it is told to."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_REQUESTS = 100
PIECE = 1 << 16


@dataclass(frozen=True)
class Answer:
    """How one request is answered."""

    content: bytes | None = None
    """In place of the server's."""
    status: int | None = None
    """Of an answer without content."""
    ranges: bool = True
    cut: int | None = None
    """Bytes of the body after which the connection is closed."""
    extra: bytes = b""
    """Sent after the body, beyond the declared length."""
    length: int | None = None
    """Content-Length that is declared; -1: none."""
    range_text: str | None = None
    """Content-Range in place of the right one."""
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0
    """After each piece of 64 KiB."""


@dataclass
class Server:
    """Answers the requests in order; the last answer stands for all further ones."""

    content: bytes
    answers: Sequence[Answer]
    seen: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, Range and If-Range of each request."""
    url: str = ""


@contextmanager
def serving(content: bytes, *answers: Answer) -> Iterator[Server]:
    """A server of its own, on a free port, gone at the end."""
    told = Server(content, answers or (Answer(),))

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            told.seen.append((self.path, self.headers["Range"], self.headers["If-Range"]))
            number = len(told.seen)
            if number > MOST_REQUESTS:
                self.send_error(503)
                return
            answer(self, told, told.answers[min(number, len(told.answers)) - 1])

        def log_message(self, *_: object) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        told.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join(5)


def answer(handler: BaseHTTPRequestHandler, told: Server, how: Answer) -> None:
    body = told.content if how.content is None else how.content
    handler.close_connection = True
    if how.status is not None:
        handler.send_response(how.status)
        for name, value in how.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    total, begin = len(body), 0
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
    tag = handler.headers["If-Range"]
    if asked and how.ranges and tag in (None, how.headers.get("ETag")):
        begin = int(asked[1])
        if begin >= total:
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", how.range_text or f"bytes {begin}-{total - 1}/{total}")
    else:
        handler.send_response(200)
    rest = body[begin:]
    if how.length != -1:
        handler.send_header("Content-Length", str(len(rest) if how.length is None else how.length))
    for name, value in how.headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    rest = (rest if how.cut is None else rest[: how.cut]) + how.extra
    try:
        for start in range(0, len(rest), PIECE):
            handler.wfile.write(rest[start : start + PIECE])
            time.sleep(how.pause_s)
    except OSError:
        pass  # whoever asked has gone
