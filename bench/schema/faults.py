"""A fault of a suite file that its schema does not see, and the line that it is about."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from bench.schema.source import Loc, Source

LISTED = 12
"""Names that a message lists."""


class Fault(NamedTuple):
    """What is wrong, and the value that it is about."""

    loc: Loc
    message: str

    def line(self, source: Source) -> int:
        """Line of the value; where that is a mapping or a list, of the key that leads to it."""
        value: Any = source.data
        for step in self.loc:
            if isinstance(value, dict) and step not in value:
                return source.line(self.loc)
            value = value[step]
        return source.key_line(self.loc) if isinstance(value, dict | list) else source.line(self.loc)


def below(loc: Loc, faults: Iterable[Fault]) -> Iterator[Fault]:
    """The faults of what stands at `loc`."""
    return (Fault((*loc, *fault.loc), fault.message) for fault in faults)


def unknown(what: str, name: str, known: Collection[str]) -> str:
    """`unknown detector 'x'; did you mean 'y'?`, or the names that there are."""
    near = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(sorted(known)[:LISTED]) or "none"
    listed += ", …" if len(known) > LISTED else ""
    return f"unknown {what} {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {listed}")
