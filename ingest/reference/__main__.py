"""Write the reference pages into a folder, docs/reference unless another is named."""

import sys
from pathlib import Path

from ingest.reference import write

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    for path in write(folder):
        sys.stdout.write(f"{path}\n")
