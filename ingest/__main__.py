"""`python -m ingest` is `headrace`."""

from ingest.cli import main

if __name__ == "__main__":
    main()
