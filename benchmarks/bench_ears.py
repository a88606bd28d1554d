"""How well does the pinned recogniser hear real people, and what does it cost? Professional prompts of Debian's asterisk-core-sounds.

Usage:  python -m benchmarks.bench_ears [--languages en it] [--recogniser MODEL] [--every N] [--others] [--cost]
        needs Debian's apt-get and dpkg, and ffmpeg or PyAV for G.722. --others also asks faster-whisper where it can be imported; it and
        PyAV are no part of the environment (their wheels carry GPL libraries): pip install --target DIR, and PYTHONPATH=DIR

The packages (CC-BY-SA-3.0) are downloaded into a temporary directory, measured on, and deleted: nobody of these speakers agreed to
more. Texts in brackets describe tones and silence and are left out. `--cost` times the stage `hear` on them, with PocketSphinx and with the recogniser.
"""

import argparse
import gzip
import importlib.util
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicelathe import digest, records
from voicelathe.config import params, schema
from voicelathe.speech import RATE_HZ, recogniser, recogniser_files, transcripts, words
from voicelathe.stages import hear

Samples = NDArray[np.float32]
LONGEST_S = 30.0
REVISION = 0


@dataclass(frozen=True)
class Prompt:
    """A recording and what was said in it."""

    name: str
    text: str
    language: str
    samples: Samples

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE_HZ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--languages", nargs="+", default=["en", "it"])
    parser.add_argument("--recogniser", help="directory or package:NAME; by default that of params.yaml")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of the prompts, each Nth only")
    parser.add_argument(
        "--others", action="store_true", help="whole windows, PocketSphinx and faster-whisper, too"
    )
    parser.add_argument("--cost", action="store_true", help="time the stage hear")
    arguments = parser.parse_args()
    ears = _ears(arguments.recogniser)
    with tempfile.TemporaryDirectory() as place:
        prompts = {
            language: list(_prompts(language, Path(place)))[:: arguments.every]
            for language in arguments.languages
        }
    for language, known in prompts.items():
        if recogniser_files.code(language) not in ears.languages:
            print(f"{language}: not measured, {ears.directory} knows {', '.join(ears.languages[:8])} only\n")
            continue
        _quality(language, known, ears, arguments.others)
    if arguments.cost:
        _cost([one for known in prompts.values() for one in known], ears)


def _show(heads: list[str], rows: list[list[str]]) -> None:
    lines = [heads, ["---"] * 2 + ["--:"] * (len(heads) - 2), *rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)


def _ears(model: str | None) -> records.RecogniserRef:
    chosen = params.load()
    if model:
        facts = recogniser_files.describe(model, "not asked", None)
        chosen = replace(
            chosen,
            speech=schema.SpeechModels(schema.PinnedRecogniser(model, facts.digest, facts.licence, None)),
        )
    ref = recogniser_files.reference(chosen.speech, chosen.machine)
    if ref is None:
        raise SystemExit("speech.recogniser is null and no --recogniser was given")
    return ref


def _prompts(language: str, place: Path) -> Iterator[Prompt]:
    """Every recording with a text that is not in brackets."""
    for package in (f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722"):
        subprocess.run(["apt-get", "download", "-q", package], cwd=place, check=True, capture_output=True)
        (deb,) = place.glob(f"{package}_*.deb")
        subprocess.run(["dpkg", "-x", deb, place / language], check=True)
    doc = (
        place
        / language
        / "usr/share/doc"
        / f"asterisk-core-sounds-{language}"
        / f"core-sounds-{language}.txt.gz"
    )
    (sounds,) = [
        one for one in (place / language / "usr/share/asterisk/sounds").iterdir() if not one.is_symlink()
    ]
    decode = _decoder()
    with gzip.open(doc, "rt", encoding="utf-8-sig", errors="replace") as lines:
        for line in lines:
            name, _, text = (part.strip() for part in line.partition(":"))
            file = sounds / f"{name}.g722"
            if text and not line.startswith(";") and not set(text) & set("[(") and file.is_file():
                yield Prompt(name, text, language, decode(file))


def _decoder() -> Callable[[Path], Samples]:
    if shutil.which("ffmpeg"):
        return _by_ffmpeg
    if importlib.util.find_spec("av"):
        return _by_pyav
    raise SystemExit(
        "neither ffmpeg nor PyAV is here: apt-get install ffmpeg, or pip install --target DIR av and PYTHONPATH=DIR"
    )


def _by_ffmpeg(file: Path) -> Samples:
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", file, "-ar", str(RATE_HZ), "-f", "f32le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.float32)


def _by_pyav(file: Path) -> Samples:
    import av

    with av.open(str(file), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.float32) / 32768


# --- quality ---------------------------------------------------------------------------------------------------------


def _quality(language: str, prompts: list[Prompt], ears: records.RecogniserRef, others: bool) -> None:
    """A row for each way of hearing and kind of prompt."""
    ways = [("the recogniser", _recognised(ears))]
    if others:
        ways += [
            ("with 30 s always", _whole_windows(ears)),
            ("PocketSphinx, full", _sphinx(False)),
            ("PocketSphinx, fast", _sphinx(True)),
        ]
        if importlib.util.find_spec("faster_whisper"):
            ways.append(("faster-whisper, greedy", _faster_whisper(ears)))
    rows: list[list[str]] = []
    by_way: dict[str, list[tuple[Prompt, str, float]]] = {}
    for name, way in ways:
        if name.startswith("PocketSphinx") and language != "en":
            continue
        heard = [(one, *_timed(way, one)) for one in prompts if one.duration_s <= LONGEST_S]
        by_way[name] = heard
        for kind, fits in KINDS.items():
            some = [(one, said, cpu_s) for one, said, cpu_s in heard if fits(one)]
            if not some:
                continue
            rows.append([name if kind == next(iter(KINDS)) else "", kind, *_figures(some)])
    print(f"\n{language}: {len(prompts)} prompts, {sum(one.duration_s for one in prompts) / 60:.0f} min")
    _show(["heard by", "prompts", "number", "CER", "median", "over 0.3", "WER", "CPU s each"], rows)
    pairs = [(one.text, said) for one, said, _ in by_way["the recogniser"] if _is_sentence(one)]
    wrong = transcripts.never_right(pairs, language)
    print(
        f"\nwords of {len(pairs)} sentences that were never heard right, asked three times or more: {wrong}"
    )


def _is_sentence(one: Prompt) -> bool:
    return one.duration_s >= 1.5 and len(one.text.split()) >= 3


def _has_digits(one: Prompt) -> bool:
    return any(letter.isdigit() for letter in one.text)


KINDS: dict[str, Callable[[Prompt], bool]] = {
    "1.5 s and more, 3 words and more, no digits": lambda one: _is_sentence(one) and not _has_digits(one),
    "1.5 s and more, all": lambda one: one.duration_s >= 1.5,
    "with digits": _has_digits,
    "under 1.5 s": lambda one: one.duration_s < 1.5,
}


def _figures(heard: list[tuple[Prompt, str, float]]) -> list[str]:
    found = [(transcripts.errors(one.text, said, one.language), one) for one, said, _ in heard]
    known = [(errors, one) for errors, one in found if errors is not None]
    sizes = [len(transcripts.normalise(one.text, one.language).replace(" ", "")) for _, one in known]
    cers = [errors.cer for errors, _ in known]
    pooled = sum(cer * size for cer, size in zip(cers, sizes, strict=True)) / max(1, sum(sizes))
    wers = [errors.wer for errors, _ in known if errors.wer is not None]
    return [
        str(len(known)),
        f"{pooled:.4f}",
        f"{statistics.median(cers):.3f}",
        str(sum(cer > 0.3 for cer in cers)),
        f"{statistics.mean(wers):.3f}" if wers else "",
        f"{statistics.mean(cpu_s for *_, cpu_s in heard):.3f}",
    ]


def _timed(hear: Callable[[Prompt], str], one: Prompt) -> tuple[str, float]:
    began = time.process_time()
    return hear(one), time.process_time() - began


def _recognised(ears: records.RecogniserRef) -> Callable[[Prompt], str]:
    loaded = recogniser.of(ears)
    return lambda one: loaded.hear(one.samples, one.language).text


def _whole_windows(ears: records.RecogniserRef) -> Callable[[Prompt], str]:
    """As it would be without short windows."""
    loaded = recogniser.of(ears)

    def hear(one: Prompt) -> str:
        return loaded._once(one.samples, loaded._prompt(one.language), recogniser.WHOLE_S).text

    return hear


def _sphinx(fast: bool) -> Callable[[Prompt], str]:
    return lambda one: words.recognise(one.samples, fast=fast)


def _faster_whisper(ears: records.RecogniserRef) -> Callable[[Prompt], str]:
    from faster_whisper import WhisperModel

    loaded: Any = WhisperModel(ears.directory, device="cpu", compute_type="int8", cpu_threads=1)

    def hear(one: Prompt) -> str:
        found, _ = loaded.transcribe(
            one.samples, language=one.language, beam_size=1, temperature=0.0, condition_on_previous_text=False, without_timestamps=True
        )  # fmt: skip
        return " ".join(piece.text.strip() for piece in found)

    return hear


# --- what hear costs -------------------------------------------------------------------------------------------------


def _cost(prompts: list[Prompt], ears: records.RecogniserRef) -> None:
    """The stage `hear` over half an hour of the prompts, in seconds for an hour of audio."""
    import os

    import soundfile

    rows = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "audio")
        root.mkdir()
        manifest = []
        for number, one in enumerate(prompts):
            soundfile.write(root / f"{number}.wav", one.samples, RATE_HZ)
            manifest.append(_row(number, one, digest.of_file(root / f"{number}.wav")))
        hours = sum(one.duration_s for one in prompts) / 3600
        measures = [_measured(row.clip_id, one) for row, one in zip(manifest, prompts, strict=True)]
        base = params.load()
        chosen = replace(base, ingest=replace(base.ingest, audio_root=str(root)))
        os.chdir(place)
        for name, how, speech, workers in (
            ("speech alone, 1 worker", schema.Hear(True, False, False), base.speech, 1),
            (
                "words by PocketSphinx, 1 worker (as before)",
                schema.Hear(True, True, False),
                schema.SpeechModels(None),
                1,
            ),
            (
                "words by PocketSphinx, 2 workers",
                schema.Hear(True, True, False),
                schema.SpeechModels(None),
                2,
            ),
            ("words by the recogniser, 1 worker", schema.Hear(True, True, False), base.speech, 1),
            ("words by the recogniser, 2 workers", schema.Hear(True, True, False), base.speech, 2),
        ):
            asked = replace(chosen, hear=how, speech=speech, engine=schema.Engine("processes", workers))
            began, used = time.monotonic(), os.times()
            heard = hear.hear(manifest, measures, asked, Path(place, f"cache{len(rows)}"), REVISION)
            wall_s, after = time.monotonic() - began, os.times()
            cpu_s = after.children_user + after.children_system - used.children_user - used.children_system
            rows.append(
                [
                    name,
                    str(len(heard)),
                    f"{cpu_s / hours:.0f}",
                    f"{wall_s / hours:.0f}",
                    digest.of_value([records.to_json(one) for one in heard])[:12],
                ]
            )
    print(f"\nhear over {hours:.2f} h of prompts, seconds for an hour of audio")
    _show(["what", "clips", "CPU s", "wall s", "digest"], rows)


def _row(number: int, one: Prompt, sha256: str) -> records.ManifestRow:
    from tests.factories import rows

    return rows.manifest_row(
        number, audio=f"{number}.wav", audio_sha256=sha256, start_s=None, end_s=None, text=one.text, language=one.language
    )  # fmt: skip


def _measured(clip_id: str, one: Prompt) -> records.ClipMeasure:
    from tests.factories import rows

    return replace(rows.measured(1, duration_s=one.duration_s), clip_id=clip_id)


if __name__ == "__main__":
    main()
