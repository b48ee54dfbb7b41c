"""Make the site a mirror of the repository: each page stands at its own path, so a link works in both.

MkDocs itself reads only `docs/`. The README is the first page, and the pages about suites, baselines and results stay
beside what they describe.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PATTERNS = (
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/*.md",
    "docs/*.css",
    "data/README.md",
    "suites/**/*.md",
    "suites/**/*.yaml",
    "baselines/**/*.md",
    "baselines/**/*.json",
    "baselines/published/*.yaml",
    "results/*.md",
    "results/[!l]*/**/*.md",
    "results/[!l]*/**/*.png",
)
"""What the site holds; results/local/ is what a user measured, and no part of it."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, by their path in the repository."""
    root = Path(config.config_file_path).parent
    theme = [file for file in files if file.src_dir != config.docs_dir]
    found = sorted({path for pattern in PATTERNS for path in root.glob(pattern)})
    pages = [File.generated(config, path.relative_to(root).as_posix(), abs_src_path=str(path)) for path in found]
    return Files(theme + pages)
