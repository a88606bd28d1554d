"""Which metrics are there? The built-in ones and those that installed packages offer through entry points."""

from importlib.metadata import EntryPoint

from voicelathe import plugins
from voicelathe.errors import SelectionError

GROUP = "voicelathe.metrics"
HERE = "voicelathe.evaluate.metrics"
BUILT_IN = {
    "waveform": f"{HERE}.waveform:Waveform",
    "activity": f"{HERE}.activity:Activity",
    "recogniser": f"{HERE}.recogniser:HeardWords",
    "words": f"{HERE}.words:Words",
    "speaker": f"{HERE}.speaker:SpeakerLikeness",
    "accent": f"{HERE}.accent:Accent",
    "prosody": f"{HERE}.prosody:ProsodyFigures",
    "quality": f"{HERE}.quality:Quality",
}


def find(name: str) -> EntryPoint:
    """Raises SelectionError that lists what there is, and when two packages offer one name."""
    found = plugins.offered(GROUP, "metrics", SelectionError, BUILT_IN)
    if name not in found:
        raise SelectionError(
            f"recipes.*.listen.metrics names {name!r}, which no installed package offers. There are: {', '.join(sorted(found))}."
        )
    return found[name]


def built_in_codes() -> dict[str, list[str]]:
    """The vetoes that the metrics of this package know, asked for or not, and which metrics can show each."""
    codes: dict[str, list[str]] = {}
    for name in BUILT_IN:
        for code in {figure.veto for figure in find(name).load()().figures if figure.veto}:
            codes.setdefault(code, []).append(name)
    return codes
