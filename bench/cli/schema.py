"""`qdet-bench schema`: the JSON Schema of suite files."""

import argparse

from bench.cli.common import print_json


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "schema",
        help="the JSON Schema of suite files, for editors",
        description="Print the JSON Schema of suite files. An editor that reads the first line of a suite "
        "(`# yaml-language-server: $schema=...`) completes its fields and marks wrong ones.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it; 0."""
    from bench.schema.author import json_schema

    print_json(json_schema())
    return 0
