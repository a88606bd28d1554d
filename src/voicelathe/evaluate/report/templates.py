"""How is one self-contained page put together? Template, styles, scripts and data in a single file that needs no network.

Every template extends frame.html, which has the head, the sounds and the script. Templates escape everything by themselves; data reaches scripts as inert JSON; a content security policy allows exactly the styles and
scripts that were shipped, so a transcript that looks like markup stays text even if an escape were forgotten.
"""

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def build(template: str, styles: list[str], scripts: list[str], **values: Any) -> str:
    """Render page/<template>; `style` and `script` of the template are the named files, joined. Equal values give equal bytes."""
    from markupsafe import Markup

    style, script = "\n".join(map(asset, styles)), "\n".join(map(asset, scripts))
    page = _environment().get_template(template)
    return page.render(**values, policy=policy(style, script), style=Markup(style), script=Markup(script))


@cache
def _environment() -> "Environment":
    """One for all pages of a process: it keeps the templates that it has compiled."""
    from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound

    class Packaged(BaseLoader):
        def get_source(self, environment: Environment, name: str) -> tuple[str, None, None]:
            try:
                return asset(name), None, None
            except FileNotFoundError:
                raise TemplateNotFound(name) from None

    return Environment(
        loader=Packaged(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def asset(name: str) -> str:
    """A text file that ships with the package."""
    parts = PurePosixPath("page", name).parts
    return resources.files("voicelathe.evaluate").joinpath(*parts).read_text(encoding="utf-8")


def standalone(picture: str) -> str:
    """A chart of a report as a file of its own: the light colours and the chart's rules inside, on a ground."""
    colours = asset("common.css").split("@media", 1)[0]
    rules = "\n".join(line for line in asset("report.css").splitlines() if ".chart" in line)
    head, rest = picture.split(">", 1)
    font = 'font-family="system-ui, sans-serif"'
    ground = '<rect width="100%" height="100%" fill="var(--panel)"/>'
    return f'{head} xmlns="http://www.w3.org/2000/svg" {font}><style>{colours}{rules}</style>{ground}{rest}\n'


def policy(style: str, script: str) -> str:
    """Content security policy: this style, this script, embedded media, and nothing from anywhere else."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; media-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def data_block(value: object) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element or the line."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
