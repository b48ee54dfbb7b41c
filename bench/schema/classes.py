"""Facts about a class, read from its source: planning must neither import torch nor run a user's code."""

import ast
import difflib
import hashlib
import sys
import warnings
from collections.abc import Iterable
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NamedTuple

import bench
from bench.errors import UsageError

PACKAGE = Path(bench.__file__).parent
MAX_BASES = 8
"""Base classes are followed this far."""


class ClassFacts(NamedTuple):
    """What a class statement says."""

    version: int | None
    """The constant that its body assigns to `version`; None where it assigns none, or something else."""
    members: frozenset[str]
    """Names that it or a base class defines, as far as the bases can be followed in source."""


def read_class(target: str, ignore: str = "") -> ClassFacts:
    """Facts about the class `package.module:Class`; members of the base class `ignore` do not count.

    Raises LookupError with the reason where the module cannot be found or read, or has no such class.
    """
    module, _, name = target.partition(":")
    tree = _source(module)
    node = _classes(tree).get(name)
    if node is None:
        raise LookupError(f"{_find(module)} has no class {name}")
    return ClassFacts(_version(node), frozenset(_members(node, tree, module, ignore, MAX_BASES)))


def check_class(what: str, name: str, target: str, ignore: str, known: Iterable[str]) -> tuple[int, frozenset[str]]:
    """Version and members (`read_class`) of the class of a method or detector.

    Args:
        what: `method` or `detector`, for messages.
        name: as the suite has it.
        target: its class, `package.module:Class`; an unknown name without a colon is answered with a near one.
        ignore: as `read_class` has it.
        known: the built-in names.

    Raises UsageError where the module or class is absent, or has no positive integer `version`.
    """
    if ":" not in target:
        near = difflib.get_close_matches(name, known := sorted(known), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}; or package.module:Class"
        raise UsageError(f"unknown {what} {name!r}; {hint}")
    try:
        found = read_class(target, ignore)
    except LookupError as error:
        raise UsageError(f"{what} {name!r}: {error.args[0]}") from None
    if found.version is None or found.version < 1:
        raise UsageError(f"{what} {name!r}: its class needs a line such as `version = 1` of its own")
    return found.version, found.members


def check_function(what: str, target: str) -> None:
    """UsageError where `package.module:function` cannot be found in source; `what` it is, for the message."""
    module, _, name = target.partition(":")
    try:
        if not any(isinstance(line, ast.FunctionDef) and line.name == name for line in _source(module).body):
            raise LookupError(f"{_find(module)} has no function {name}")
    except LookupError as error:
        raise UsageError(f"{what} {target!r}: {error.args[0]}") from None


def source_hash(target: str) -> str | None:
    """sha256 of the file that `package.module:Class` stands in; None where it cannot be found or read."""
    try:
        return hashlib.sha256(_find(target.partition(":")[0]).read_bytes()).hexdigest()
    except (LookupError, OSError):
        return None


def _find(module: str) -> Path:
    """The file of a module. `importlib.util.find_spec` would import the packages around it."""
    top, *inner = module.split(".")
    if top == bench.__name__:
        # Wherever it was imported from: an editable installation is no folder on the path.
        file, folders = None, [PACKAGE]
    else:
        file, folders = _top(top)
    for part in inner:
        file, folders = _below(part, folders)
    if file is None:
        raise LookupError(f"there is no module {module} with Python source on the Python path")
    return file


def _top(name: str) -> tuple[Path | None, list[Path]]:
    """File of a top-level module, and the folders of its modules where it is a package."""
    for finder in sys.meta_path:
        try:
            spec: ModuleSpec | None = finder.find_spec(name, None)
        except (ImportError, ValueError, AttributeError):
            continue
        if spec is not None:
            file = Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
            return file, [Path(folder) for folder in spec.submodule_search_locations or ()]
    return None, []


def _below(name: str, folders: list[Path]) -> tuple[Path | None, list[Path]]:
    """The same for a module of a package."""
    for folder in folders if name else []:
        for file in (folder / name / "__init__.py", folder / f"{name}.py"):
            if file.is_file():
                return file, [file.parent] if file.name == "__init__.py" else []
    # A folder without `__init__.py` is a package as well.
    return None, [folder / name for folder in folders if name and (folder / name).is_dir()]


def _source(module: str) -> ast.Module:
    file = _find(module)
    try:
        return _parsed(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise LookupError(f"{file} cannot be read: {error.strerror}") from None


@lru_cache
def _parsed(file: Path, changed: int) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise LookupError(f"{file}:{error.lineno}: {error.msg}") from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise LookupError(f"{file} cannot be read: {error}") from None


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _version(node: ast.ClassDef) -> int | None:
    for line in node.body:
        if "version" in _assigned(line) and isinstance(line, ast.Assign | ast.AnnAssign):
            value = line.value.value if isinstance(line.value, ast.Constant) else None
            return value if isinstance(value, int) and not isinstance(value, bool) else None
    return None


def _assigned(line: ast.stmt) -> set[str]:
    targets: list[ast.expr] = line.targets if isinstance(line, ast.Assign) else []
    if isinstance(line, ast.AnnAssign):
        targets = [line.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _members(node: ast.ClassDef, tree: ast.Module, module: str, ignore: str, depth: int) -> set[str]:
    members = {line.name for line in node.body if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef)}
    members = members.union(*map(_assigned, node.body))
    for base in node.bases if depth else []:
        target = _base(base, tree, module)
        if target is None or target == ignore:
            continue
        origin, _, name = target.partition(":")
        try:
            other = _source(origin)
        except LookupError:
            continue
        if found := _classes(other).get(name):
            members |= _members(found, other, origin, ignore, depth - 1)
    return members


def _base(base: ast.expr, tree: ast.Module, module: str) -> str | None:
    """The base class as `package.module:Class`; None where only running the code could tell."""
    if isinstance(base, ast.Subscript):
        base = base.value
    if isinstance(base, ast.Name):
        if base.id in _classes(tree):
            return f"{module}:{base.id}"
        origin = _imported(tree, module).get(base.id)
        return ":".join(origin.rsplit(".", 1)) if origin and "." in origin else None
    owner = ast.unparse(base.value) if isinstance(base, ast.Attribute) else ""
    origin = _imported(tree, module).get(owner)
    return f"{origin}:{base.attr}" if origin and isinstance(base, ast.Attribute) else None


def _imported(tree: ast.Module, module: str) -> dict[str, str]:
    """Dotted origin of each name that the module's import statements bind."""
    origins: dict[str, str] = {}
    for line in tree.body:
        if isinstance(line, ast.Import):
            origins.update({alias.asname or alias.name: alias.name for alias in line.names})
        elif isinstance(line, ast.ImportFrom):
            around = ".".join(module.split(".")[: -line.level]) if line.level else ""
            source = ".".join(filter(None, (around, line.module)))
            origins.update({alias.asname or alias.name: f"{source}.{alias.name}" for alias in line.names})
    return origins
