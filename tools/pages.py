"""Which pages of the site lie outside docs/, and where do their links go? A hook of mkdocs.

Links into docs/ and between these pages are kept; what points to any other file of the repository keeps its words and loses its link,
because the site does not hold that file. What points to no file at all is left for mkdocs to complain of.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

OUTSIDE = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "results.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside docs/."""
    from mkdocs.structure.files import File

    root = Path(config.docs_dir).parent
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links as the site has its pages."""
    own = {name: path for path, name in OUTSIDE.items()}
    here = own.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    held = {f"docs/{one.src_uri}" for one in files} - {f"docs/{name}" for name in own}
    root = Path(config.docs_dir).parent
    return LINK.sub(lambda found: link(found, here, page.file.src_uri, held, root), markdown)


def link(found: re.Match[str], here: str, page: str, held: set[str], root: Path) -> str:
    """One link of the file `here` of the repository, as the page `page` of the site has it. `held`: files of the repository in the site."""
    image, text, target, anchor = found[1], found[2], found[3], found[4] or ""
    if not target or ":" in target:
        return found[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
    name = OUTSIDE.get(path) or (path.removeprefix("docs/") if path in held else None)
    if name is None:
        return text if (root / path).exists() else found[0]
    return f"{image}[{text}]({posixpath.relpath(name, posixpath.dirname(page) or '.')}{anchor})"
