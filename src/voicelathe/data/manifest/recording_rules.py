"""Which source recording is each clip from, by its path? Rules that corpora and slicers name clips by, and which of them fits best."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from voicelathe.errors import ManifestError

RULES = (  # ways in which corpora name clips after their recording, the most explicit first
    r"([^/]+?)[-_.]\d+\.[^./]+$",  # LJ001-0042.wav, talk_07_003.wav: all but the last number
    r"([^/]+)/[^/]+$",  # talk_07/003.wav: the folder
    r"^([^/]+)/",  # talk_07/a/003.wav: the first folder
    r"([^/]+?)[-_][^-_/]+\.[^./]+$",  # talk_a.wav: all but the last part
    r"([^/]+?)(?:\.\w{3,4})?_\d{6,}_\d{6,}\.[^./]+$",  # ep01.wav_0000000000_0000077440.wav: GPT-SoVITS' slicer
    r"([^/]+?)(?:\.\w{3,4})?[-_]\d+(?:\.\d+)?[-_]\d+(?:\.\d+)?\.[^./]+$",  # ep01_12.30_15.75.wav: start and end
    r"([^/]+?)[-_.](?:chunk|part|seg|segment|clip|slice|utt|cut)[-_]?\d+\.[^./]+$",  # ep01_chunk_12.wav
    r"(?:^|/)\d+[-_. ]+([^/]*[^\W\d_][^/]*?)\.[^./]+$",  # 0001_ep01.wav: the number first
    r"([^/]+?)[ _]?[(\[][^/()\[\]]+[)\]]\.[^./]+$",  # "ep01 (3).wav", ep01_[0ms-3000ms].wav: what is in brackets
    r"([^/]+?)[-_ ]\d+(?:[.:]\d+)+-\d+(?:[.:]\d+)+\.[^./]+$",  # ep01_00.01.02.300-00.01.04.900.wav: subs2srs
)
MIN_RECORDINGS = 3  # one each for train, validation and test


def suggest(audio: Sequence[str], labels: Sequence[Sequence[str]] = ()) -> str | None:
    """Of the rules that sort all these paths into at least two recordings of two clips on average, the one with the fewest.

    A recording that is two for the rule would be in two splits; one rule with three recordings is better than another with two.
    `labels` are columns such as the speakers or the languages: what only repeats one of them (en/001.wav) names no recording.
    """
    found = {rule: grouped(audio, rule) for rule in RULES}
    usable = [
        rule
        for rule in RULES
        if _is_plausible(found[rule], len(set(audio)))
        and not any(_repeats(audio, rule, one) for one in labels)
    ]
    return min(usable, key=lambda rule: (len(found[rule]) < MIN_RECORDINGS, len(found[rule])), default=None)


def too_fine(audio: Sequence[str], rule: str) -> str | None:
    """A rule that finds recordings where the given one makes every file a recording of its own; None where it does not, or none does."""
    if len(grouped(audio, rule)) < len(set(audio)):
        return None
    return suggest(audio)


def grouped(audio: Sequence[str], rule: str) -> Counter[str]:
    """Clips of each recording that a rule finds; paths it does not fit are counted under the empty name.

    Raises ManifestError for a rule that is no regular expression or captures nothing.
    """
    return Counter(_named(audio, rule))


def _named(audio: Sequence[str], rule: str) -> list[str]:
    try:
        pattern = re.compile(unicodedata.normalize("NFC", rule))
    except re.error as problem:
        raise ManifestError(f"{rule!r} is not a regular expression: {problem}.") from None
    if pattern.groups < 1:
        raise ManifestError(f"{rule!r} captures nothing: put what names the recording into ( ).")
    found = (pattern.search(unicodedata.normalize("NFC", path)) for path in audio)
    return [(match.group(1) or "") if match else "" for match in found]


def _is_plausible(groups: Counter[str], num_files: int) -> bool:
    return "" not in groups and len(groups) >= 2 and num_files >= 2 * len(groups)


def _repeats(audio: Sequence[str], rule: str, label: Sequence[str]) -> bool:
    """Whether a rule tells apart just what a column does."""
    pairs = set(zip(_named(audio, rule), label, strict=True))
    return len(set(label)) > 1 and len(pairs) == len(set(label)) == len({name for name, _ in pairs})
