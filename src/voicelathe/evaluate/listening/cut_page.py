"""Are the proposed clips good? Pages that play every clip, and let its edges be moved, its text corrected, and the clip accepted or rejected.

A page works from disk without a network; its audio lies inside it. What was decided comes back as a file for `voicelathe cut apply`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from voicelathe.data.audio import opus
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.waveform import AudioFile, as_float, mono
from voicelathe.data.cutting import decisions
from voicelathe.data.cutting.flags import FLAGS
from voicelathe.errors import ManifestError
from voicelathe.evaluate.report import templates
from voicelathe.records import Proposal, ProposedClip

STYLES = ["common.css", "cut.css"]
SCRIPTS = [
    "listening/open.js",
    "listening/digest.js",
    "cut/decide.js",
    "cut/sound.js",
    "cut/screen.js",
    "listening/close.js",
]


def render(proposal: Proposal, root: Path) -> Iterator[str]:
    """The pages of a proposal one after the other, each under 15 MB. The same proposal and audio give the same bytes.

    Raises ManifestError when a recording is not the one that was listened to, or cannot be read any more.
    """
    shares = decisions.pages(proposal)
    for number, clips in enumerate(shares, 1):
        yield _page(proposal, number, len(shares), clips, root)


def _page(proposal: Proposal, number: int, num_pages: int, clips: Sequence[ProposedClip], root: Path) -> str:
    used = sorted({one.recording for one in clips})
    return templates.build(
        "cut.html",
        STYLES,
        SCRIPTS,
        name=proposal.name,
        number=number,
        num_pages=num_pages,
        num_clips=len(clips),
        num_recordings=len(used),
        num_open=sum(bool(one.flags) for one in clips),
        is_text_checked=proposal.is_text_checked,
        recordings=proposal.recordings if not used else [proposal.recordings[at] for at in used],
        page=Markup(templates.data_block(_data(proposal, number, clips))),
        audio=[templates.base64_text(one) for one in _sounds(proposal, clips, root)],
    )


def _data(proposal: Proposal, number: int, clips: Sequence[ProposedClip]) -> dict[str, Any]:
    return {
        "format": decisions.FORMAT,
        "name": proposal.name,
        "proposal": decisions.digest_of(proposal),
        "page": number,
        "flags": FLAGS,
        "recordings": [one.audio for one in proposal.recordings],
        "clips": [_clip(proposal, one, audio) for audio, one in enumerate(clips)],
    }


def _clip(proposal: Proposal, one: ProposedClip, audio: int) -> dict[str, Any]:
    from_ms, to_ms = decisions.reach_ms(proposal, one)
    start_ms, end_ms = decisions.times_ms(one)
    return {
        "clip": one.clip,
        "recording": one.recording,
        "audio": audio,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "from_ms": from_ms,
        "to_ms": to_ms,
        "text": one.text,
        "heard": one.heard,
        "speaker": one.speaker_id,
        "flags": one.flags,
        "decision": decisions.proposed(one),
    }


def _sounds(proposal: Proposal, clips: Sequence[ProposedClip], root: Path) -> Iterator[bytes]:
    """Each clip with what lies around it; a recording is opened once and read forwards."""
    opened: tuple[int, AudioFile] | None = None
    try:
        for serial, one in enumerate(clips):
            if opened is None or opened[0] != one.recording:
                if opened is not None:
                    opened[1].close()
                recording = proposal.recordings[one.recording]
                opened = (one.recording, AudioFile(root, recording.audio, recording.sha256))
            from_ms, to_ms = decisions.reach_ms(proposal, one)
            sound = mono(as_float(opened[1].stored(from_ms / 1000, to_ms / 1000)))
            yield opus.encode(sound, opened[1].rate_hz, serial)
    except AudioProblem as problem:
        raise ManifestError(
            f"{root}: a recording could be listened to and cannot be read now ({problem.code}: {problem.detail}). "
            "Restore it, then propose again."
        ) from None
    finally:
        if opened is not None:
            opened[1].close()
