"""One request: append to the part what a server sends, and tell a broken connection from a wrong file.

Through `requests`: certificates, proxies, chunked bodies and timeouts are its business, and it speaks http and
https only, so that no redirect leads to `file://`.
"""

import errno
import io
import json
import re
from pathlib import Path
from typing import NamedTuple

import requests

from bench.data.pins.digests import Progress
from bench.errors import BenchError

CHUNK = 1 << 16
"""Bytes received at once; what a killed process loses at most."""
REDIRECTS = 5
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_AGAIN = frozenset({408, 425, 429})


class Timeouts(NamedTuple):
    """Seconds."""

    connect: float = 15.0
    read: float = 60.0
    """Between two pieces of an answer."""


class BrokenOffError(Exception):
    """Worth another try at the same address; the part is kept."""


class RefusedError(Exception):
    """This address will not give the archive."""


class Goal(NamedTuple):
    """What is to be downloaded."""

    part: Path
    size: int | None
    """Bytes of the whole."""
    limit: int
    """Bytes at which it stops: `size`, or what an archive of unknown size may have."""

    @property
    def have(self) -> int:
        """Bytes that are here."""
        return self.part.stat().st_size if self.part.exists() else 0

    @property
    def note(self) -> Path:
        """Which address and which version of its file the part is of."""
        return self.part.with_name(self.part.name + ".json")

    def discard(self) -> None:
        """Forget the part."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class _Session(requests.Session):
    """Takes proxies and certificates from the environment, but sends nobody's password from `~/.netrc`."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = REDIRECTS
        self.auth = lambda request: request
        # Hashes are of the bytes as they lie on the server.
        self.headers["Accept-Encoding"] = "identity"

    def rebuild_auth(self, *_: object) -> None:
        """A redirect would look into `~/.netrc` again."""


def session() -> requests.Session:
    """A session for `receive`; to be closed."""
    return _Session()


def receive(client: requests.Session, url: str, goal: Goal, timeouts: Timeouts, progress: Progress) -> None:
    """Complete the part from `url`, from where it ends; from the start where the server cannot or it has changed.

    Raises BrokenOffError, RefusedError, and BenchError for a disk that is full or cannot be written.
    """
    have = goal.have
    try:
        with client.get(url, headers=_headers(url, goal), stream=True, timeout=timeouts) as response:
            begin = _begin(response, goal, have)
            _check_length(response, goal, begin)
            goal.note.write_text(json.dumps({"url": url, "etag": response.headers.get("ETag")}))
            _body(response, goal, begin, progress)
    except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL) as error:
        raise RefusedError(f"leads to an address that is not http or https ({_short(error)})") from None
    except requests.exceptions.TooManyRedirects:
        raise RefusedError(f"redirects more than {REDIRECTS} times") from None
    except requests.RequestException as error:
        raise BrokenOffError(f"broke off after {goal.have} bytes ({_short(error)})") from None
    if goal.size is not None and goal.have < goal.size:
        raise BrokenOffError(f"ended after {goal.have} of {goal.size} bytes")


def _headers(url: str, goal: Goal) -> dict[str, str]:
    """Ask for the rest only if the file is still that of the part; a weak tag promises no equal bytes."""
    if not goal.have:
        return {}
    headers = {"Range": f"bytes={goal.have}-"}
    try:
        note = json.loads(goal.note.read_text())
        tag = note["etag"] if note["url"] == url else None
    except (OSError, ValueError, KeyError, TypeError):
        tag = None
    return headers | {"If-Range": tag} if tag and tag.startswith('"') else headers


def _begin(response: requests.Response, goal: Goal, have: int) -> int:
    """The byte at which the answer starts."""
    status = response.status_code
    if status == 206 and have:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have or (goal.size and match[3] not in ("*", str(goal.size))):
            goal.discard()
            raise BrokenOffError(f"sent another range ({response.headers.get('Content-Range')!a}) than asked for")
        return have
    if status == 200:
        return 0
    if status == 416:
        goal.discard()
        raise BrokenOffError(f"has nothing after byte {have}")
    if status >= 500 or status in _AGAIN:
        raise BrokenOffError(f"answers {status} {response.reason}")
    raise RefusedError(f"answers {status} {response.reason}")


def _check_length(response: requests.Response, goal: Goal, begin: int) -> None:
    if (coding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise RefusedError(f"sends the file as {coding!a}, not as it is")
    length = response.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit():
        offered = begin + int(length)
        if goal.size is not None and offered != goal.size:
            raise RefusedError(f"offers {offered} bytes, the pin has {goal.size}")
        if offered > goal.limit:
            raise RefusedError(f"offers {offered} bytes, at most {goal.limit} are allowed")


def _body(response: requests.Response, goal: Goal, begin: int, progress: Progress) -> None:
    done = begin
    # Unbuffered, so that what was received is in the file even if this process is killed the next moment.
    with goal.part.open("r+b" if begin else "wb", buffering=0) as sink:
        sink.seek(begin)
        for chunk in response.iter_content(CHUNK):
            if done + len(chunk) > goal.limit:
                goal.discard()
                raise RefusedError(f"sends more than the {goal.limit} bytes that are allowed; the part is deleted")
            _write(sink, chunk, goal)
            done += len(chunk)
            progress(f"downloading {goal.part.name.removesuffix('.part')}", done, goal.size)


def _write(sink: io.FileIO, chunk: bytes, goal: Goal) -> None:
    """Write all of it: a raw file may take less than it is given."""
    view = memoryview(chunk)
    try:
        while view:
            view = view[sink.write(view) :]
    except OSError as error:
        mend = "make room and repeat the command" if error.errno == errno.ENOSPC else "mend that and repeat"
        raise BenchError(f"{goal.part}: cannot be written: {error.strerror}; the part is kept, {mend}") from error


def _short(error: Exception) -> str:
    """The innermost reason, on one short line."""
    reason = str(error.args[0] if error.args else error) or type(error).__name__
    return " ".join(reason.split())[:120]
