"""The parts of the audit's page that say how much was looked at: rules that could not judge every row, characters, rules that found nothing."""

import unicodedata

from voicelathe.data.audit import clean
from voicelathe.data.audit.clean import AuditResult
from voicelathe.data.audit.coverage import unknown_languages
from voicelathe.data.page import counted, escape, table
from voicelathe.data.text import alphabet

MAX_LANGUAGES, MAX_CHARACTERS, MAX_RARE = 20, 120, 30


def looked_at(found: AuditResult, num_lines: int) -> str:
    """How much of the manifest was measured and judged, and where the page says what was not."""
    num_rows, num_measured = len(found.corpus), found.corpus.measures["problem"].null_count
    partly = sum(one.num_judged < one.num_rows for one in found.coverage)
    rows = "Every line is a row" if num_rows == num_lines else f"{num_rows} of {num_lines} lines are rows"
    audio = (
        "the audio of each was measured"
        if num_measured == num_rows
        else f"the audio of {num_measured} was measured"
    )
    rules = (
        f"{partly} of {len(found.coverage)} rules could not judge all of them, and say why below"
        if partly
        else "every rule judged all of them"
    )
    return f"{rows}, {audio}; {rules}."


def coverage(found: AuditResult) -> str:
    """What was not looked at, and why: a rule that could not judge a row has not found it good."""
    rows = [
        [
            f"<code>{one.code}</code>",
            f"{one.num_judged} of {one.num_rows}",
            escape(", ".join(f"{why} ({num})" for why, num in one.why_not)),
        ]
        for one in found.coverage
        if one.num_judged < one.num_rows
    ]
    unknown = unknown_languages(found.corpus)
    said = (
        f'<p class="warn">Languages that are not known by any name: {escape(", ".join(unknown[:10]))}. '
        "Write their code (BCP 47, for example <code>en</code>), or rules that know languages pass them over.</p>"
        if unknown
        else ""
    )
    if not rows:
        return f"<h2>What could be judged</h2>{said}<p>Every rule judged every row.</p>"
    listed = table(
        "Rules that could not judge every row", ["Rule", "Judged", "Because of the others"], rows, numeric=[1]
    )
    return f"<h2>What could be judged</h2>{said}{listed}"


def characters(found: AuditResult) -> str:
    """The alphabet of each language as it is trained on, and what is rare in it."""
    rows, num_digits = [], 0
    for one in alphabet.of(found.kept)[:MAX_LANGUAGES]:
        num_digits += one.num_with_digits
        usual = " ".join(char for char, _ in one.usual[:MAX_CHARACTERS])
        more = len(one.usual) - MAX_CHARACTERS
        rare = ", ".join(_character(char, num) for char, num in one.rare[:MAX_RARE])
        more_rare = len(one.rare) - MAX_RARE
        rows.append(
            [
                escape(one.language),
                str(len(one.characters)),
                escape(usual) + (f" and {more} more" if more > 0 else ""),
                escape(rare) + (f" and {more_rare} more" if more_rare > 0 else ""),
            ]
        )
    headers = ["Language", "Different", "Usual, the most used first", f"Rare: {alphabet.RARE} times or fewer"]
    digits = (
        f"<p>{counted(num_digits, 'row')} to be trained on hold digits. How they are read is not written down, and neither pace nor words are "
        "compared closely there: write numbers out as they were said.</p>"
        if num_digits
        else ""
    )
    listed = table("Characters of the texts that are kept, after normalising", headers, rows, numeric=[1])
    return f"<h2>Characters</h2>{digits}{listed}"


def _character(char: str, num: int) -> str:
    return f"{char} ({unicodedata.name(char, f'U+{ord(char):04X}').capitalize()}, {num})"


def silent_rules(found: AuditResult) -> str:
    """The rules that no row broke, with how many rows each could judge."""
    broken = {finding.rule for finding in found.findings}
    sentences = {one.code: one.sentence for one in found.coverage}
    rows = [
        [f"<code>{rule.code}</code>", escape(rule.reason), escape(sentences[rule.code])]
        for rule in clean.ALL_RULES
        if rule.code not in broken
    ]
    listed = table("Nothing was found by these", ["Rule", "Why it matters", "Judged"], rows)
    return f"<h2>Rules that found nothing</h2><details><summary>{counted(len(rows), 'rule')}</summary>{listed}</details>"
