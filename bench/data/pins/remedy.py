"""What brings data that are absent: a pin, or the variable in the path that a suite names."""

import re
from collections.abc import Iterable
from pathlib import Path

from bench.data.pins.pin import FOLDER, names

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)[^{}]*\}/?(.*)", re.DOTALL)


def remedy(path: str, absent: Iterable[str], root: Path) -> str | None:
    """The commands and variables to use, on one line; None where none is known.

    `path` is the data set's, as its suite has it; `absent` says, line by line, what is not there.
    """
    places = [f"{line.partition(': ')[0]}/" for line in absent]
    pins = [name for name in names(root) if any(f"/{name}/" in place for place in places)]
    words = [f"run `qdet-bench data get {name}`" for name in pins]
    if match := _VARIABLE.fullmatch(path):
        variable, rest = match.groups()
        if any(rest == f"{FOLDER}/{name}" for name in pins):
            words[-1] += f" and set {variable}=."
        words.append(f"set {variable} to the folder that holds {rest or 'the data'}")
    return "; or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else (words[0] if words else None)
