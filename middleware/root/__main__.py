"""`python -m forebay`."""

from forebay.middleware.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
