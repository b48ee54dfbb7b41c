"""The published numbers and the data pins that come with the package, for a folder that holds none of its own."""

import site
import sysconfig
from pathlib import Path

_IN_A_CLONE = {"published": Path("baselines", "published"), "pins": Path("data")}
"""In the repository; an installed package has them in `share/qdet-bench/`."""


def shipped(what: str) -> Path:
    """The folder of `published` or of `pins`; it need not exist, since somebody may install the modules alone."""
    clone = Path(__file__).parents[1] / _IN_A_CLONE[what]
    # In an environment, for one user, and beside the modules, where `pip install --target` puts all.
    bases = (sysconfig.get_path("data"), site.getuserbase(), Path(__file__).parents[1])
    places = [Path(base, "share", "qdet-bench", what) for base in bases]
    return next((place for place in (clone, *places) if place.is_dir()), clone)
