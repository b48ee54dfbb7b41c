"""`python -m bench` is `qdet-bench`."""

from bench.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
