"""Other tools' manifests with anything in them: every source gives rows or a sentence, never a traceback, and each line stays a line."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.factories import hostile, rows
from voicelathe.data.manifest import formats, recognising
from voicelathe.data.manifest.recognising import Found
from voicelathe.data.sources import gather
from voicelathe.errors import ManifestError

NUM = 60
VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1e308,
        10**400,
        0.5,
        "",
        "x",
        "nan",
        " ",
        "\u202e",
        "a/b.wav",
        "../x.wav",
        "\x00",
        [],
        [0],
        {},
        {"a": []},
    ),
    *(
        [{}],
        [5],
        [{"type": "file", "source": 5}],
        [{"type": "file", "source": "a.wav", "channels": 3}],
        "D:\\a\\b.wav",
    ),
]
KEYS = {
    "nemo": ("audio_filepath", "offset", "duration", "text", "speaker", "lang", "audio", "start_s"),
    "lhotse": (
        "id",
        "recording_id",
        "start",
        "duration",
        "channel",
        "text",
        "supervisions",
        "recording",
        "sources",
        "sampling_rate",
    ),
}


def odd(chance: random.Random, keys: tuple[str, ...]) -> bytes:
    row = {key: chance.choice(VALUES) for key in keys if chance.random() < 0.8}
    return json.dumps(row).encode()


def json_lines(form: str) -> Callable[[random.Random], bytes]:
    good = {
        "id": "x",
        "audio_filepath": "a.wav",
        "sampling_rate": 8000,
        "sources": [{"type": "file", "source": "a.wav"}],
    }
    said = {"id": "s", "audio_filepath": "a.wav", "recording_id": "x", "start": 0, "duration": 1, "text": "x"}
    whole = b"".join(json.dumps(one).encode() + b"\n" for one in (good, said))
    return lambda chance: (
        whole + b"".join(odd(chance, KEYS[form]) + b"\n" for _ in range(chance.randint(1, 3)))
    )


def table(chance: random.Random) -> bytes:
    cells = [
        b"path",
        b"sentence",
        b"client_id",
        b"",
        b"\xff",
        b"a.wav",
        b'"open',
        b"\x00",
        "\u2028".encode(),
        b"x" * 50,
    ]
    lines = [b"\t".join(chance.choices(cells, k=chance.randint(1, 4))) for _ in range(8)]
    return b"client_id\tpath\tsentence\n" + b"\n".join(lines)


def segments(chance: random.Random) -> bytes:
    words = ["u1", "r1", "0", "1.5", "-1", "nan", "1e999", "\u00fc", ""]
    lines = [" ".join(chance.choices(words, k=chance.randint(0, 5))) for _ in range(8)]
    return "\n".join(["u0 r1 0 1", *lines]).encode() + b"\xff\n"


MADE: dict[str, tuple[str, Callable[[random.Random], bytes]]] = {
    "nemo": ("m.json", json_lines("nemo")),
    "lhotse": ("supervisions.jsonl.gz", json_lines("lhotse")),
    "table": ("m.tsv", table),
    "cosyvoice": ("segments", segments),
}


@pytest.mark.parametrize("form", MADE)
def test_a_source_gives_rows_or_a_sentence_whatever_is_in_it(tmp_path: Path, form: str) -> None:
    name, make = MADE[form]
    done = 0
    for seed in range(NUM):
        chance = random.Random(seed)
        content = make(chance)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        (tmp_path / "wav.scp").write_bytes(b"r1 a.wav\n")
        found = Found(tmp_path / name, form, tmp_path, "")  # type: ignore[arg-type]
        try:
            gather.gather([found], {}, tmp_path, tmp_path / "joined.jsonl")
            read, _ = formats.read(
                rows.ingest(
                    tmp_path / "joined.jsonl",
                    tmp_path,
                    recording_from="(?s)(.+)",
                    speaker_id="x",
                    language="en",
                )
            )
        except ManifestError as problem:
            assert str(problem)
            continue
        assert [one.line for one in read] == list(range(1, len(read) + 1))
        done += 1
    assert done >= NUM // 4


def test_any_hostile_manifest_is_recognised_or_refused_in_a_sentence(tmp_path: Path) -> None:
    for seed in range(NUM):
        path = tmp_path / f"m{seed}.jsonl"
        path.write_bytes(hostile.manifest(random.Random(seed)).content)
        try:
            found = recognising.find_all(path, None)
            gather.is_plain(found, {}, tmp_path)
        except ManifestError as problem:
            assert str(problem)
