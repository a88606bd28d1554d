"""How exact are proposed cuts, and is a wrong subtitle found? Sentences of flite in long recordings, whose phones and their times are known.

    python -m benchmarks.bench_cut [OUT] [--sentences 200] [--wrong 10] [--seed 31007]        needs flite (Debian)

Every recording is one voice saying sentences of the demo's grammar with pauses of 0.2 to 1.2 s in a room with noise. The subtitles are
those a person might make: times late or early by up to 0.4 s, all of them shifted by 0.3 s, some sentences in two cues, some cues with two.
The truth is flite's own list of phones: where the first one of a sentence begins and where the last one ends. Ways of the text: SRT as
above, the same without the recogniser, and a plain transcript without times.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "data/demo"))

import sentences  # noqa: E402

from voicelathe import digest, records  # noqa: E402
from voicelathe.config import params  # noqa: E402
from voicelathe.data.cutting import cues  # noqa: E402
from voicelathe.data.cutting.clips import ClipLimits, Naming  # noqa: E402
from voicelathe.records import Listened, Proposal  # noqa: E402
from voicelathe.stages.cutting import proposals  # noqa: E402

RATE_HZ = 16_000
VOICES = ("rms", "slt", "kal16", "awb")
PAUSES_S, NOISE_DBFS = (0.2, 1.2), -58.0
LATE_S, JITTER_S = -0.3, 0.4
WITHIN_S, GRID_S = 0.05, (0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Said:
    """One sentence in its recording: where its sound truly begins and ends."""

    recording: str
    text: str
    start_s: float
    end_s: float


def spoken(text: str, voice: str, to: Path) -> tuple[NDArray[np.float32], float, float]:
    """Samples of a sentence, and the times of its first and last phone."""
    done = subprocess.run(
        ["flite", "-voice", voice, "-psdur", "-t", text, str(to)], check=True, capture_output=True, text=True
    )
    phones = [one.rsplit(":", 1) for one in done.stdout.split()]
    ends = [(name, float(end_s)) for name, end_s in phones]
    samples, rate_hz = soundfile.read(to, dtype="float32")
    assert rate_hz == RATE_HZ, f"flite's {voice} speaks at {rate_hz} Hz"
    first = next(at for at, (name, _) in enumerate(ends) if name != "pau")
    last = max(at for at, (name, _) in enumerate(ends) if name != "pau")
    return samples, ends[first - 1][1] if first else 0.0, ends[last][1]


def make(out: Path, num: int, seed: int) -> list[Said]:
    """Write one recording for each voice below out/audio."""
    (out / "audio").mkdir(parents=True, exist_ok=True)
    drawn = random.Random(seed)
    texts = sentences.write(num, seed)
    voices = [VOICES[at * len(VOICES) // num] for at in range(num)]
    with ThreadPoolExecutor(2) as pool:
        work = (
            pool.submit(spoken, text, voice, out / f"{at}.wav")
            for at, (text, voice) in enumerate(zip(texts, voices, strict=True))
        )
        made = [one.result() for one in list(work)]
    truth: list[Said] = []
    for voice in VOICES:
        parts, at_s = [_silence(drawn, 1.0)], 1.0
        for text, of, (samples, start_s, end_s) in zip(texts, voices, made, strict=True):
            if of != voice:
                continue
            speech = samples[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
            truth.append(Said(voice, text, round(at_s, 4), round(at_s + len(speech) / RATE_HZ, 4)))
            pause_s = drawn.uniform(*PAUSES_S)
            parts += [speech, _silence(drawn, pause_s)]
            at_s += (len(speech) + len(parts[-1])) / RATE_HZ
        sound = np.concatenate(parts)
        noise = np.random.default_rng(seed).standard_normal(len(sound)) * 10 ** (NOISE_DBFS / 20)
        soundfile.write(out / f"audio/{voice}.flac", np.clip(sound + noise, -1, 1), RATE_HZ, subtype="PCM_16")
    for path in out.glob("*.wav"):
        path.unlink()
    return truth


def _silence(drawn: random.Random, seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


# --- texts -----------------------------------------------------------------------------------------------------------


def misheard(truth: Sequence[Said], num_wrong: int, seed: int) -> dict[int, str]:
    """Sentences whose text is another one."""
    drawn = random.Random(f"{seed}/wrong")
    others = sentences.write(2 * len(truth), seed + 1)[-num_wrong:] if num_wrong else []
    return dict(zip(drawn.sample(range(len(truth)), num_wrong), others, strict=True))


def write_texts(out: Path, truth: Sequence[Said], wrong: dict[int, str], seed: int) -> None:
    """<voice>.srt with careless times, and <voice>.txt without any."""
    drawn = random.Random(f"{seed}/subtitles")
    said = [replace(one, text=wrong.get(at, one.text)) for at, one in enumerate(truth)]
    for folder in ("srt", "txt"):
        (out / folder).mkdir(exist_ok=True)
    for voice in VOICES:
        cues: list[tuple[float, float, str]] = []
        for one in (one for one in said if one.recording == voice):
            start_s, end_s = (
                at_s + LATE_S + drawn.uniform(-JITTER_S, JITTER_S) for at_s in (one.start_s, one.end_s)
            )
            kind = drawn.random()
            words = one.text.split()
            if kind < 0.2 and len(words) > 3:
                half, middle_s = len(words) // 2, (start_s + end_s) / 2
                cues += [
                    (start_s, middle_s, " ".join(words[:half])),
                    (middle_s, end_s, " ".join(words[half:])),
                ]
            elif kind < 0.3 and cues:
                cues[-1] = (cues[-1][0], end_s, f"{cues[-1][2]} {one.text}")
            else:
                cues.append((start_s, end_s, one.text))
        lines = [
            f"{n}\n{_clock(a)} --> {_clock(max(b, a + 0.3))}\n{text}\n"
            for n, (a, b, text) in enumerate(cues, 1)
        ]
        (out / f"srt/{voice}.srt").write_text("\n".join(lines))
        (out / f"txt/{voice}.txt").write_text(" ".join(one.text for one in said if one.recording == voice))


def _clock(at_s: float) -> str:
    ms = max(0, round(1000 * at_s))
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"


# --- what is told ----------------------------------------------------------------------------------------------------


def tell(name: str, made: Proposal, truth: Sequence[Said], wrong: dict[int, str]) -> dict[str, object]:
    """The figures of one way."""
    errors, safe, flagged, hits = [], 0, 0, set()
    alone = {at: [9.0, 9.0] for at in range(len(truth))}
    for clip in made.clips:
        voice = made.recordings[clip.recording].recording_id
        known = [(at, one) for at, one in enumerate(truth) if one.recording == voice]
        first, begins = min(known, key=lambda one: abs(one[1].start_s - clip.speech_start_s))
        last, ends = min(known, key=lambda one: abs(one[1].end_s - clip.speech_end_s))
        both = (clip.speech_start_s - begins.start_s, clip.speech_end_s - ends.end_s)
        errors += both
        alone[first][0], alone[last][1] = abs(both[0]), abs(both[1])
        before_s = max((one.end_s for _, one in known if one.end_s < begins.start_s), default=0.0)
        after_s = min((one.start_s for _, one in known if one.start_s > ends.end_s), default=1e9)
        safe += before_s - 0.01 <= clip.start_s <= begins.start_s + 0.01
        safe += ends.end_s - 0.01 <= clip.end_s <= after_s + 0.01
        inside = {
            at for at, one in known if one.start_s < clip.speech_end_s and one.end_s > clip.speech_start_s
        }
        is_flagged = "text_differs" in clip.flags
        hits |= inside & set(wrong) if is_flagged else set()
        flagged += is_flagged and not inside & set(wrong)
    notes = " ".join(note for one in made.recordings for note in one.notes)
    named = sum(any(part in notes for part in (text[:15], text[-15:])) for text in wrong.values())
    absolute = np.abs(errors)
    cut = [pair for pair in alone.values() if max(pair) < 9.0]
    return {
        "way": name,
        "clips": len(made.clips),
        "median_s": round(float(np.median([one.end_s - one.start_s for one in made.clips])), 2),
        **{f"within_{round(1000 * grid)}_ms": round(float(np.mean(absolute <= grid)), 4) for grid in GRID_S},
        "worst_s": round(float(absolute.max()), 3),
        "edges_in_the_true_pause": round(safe / len(errors), 4),
        "sentences_with_both_edges_within": f"{sum(max(pair) <= WITHIN_S for pair in cut)}/{len(cut)}",
        "wrong_found": f"{len(hits)}/{len(wrong)}",
        "wrong_named": f"{named}/{len(wrong)}",
        "right_flagged": flagged,
    }


def memory(out: Path, hours: float) -> dict[str, object]:
    """Peak memory of the worker and of this process over one long recording: the first voice's, then noise to the end."""
    speech, _ = soundfile.read(out / f"audio/{VOICES[0]}.flac", dtype="float32")
    drawn = np.random.default_rng(1)
    with soundfile.SoundFile(out / "audio/long.flac", "w", RATE_HZ, 1) as file:
        file.write(speech)
        for _ in range(round(hours * 3600 - len(speech) / RATE_HZ)):
            file.write(drawn.standard_normal(RATE_HZ) * 10 ** (NOISE_DBFS / 20))
    chosen = params.load(ROOT / "params.yaml")
    ref, began = proposals.recogniser(chosen, "en"), time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    (heard,) = proposals.listen(
        out / "audio", [proposals.Source("long.flac", out)], chosen, ref, "en", out / "heard"
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "hours": round(heard.duration_s / 3600, 2),
        "stretches": len(heard.stretches),
        "words": len(heard.words or []),
        "worker_peak_mib": after.ru_maxrss >> 10,
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "wall_s": round(time.monotonic() - began),
    }


def real(out: Path, num: int, num_wrong: int, seed: int) -> dict[str, object]:
    """Prompts of a professional speaker (Debian's asterisk-core-sounds-en) in one recording: downloaded, measured, deleted. Needs PyAV.

    Where their sound truly begins nobody wrote down, so what is counted are cuts inside prompts, and texts found right or wrong.
    """
    from benchmarks import prompts

    rows = [
        one
        for one in prompts.fetch("asterisk", out, ("en",))
        if one.kind == "good" and len(one.text.split()) >= 4
    ]
    drawn = random.Random(seed)
    single = re.compile(r"[^.!?]+[.!?]")  # one sentence: where a longer prompt pauses, a cut is right
    rows = [one for one in drawn.sample(rows, len(rows)) if single.fullmatch(one.text)][:num]
    wrong = dict(zip(drawn.sample(range(num), num_wrong), sentences.write(num_wrong, seed), strict=True))
    parts, spans, at_s = [_silence(drawn, 1.0)], [], 1.0
    for one in rows:
        samples, _ = soundfile.read(out / "audio" / one.audio, dtype="float32")
        spans.append((at_s, at_s + len(samples) / RATE_HZ))
        parts += [samples, _silence(drawn, drawn.uniform(*PAUSES_S))]
        at_s += (len(samples) + len(parts[-1])) / RATE_HZ
    shutil.rmtree(out / "audio")
    noise = np.random.default_rng(seed).standard_normal(sum(map(len, parts))) * 10 ** (NOISE_DBFS / 20)
    soundfile.write(out / "real.flac", np.concatenate(parts) + noise, RATE_HZ, subtype="PCM_16")
    texts = [wrong.get(at, one.text) for at, one in enumerate(rows)]
    (out / "real.txt").write_text("\n\n".join(texts))
    try:
        source = proposals.Source("real.flac", out / "real.txt")
        naming = Naming("bench", "en", "one")
        made = proposals.propose(
            out, [source], params.load(ROOT / "params.yaml"), ClipLimits(3.0, 15.0, 0.1, 1), naming
        )
    finally:
        (out / "real.flac").unlink()
    flagged = [one for one in made.clips if "text_differs" in one.flags]
    marked = [
        {at for at, (low, high) in enumerate(spans) if low < one.speech_end_s and high > one.speech_start_s}
        for one in flagged
    ]
    inside = [
        (edge_s, low, high)
        for one in made.clips
        for edge_s in (one.start_s, one.end_s)
        for low, high in spans
        if low + 0.3 < edge_s < high - 0.3
    ]
    return {
        "prompts": len(rows),
        "minutes": round(at_s / 60, 1),
        "clips": len(made.clips),
        "edges": 2 * len(made.clips),
        "edges_inside_a_prompt": len(inside),
        "wrong_found": f"{len(set(wrong) & set().union(*marked))}/{num_wrong}",
        "right_flagged": sum(not one & set(wrong) for one in marked),
        "inside": [[round(at_s, 2) for at_s in one] for one in inside],
        "notes": [note for one in made.recordings for note in one.notes],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path(".cache/bench_cut"))
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--wrong", type=int, default=10)
    parser.add_argument("--seed", type=int, default=31_007)
    parser.add_argument(
        "--hours", type=float, help="instead: one recording so long, most of it noise; what memory is needed"
    )
    parser.add_argument("--real", action="store_true", help="instead: prompts of a professional speaker")
    parser.add_argument("--again", action="store_true", help="use what was heard in OUT before")
    given = parser.parse_args()
    if shutil.which("flite") is None:
        raise SystemExit("flite is not installed. Install the Debian package: apt-get install flite")
    if given.real:
        given.out.mkdir(parents=True, exist_ok=True)
        print(json.dumps(real(given.out, given.sentences, given.wrong, given.seed), indent=1))
        return
    if not given.again:
        shutil.rmtree(given.out, ignore_errors=True)
    truth = make(given.out, given.sentences, given.seed)
    if given.hours:
        print(json.dumps(memory(given.out, given.hours), indent=1))
        return
    wrong = misheard(truth, given.wrong, given.seed)
    write_texts(given.out, truth, wrong, given.seed)
    (given.out / "truth.json").write_text(json.dumps([vars(one) for one in truth]))
    chosen = params.load(ROOT / "params.yaml")
    ref = proposals.recogniser(chosen, "en")
    audio = [proposals.Source(f"{voice}.flac", given.out / f"srt/{voice}.srt") for voice in VOICES]
    began = time.monotonic()
    if given.again:
        heard = [records.read_one(given.out / f"heard/{at}.json", Listened) for at in range(len(VOICES))]
    else:
        heard = proposals.listen(given.out / "audio", audio, chosen, ref, "en", given.out / "heard")
    total_s = sum(one.duration_s for one in heard)
    print(
        f"{len(truth)} sentences, {total_s / 60:.1f} minutes, listened to in {time.monotonic() - began:.0f} s"
    )
    deaf = [replace(one, words=None) for one in heard]
    usual, single = ClipLimits(3.0, 15.0, 0.1, 1), ClipLimits(0.5, 15.0, 0.0, 1)
    for name, kind, known, limits in (
        ("srt", "srt", heard, usual),
        ("srt, each sentence alone", "srt", heard, single),
        ("plain text", "txt", heard, usual),
        ("plain text, each sentence alone", "txt", heard, single),
        ("srt, no recogniser", "srt", deaf, usual),
        ("srt, no recogniser, each sentence alone", "srt", deaf, single),
    ):
        sources = [
            proposals.Source(f"{voice}.flac", given.out / f"{kind}/{voice}.{kind}") for voice in VOICES
        ]
        parsed = [cues.read(one.text) for one in sources]
        made = proposals.proposed(
            given.out / "audio", sources, parsed, known, limits, Naming("bench", "en", "one")
        )
        told = tell(name, made, truth, wrong)
        digest.write_json(
            given.out / f"{name.replace(' ', '_').replace(',', '')}.json", records.to_json(made)
        )
        print(json.dumps(told, indent=1), flush=True)


if __name__ == "__main__":
    os.nice(19)
    main()
