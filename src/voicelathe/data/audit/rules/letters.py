"""Rules over the letters of a text: are they those that were typed, and those of its language, and not only alike?"""

from voicelathe.data import columns
from voicelathe.data.audit.rule import Limits, Seen, drop, shown, warn
from voicelathe.data.clip import MeasuredRow
from voicelathe.data.corpus import Corpus, Mask
from voicelathe.data.text import columns as text_columns
from voicelathe.data.text import languages, look_alikes, misread, orthography
from voicelathe.records import Finding


def _look_alike(clip: MeasuredRow, _: Limits) -> Seen | None:
    found = look_alikes.find(clip.row.text or "", clip.row.language)
    return (found, "letters of one script in a word") if found else None


def _stress_marks(clip: MeasuredRow, _: Limits) -> Seen | None:
    text = clip.row.text or ""
    found = orthography.stressed(text, clip.row.language)
    return (f"{len(found)} of {len(text.split())} words: {shown(' '.join(found))}", "none") if found else None


def _not_ascii(corpus: Corpus, _: Limits) -> Mask:
    return ~corpus.is_simple


RULES = (
    drop(
        "look_alike_letters",
        "A letter of another script that looks like one of the word's: it reads well, and is another token to every model.",
        _look_alike,
        _not_ascii,
    ),
    warn(
        "stress_marks",
        "Marks of stress, as in dictionaries: they are kept and trained on, so lines that are spoken later need them, too, or no row should have any.",
        _stress_marks,
        _not_ascii,
    ),
)
WRONG_ENCODING = drop(
    "wrong_encoding",
    "A text of one encoding that was read as another: read again with --encoding, its letters are those of its language.",
)
OF_LANGUAGES = (WRONG_ENCODING,)


def judge(corpus: Corpus) -> list[Finding]:
    """Rows whose texts were misread, language by language: a short text is told by the others. They are judged as they were written."""
    import pyarrow.compute as pc

    odd = pc.invert(text_columns.is_simple(corpus.written))
    named = corpus.rows["language"]
    found: list[Finding] = []
    for language in named.unique().to_pylist():
        if not orthography.letters(language):
            continue
        mine = columns.mask(pc.and_(odd, pc.equal(named, language))) & columns.mask(
            pc.is_valid(corpus.written)
        )
        texts, ids = corpus.written.filter(mine).to_pylist(), corpus.rows["clip_id"].filter(mine).to_pylist()
        for at, one in misread.judge(texts, languages.primary(language)).items():
            seen = f"{shown(texts[at])} is {one.written_in}, read as {one.read_as}: {shown(one.meant)}"
            found.append(WRONG_ENCODING.finding(ids[at], (seen, "read in its own encoding")))
    return found
