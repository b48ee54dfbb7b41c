"""Download an archive: from several addresses, over broken connections, and never a wrong one."""

import os
import shutil
import time
from typing import NamedTuple

import requests

from bench.data.pins.digests import Progress, archive_fault
from bench.data.pins.pin import Pin
from bench.data.pins.transfer import BrokenOffError, Goal, RefusedError, Timeouts, receive, session
from bench.errors import BenchError, UsageError

GAIN = 1 << 20
"""Bytes after which a broken connection was not in vain, so that it does not count against `tries`."""


class Patience(NamedTuple):
    """How long a server is given."""

    tries: int = 4
    """Requests in a row that bring next to nothing, at one address."""
    wait_s: float = 1.0
    """Before the second try; doubled before each further one."""
    timeouts: Timeouts = Timeouts()


ORDINARY = Patience()


def fetch(pin: Pin, override: str | None, patience: Patience, progress: Progress) -> None:
    """Bring the archive to `pin.archive`, where only what agrees with every hash of the pin ever lies.

    `override` stands in for the pin's addresses; where it ends with `/`, the archive's name is added. The caller
    holds the lock of the pin. A part of an earlier attempt is completed if the pin has a hash to tell whether
    that went well. Raises BenchError, naming each address and what was wrong there.
    """
    goal = Goal(pin.archive.with_name(pin.archive.name + ".part"), pin.size, pin.limit)
    if pin.meta.sha256 is None or goal.have > goal.limit:
        goal.discard()
    _check_room(pin, goal)
    reasons = []
    with session() as client:
        for url in addresses(pin, override):
            reason = _from(client, url, pin, goal, patience, progress)
            if reason is None:
                return
            reasons.append(f"{url} {reason}")
    kept = f"; the first {goal.have} bytes are kept, repeat the command to go on" if goal.have else ""
    raise BenchError(f"{pin.name}: not downloaded: {'; '.join(reasons)}{kept}")


def addresses(pin: Pin, override: str | None) -> tuple[str, ...]:
    """Where the archive is looked for. Raises UsageError for an override that is not http or https."""
    if override is None:
        return pin.urls
    if not override.startswith(("http://", "https://")):
        raise UsageError(f"--url {override}: an address that starts with http:// or https:// is wanted")
    return (override + pin.meta.archive if override.endswith("/") else override,)


def _from(
    client: requests.Session, url: str, pin: Pin, goal: Goal, patience: Patience, progress: Progress
) -> str | None:
    """Download and verify from one address; None when the archive is in its place, else why it is not."""
    vain, anew = 0, True
    while True:
        before = goal.have
        try:
            if pin.size is None or before != pin.size:
                receive(client, url, goal, patience.timeouts, progress)
        except RefusedError as error:
            return str(error)
        except BrokenOffError as error:
            vain = 1 if goal.have >= before + GAIN else vain + 1
            if vain >= patience.tries:
                return f"{error}, {patience.tries} times in vain"
            if pin.meta.sha256 is None:
                goal.discard()
            time.sleep(patience.wait_s * 2 ** (vain - 1))
            continue
        fault = archive_fault(goal.part, pin, progress)
        if fault is None:
            _settle(pin, goal)
            return None
        goal.discard()
        # A part that was glued from two answers may be wrong though the server is right: once more, in one piece.
        if not (before and anew):
            return f"sends a wrong file, which is deleted: {fault}"
        anew = False


def _settle(pin: Pin, goal: Goal) -> None:
    with goal.part.open("rb") as handle:
        os.fsync(handle.fileno())
    goal.part.replace(pin.archive)
    goal.discard()


def _check_room(pin: Pin, goal: Goal) -> None:
    """Say at once what would otherwise be known after hours."""
    free, missing = shutil.disk_usage(goal.part.parent).free, (pin.size or 0) - goal.have
    if free < missing:
        raise BenchError(f"{goal.part.parent}: {free} bytes are free, {missing} more are needed for {pin.name}")
