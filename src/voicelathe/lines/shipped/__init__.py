"""Written lines of several languages, by us: packs to choose from. Ids are never used again for another sentence."""

from pathlib import Path

FOLDER = Path(__file__).parent
