"""How many good rows does the audit lose, on speech that nobody here made?

    python -m benchmarks.real_speech [OUT] [--source asterisk|fillets|stamps] [--languages en it] [--every 1] [--keep]

Recordings of real people are downloaded with apt-get, measured and deleted again (benchmarks/prompts.py). `asterisk`: prompts of five
professional speakers; a text in brackets ("[this is a simple beep tone]", "<beep ascending>") and the files silence/N are dirt with a
known truth, a remark in brackets beside words ("IAX (note: does not say "2")") is not said, and every other row is good; needs PyAV,
because libsndfile does not read G.722. `fillets`: actors of a game in Czech and Dutch. `stamps`: words and sentences read at home in
eleven languages, and noises under the texts of what makes them.
"""

import argparse
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

from benchmarks.prompts import LANGUAGES, Row, fetch
from pipelines import hear
from voicelathe.config import params, schema
from voicelathe.data.audit import clean
from voicelathe.data.manifest import ingest
from voicelathe.data.measures import measure
from voicelathe.data.text import phrases
from voicelathe.stages import hear as hearing

ROOT = Path(__file__).parents[1]


def audit(rows: list[Row], below: Path, models: str) -> clean.AuditResult:
    """Ingest, measure, hear and audit as the pipeline does, with everything switched on."""
    manifest = below / "manifest.jsonl"
    lines = [
        {"id": f"{row.language}/{row.name}", "audio": str(row.audio), "text": row.text}
        | {"recording_id": str(row.audio), "speaker_id": row.speaker, "language": row.language}
        for row in rows
    ]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    chosen = params.load(ROOT / "params.yaml")
    source = replace(chosen.ingest, manifest=str(manifest), audio_root=str(below / "audio"))
    chosen = replace(
        chosen,
        ingest=replace(source, format="voicelathe"),
        hear=replace(
            chosen.hear,
            speech=models != "none",
            words=models == "all",
            voice=models in ("all", "but-words"),
        ),
    )
    taken = ingest.read(chosen.ingest, chosen.engine)
    measures = measure.measure(taken.rows, below / "audio", chosen.measure, chosen.engine)
    heard = hearing.hear(taken.rows, measures, chosen, below / "heard", hear.REVISION)
    return clean.audit(taken.rows, taken.rejected, measures, chosen.audit, _phrases(chosen), heard)


def _phrases(chosen: schema.Params) -> phrases.Phrases:
    return phrases.load(ROOT / chosen.audit.phrases)


def tell(rows: list[Row], found: clean.AuditResult, out: Path) -> None:
    """The table, and every dropped row with its reasons in a file beside it."""
    known = {f"{row.language}/{row.name}": row for row in rows}
    ids = found.corpus.rows["user_id"].to_pylist()
    is_bad = dict(zip(ids, found.is_bad.tolist(), strict=True))
    print(
        "| language | good rows | dropped | share | beeps, tones and silences | dropped | with a remark | dropped |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for language in [*dict.fromkeys(row.language for row in rows), None]:
        some = [(name, row.kind) for name, row in known.items() if language in (None, row.language)]
        names = {kind: [name for name, of in some if of == kind] for kind in ("good", "dirt", "remark")}
        lost = {kind: sum(is_bad[name] for name in held) for kind, held in names.items()}
        share = f"{100 * lost['good'] / max(1, len(names['good'])):.1f} %"
        cells = [language or "all", len(names["good"]), lost["good"], share]
        cells += [cell for kind in ("dirt", "remark") for cell in (len(names[kind]), lost[kind])]
        print(f"| {' | '.join(map(str, cells))} |")
    user_ids = dict(zip(found.corpus.rows["clip_id"].to_pylist(), ids, strict=True))
    hits: Counter[str] = Counter()
    with out.open("w", encoding="utf-8") as file:
        for one in found.findings:
            row = known[user_ids[one.clip_id]]
            if one.action == "drop":
                hits[one.rule] += row.kind == "good"
                print(
                    row.kind, user_ids[one.clip_id], one.rule, one.value, repr(row.text), sep=" | ", file=file
                )
    print("good rows dropped by rule:", ", ".join(f"{rule} {num}" for rule, num in hits.most_common() if num))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path(".cache/real_speech"))
    parser.add_argument("--source", choices=LANGUAGES, default="asterisk")
    parser.add_argument("--languages", nargs="+", help="those of the source, all by default")
    parser.add_argument("--every", type=int, default=1, help="take every Nth prompt only")
    parser.add_argument(
        "--models",
        choices=("all", "but-words", "speech", "none"),
        default="all",
        help="which small models listen; the recogniser takes most of the time, and where readers are not told apart no voice can be judged",
    )
    parser.add_argument("--keep", action="store_true", help="leave the audio where it is, to measure again")
    chosen = parser.parse_args()
    listing = chosen.out / "rows.json"
    if listing.is_file():
        held = json.loads(listing.read_text(encoding="utf-8"))
        rows = [Row(**{**one, "audio": Path(one["audio"])}) for one in held]
    else:
        rows = fetch(chosen.source, chosen.out, tuple(chosen.languages or LANGUAGES[chosen.source]))[
            :: chosen.every
        ]
        listing.write_text(json.dumps([{**vars(row), "audio": str(row.audio)} for row in rows]))
    try:
        tell(rows, audit(rows, chosen.out, chosen.models), chosen.out / "dropped.txt")
    finally:
        if not chosen.keep:
            for folder in ("audio", "heard"):
                shutil.rmtree(chosen.out / folder, ignore_errors=True)
            listing.unlink(missing_ok=True)


if __name__ == "__main__":
    os.nice(19)
    main()
