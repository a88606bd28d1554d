"""Which planted damage do the vetoes catch, and how often do they stop good speech? Held-out voices and sentences.

Usage:  python -m benchmarks.bench_damage [--good 72] [--bad 8] [--calibrate 24] [--metrics NAME...] [--seed N]        needs flite (Debian)

No rule was tuned on these sentences, and only the limit of harmonicity after a look at these voices: the corpus is awb, these are slt, rms and kal16. For each voice, limits come from
`calibrate` clips; `good` other clips must pass and `bad` clips of each kind of damage must be stopped.
"""

import argparse
import collections
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from voicelathe import digest
from voicelathe.data.audio import waveform
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.scoring import judging
from voicelathe.records import ClipRef, MetricJob

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "demo"))
import sentences
import speech

Samples = np.ndarray[Any, Any]
Change = Callable[[Samples, np.random.Generator], Samples]

RATE_HZ = speech.RATE_HZ
VOICES = ("slt", "rms", "kal16")
SEED = 77_001
TIMEOUT_S = 3600.0


def _noise(decibel: float) -> Change:
    def change(x: Samples, rng: np.random.Generator) -> Samples:
        return x + rng.standard_normal(len(x)) * np.sqrt(np.mean(x**2)) / 10 ** (decibel / 20)

    return change


def _shuffled(x: Samples, rng: np.random.Generator) -> Samples:
    size = RATE_HZ * 80 // 1000
    return np.concatenate([x[at * size : (at + 1) * size] for at in rng.permutation(len(x) // size)])


def _phasey(x: Samples, rng: np.random.Generator) -> Samples:
    import librosa

    power = librosa.feature.melspectrogram(y=x, sr=RATE_HZ, n_fft=1024, hop_length=256, n_mels=80)
    return librosa.feature.inverse.mel_to_audio(power, sr=RATE_HZ, n_fft=1024, hop_length=256, n_iter=32)


def _faster(x: Samples, rng: np.random.Generator) -> Samples:
    import librosa

    return librosa.effects.time_stretch(x, rate=1.5)


def _higher(x: Samples, rng: np.random.Generator) -> Samples:
    import librosa

    return librosa.effects.pitch_shift(x, sr=RATE_HZ, n_steps=4)


def _dull(x: Samples, rng: np.random.Generator) -> Samples:
    return waveform.resample(waveform.resample(x.astype(np.float32), RATE_HZ, 4000), 4000, RATE_HZ)


CHANGES: dict[str, Change] = {
    "cut to 40 %": lambda x, rng: x[: int(0.4 * len(x))],
    "cut to 75 %": lambda x, rng: x[: int(0.75 * len(x))],
    "noise 20 dB": _noise(20.0),
    "noise 5 dB": _noise(5.0),
    "reversed": lambda x, rng: x[::-1],
    "80 ms shuffled": _shuffled,
    "mel-80 Griffin-Lim": _phasey,
    "clipped x12": lambda x, rng: np.clip(x * 12, -0.5, 0.5),
    "silence": lambda x, rng: 1e-5 * rng.standard_normal(len(x)),
    "white noise": lambda x, rng: 0.05 * rng.standard_normal(len(x)),
    "said twice": lambda x, rng: np.concatenate([x, x]),
    "3 s of silence after it": lambda x, rng: np.concatenate([x, np.zeros(3 * RATE_HZ)]),
    "tempo 1.5": _faster,
    "pitch +4 semitones": _higher,
    "low-pass 2 kHz": _dull,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--good", type=int, default=72, help="good clips of each voice")
    parser.add_argument("--bad", type=int, default=8, help="clips of each damage and voice")
    parser.add_argument("--calibrate", type=int, default=24, help="real clips that set the limits")
    parser.add_argument("--voices", nargs="+", default=list(VOICES))
    parser.add_argument("--metrics", nargs="+", default=list(found.BUILT_IN))
    parser.add_argument("--seed", type=int, default=SEED, help="of the sentences")
    arguments = parser.parse_args()
    counts = arguments.calibrate, arguments.good, arguments.bad
    vetoes = run(arguments.voices, *counts, arguments.metrics, arguments.seed)
    print("| clips | number | stopped | by |\n|---|--:|--:|---|")
    for kind, rows in vetoes.items():
        codes = collections.Counter(code for row in rows for code in row)
        print(
            f"| {kind} | {len(rows)} | {sum(map(bool, rows)) / len(rows):.1%} | {', '.join(f'{code} {n}' for code, n in codes.most_common(5))} |"
        )


def run(
    voices: list[str], calibrate: int, good: int, bad: int, metrics: list[str], seed: int = SEED
) -> dict[str, list[dict[str, str]]]:
    """Kind of damage -> the vetoes of each of its clips; the kind `good` holds the clips that must pass."""
    speech.require_flite()
    texts = sentences.write(calibrate + good + 2 * bad, seed)
    vetoes: dict[str, list[dict[str, str]]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number, voice in enumerate(voices):
            other = VOICES[(VOICES.index(voice) + 1) % len(VOICES)]
            clips = list(_clips(voice, other, texts, calibrate, good, bad, number))
            refs = [
                _write(Path(folder, voice, f"{at}.wav"), text, x) for at, (_, text, x) in enumerate(clips)
            ]
            found_ = _judge(refs[:calibrate], refs[calibrate:], metrics)
            for (kind, _, _), stopped in zip(clips[calibrate:], found_, strict=True):
                vetoes[kind].append(stopped)
    return vetoes


def _clips(
    voice: str, other: str, texts: list[str], calibrate: int, good: int, bad: int, number: int
) -> Iterator[tuple[str, str, Samples]]:
    """(kind, text, samples): the clips that calibrate, the good ones, then every damage."""
    lines = {text: speech.Line(text, voice, _stretch(text)) for text in texts}
    others = {text: speech.Line(text, other, _stretch(text)) for text in texts[-bad:]}
    spoken = speech.speak([*lines.values(), *others.values()])
    rng = np.random.default_rng(SEED + number)

    def real(line: speech.Line) -> Samples:
        """As a recording would hold it: silence of 0.1 s around, a noise floor at -70 dBFS."""
        quiet = np.zeros(RATE_HZ // 10, np.float32)
        x = np.concatenate([quiet, spoken[line], quiet])
        return (x + 10 ** (-70 / 20) * rng.standard_normal(len(x))).astype(np.float32)

    for at, text in enumerate(texts[: calibrate + good]):
        yield ("real" if at < calibrate else "good"), text, real(lines[text])
    for text, wrong in zip(texts[-bad:], texts[-2 * bad : -bad], strict=True):
        for kind, change in CHANGES.items():
            yield kind, text, change(real(lines[text]), rng)
        yield "wrong speaker", text, real(others[text])
        yield "wrong text", text, real(lines[wrong])


def _stretch(text: str) -> float:
    """Speakers vary: 0.92 to 1.08, by the text."""
    return 0.92 + 0.16 * (int(digest.of_bytes(text.encode())[:8], 16) / 2**32)


def _write(path: Path, text: str, samples: Samples) -> ClipRef:
    waveform.write_wav(path, np.ascontiguousarray(samples, np.float32), RATE_HZ)
    return ClipRef(str(path.parent), path.name, None, None, digest.of_file(path), text, "en")


def _judge(real: list[ClipRef], clips: list[ClipRef], metrics: list[str]) -> list[dict[str, str]]:
    stopped: list[dict[str, str]] = [{} for _ in clips]
    for name in metrics:
        ended, answer = judging.ask(MetricJob(name, real, clips, None), TIMEOUT_S)
        if ended.status == "not_applicable":  # accent: nobody recorded these sentences twice
            continue
        assert answer is not None, ended
        for row, values in zip(stopped, answer.values, strict=True):
            row.update(judging.vetoes(answer, values))
    return stopped


if __name__ == "__main__":
    main()
