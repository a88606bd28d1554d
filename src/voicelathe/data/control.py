"""What may a row say of how it is spoken, and which controls are trained with? `(slow)` in front of a text, which nobody says.

What is said is the text alone: the audit, the split, lines and every comparison of words never see a control. Only where a recipe
trains with it does it reach a model, by `lexicon.reading`.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from voicelathe.data.text import characters, scripts
from voicelathe.errors import ManifestError, listing
from voicelathe.records import CleanClip

MAX_CHARS = 200  # upstream names no bound; its examples are a few words, and every token takes a position from the clip
BRACKETS = "()\uff08\uff09[]{}\u3010\u3011"
SHOWN, VALUES = 3, 10


def of(clip: CleanClip) -> str | None:
    """What stands in front of a clip's text where a recipe trains with controls; None: nothing.

    A blank control is none, and a text that begins with brackets stays as it is.
    """
    control = (clip.control or "").strip()
    return control if control and not begins_with_one(clip.text) else None


def begins_with_one(text: str) -> bool:
    """Whether a text begins as upstream writes a control, so that a second one would stand before it."""
    return text.lstrip().startswith(("(", "\uff08"))


def problem(control: str) -> str | None:
    """What makes a control unusable: a code with what was seen; None for one that can be used, and for a blank one."""
    control = control.strip()
    if len(control.splitlines()) > 1 or "\t" in control:
        return "control_characters: it holds a line break or a tab; write it in one line of plain letters"
    if found := characters.controls(control):
        return f"control_characters: it holds {', '.join(found)}; write it in one line of plain letters"
    if found := [one for one in BRACKETS if one in control]:
        return (
            f"brackets: it holds {' '.join(found)}; write the words alone, the brackets are put around them"
        )
    if len(control) > MAX_CHARS:
        return f"too_long: {len(control)} characters, at most {MAX_CHARS}; say it in a few words"
    if control and not any(map(str.isalnum, control)):
        return "no_words: it holds no letter and no digit; write how it is spoken, or leave it out"
    return None


def planned(splits: Mapping[str, Sequence[CleanClip]]) -> list[str]:
    """What people should know before a training with controls: codes with their evidence. `splits` are those that are computed with.

    Raises ManifestError for controls that cannot be used, and where no clip of train has one.
    """
    clips = [clip for members in splits.values() for clip in members]
    _require_usable(clips)
    train = [clip for clip in splits["train"] if of(clip)]
    if not train:
        raise ManifestError(
            f"train.control is true, and none of the {len(splits['train'])} clips of train has a control. Add a column control to the "
            "manifest (docs/families/voxcpm2.md), or set train.control to false."
        )
    values = Counter(control for clip in train if (control := of(clip)))
    rarest = min(values.items(), key=lambda one: (one[1], one[0]))
    said = [
        f"control: {len(train)} of {len(splits['train'])} clips of train have one, {len(values)} values: {_counted(values)}; the rarest is "
        f"{rarest[0]!r} with {rarest[1]}. How many clips a voice needs to follow a control was not measured"
    ]
    unseen = Counter(
        control
        for name, members in splits.items()
        for clip in members
        if name != "train" and (control := of(clip)) and control not in values
    )
    if unseen:
        said.append(
            f"control_not_trained: {_counted(unseen)} stand in other splits, and no clip of train has them"
        )
    return [*said, *_left_alone(clips)]


def replayed(clips: Sequence[CleanClip]) -> list[str]:
    """Of general clips that are mixed in: which controls stand in front of them, said once. Nothing where none has one."""
    values = Counter(one for clip in clips if (one := of(clip)))
    if not values:
        return []
    return [
        f"replay_control: {values.total()} of {len(clips)} replayed clips have a control in front ({_counted(values)}), whatever train.control is"
    ]


def not_used(clips: Sequence[CleanClip]) -> list[str]:
    """Of a training without controls: how many clips have one, said once. Nothing where none has."""
    values = Counter(control for clip in clips if (control := (clip.control or "").strip()))
    if not values:
        return []
    return [
        f"control_not_used: {values.total()} of {len(clips)} clips of train have a control ({_counted(values)}), and none is trained with"
    ]


def _require_usable(clips: Iterable[CleanClip]) -> None:
    bad = [
        f"clip {clip.clip_id}, {clip.audio}: {shown(clip.control)} ({why})"
        for clip in clips
        if clip.control and (why := problem(clip.control)) is not None
    ]
    if bad:
        raise ManifestError(
            f"{len(bad)} rows have a control that cannot be trained with:\n{listing(bad)}\n"
            "Correct the column control of the manifest and run dvc repro, or set train.control to false."
        )


def shown(control: str) -> str:
    """A control for a message: what has no shape as escapes, and cut where it is long."""
    return ascii(control[:60]) if not control.isprintable() else repr(control[:60])


def _left_alone(clips: Sequence[CleanClip]) -> list[str]:
    """Controls that are none, that are not put in front, and that are in another script than what is said."""
    blank = [clip for clip in clips if clip.control is not None and not clip.control.strip()]
    twice = [clip for clip in clips if (clip.control or "").strip() and begins_with_one(clip.text)]
    other = [clip for clip in clips if (control := of(clip)) and _is_foreign(control, clip.language)]
    said = []
    if blank:
        said.append(f"control_blank: {len(blank)} rows, which have none by that; first {_first(blank)}")
    if twice:
        said.append(
            f"control_twice: the text of {len(twice)} rows begins with brackets and stays as it is, without their control; first {_first(twice)}"
        )
    if other:
        said.append(
            f"control_in_other_script: {len(other)} rows have a control that is not in a script of their language; whether the base "
            f"follows it is not known here; first {_first(other)}"
        )
    return said


def _is_foreign(control: str, language: str) -> bool:
    wanted = scripts.expected(language)
    share = None if wanted is None else scripts.share(control, wanted)
    return share is not None and share < 0.5


def _first(clips: Sequence[CleanClip]) -> str:
    return ", ".join(f"{clip.clip_id} ({shown(clip.control or '')})" for clip in clips[:SHOWN])


def _counted(values: Counter[str]) -> str:
    """The most used values with their counts, in one order whatever the clips' order."""
    ordered = sorted(values.items(), key=lambda one: (-one[1], unicodedata.normalize("NFC", one[0])))
    more = f" and {len(ordered) - VALUES} more" if len(ordered) > VALUES else ""
    return ", ".join(f"{name} {num}" for name, num in ordered[:VALUES]) + more
