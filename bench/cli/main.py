"""`qdet-bench`: parse, dispatch, and turn errors into one line and an exit code."""

import argparse
import difflib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cli import (
    accept,
    check,
    choices,
    compare,
    data,
    harmony,
    init,
    listing,
    plan,
    report,
    restore,
    run,
    schema,
    score,
    show,
    store,
    submit,
    summary,
    table,
)
from bench.cli.extras import how_to_get
from bench.errors import BenchError, Exit, UsageError

EXIT_CODES = (
    "exit codes: 0 all well; 1 something failed or fell outside its tolerance; "
    "2 wrong usage or a wrong suite file; 3 ran well but incomplete"
)
NEAR = 0.85
"""Likeness from which on an option is taken for a misspelt one: `--row` is no `--root`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = _parser()
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(arguments)
    args.given = tuple(arguments)
    _open_output()
    # A user's own methods are found beside her suites.
    sys.path.insert(0, str(args.root.resolve()))
    try:
        if not args.root.is_dir():
            raise UsageError(f"--root {args.root}: no such folder")
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _complain(error, Exit.USAGE)
    except BenchError as error:
        return _complain(error, Exit.FAILED)
    except ModuleNotFoundError as error:
        if (words := how_to_get(error.name)) is None:
            raise
        return _complain(words, Exit.USAGE)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; but of a run work is left to do.
        _drop_output()
        return getattr(args, "cut_short", Exit.OK)
    except OSError as error:
        # A full disk below the output, a folder in a file's place, no permission: no fault of this program.
        _drop_output()
        from bench.schema.source import told

        return _complain(told(error), Exit.FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted; repeat the command to go on", Exit.INTERRUPTED)


class _Parser(argparse.ArgumentParser):
    """Says of an unknown option which command does not have it, and which of its options was probably meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As its base class; what is left over is an error of the innermost command, not of the whole program."""
        found, left = super().parse_known_args(args, namespace)
        if left:
            near = difflib.get_close_matches(left[0].partition("=")[0], self._option_string_actions, 1, NEAR)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.error(f"unrecognized arguments: {' '.join(left)}{hint}")
        return found, left


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="qdet-bench",
        description="Reproducibility benchmark suite for quantized object detectors.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    _add_root(parser, Path())
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (
        listing,
        show,
        schema,
        plan,
        run,
        check,
        table,
        report,
        summary,
        accept,
        restore,
        init,
        data,
        score,
        compare,
        harmony,
        choices,
        submit,
        store,
    ):
        module.add_parser(commands)
    for command in commands.choices.values():
        # Before the command or behind it; without a default, which would displace what stands before.
        _add_root(command, argparse.SUPPRESS)
    return parser


def _add_root(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--root",
        type=Path,
        default=default,
        help="folder that holds suites/, baselines/ and results/ (default: the working directory)",
    )


class _Version(argparse.Action):
    """Looks the version up only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print it; exit code 0."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"qdet-bench {version('qdet-bench')}")
        except PackageNotFoundError:
            print("qdet-bench, not installed")
        parser.exit()


def _open_output() -> None:
    """A closed standard output is as good as /dev/null; one that is not UTF-8 gets escapes, not an exception."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What cannot be written must not be tried again when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: object, code: Exit) -> Exit:
    print(f"qdet-bench: {error}", file=sys.stderr)
    return code
