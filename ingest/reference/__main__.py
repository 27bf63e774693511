"""Write the reference pages into a folder."""

import argparse
import sys
from pathlib import Path

from ingest.reference import write

if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m ingest.reference", description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default="docs/reference", help="%(default)s if not given"
    )
    for path in write(parser.parse_args().folder):
        sys.stdout.write(f"{path}\n")
