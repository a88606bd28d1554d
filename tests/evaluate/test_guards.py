"""Who loses something in one kind of lines, or was heard on too few: the guards by themselves."""

import pytest

from voicelathe.config.schema import Guards
from voicelathe.evaluate import guards
from voicelathe.evaluate.scores import ENDINGS, QUALITY, WORDS, Scores


def test_a_stratum_is_judged_with_a_correction_for_the_number_of_strata() -> None:
    """Four lines of a kind that all lose 0.147: p = 0.03 alone, and 0.09 as one of three kinds."""
    lines = [f"line-{number:02d}" for number in range(12)]
    step = {line: 0.753 if line < "line-04" else 0.9 for line in lines}
    found = Scores({WORDS: {"base": dict.fromkeys(lines, 0.9), "step": step}})
    against = guards.bar(found, "base", Guards(words=0.05, endings=None, quality=None), {})
    kinds = {line: [f"kind:{number // 4}"] for number, line in enumerate(lines)}

    def worse_in(strata: dict[str, list[str]]) -> list[str | None]:
        (row,) = guards.judge(["step"], against, strata, {})
        return [one.stratum for one in row.worse_in]

    assert worse_in({line: kinds[line] for line in lines[:4]}) == ["kind:0"]
    assert worse_in(kinds) == []


@pytest.mark.parametrize(("measure", "low"), [(ENDINGS, 0.7), (QUALITY, 2.7)])
def test_a_base_is_fit_to_be_taken_while_it_keeps_endings_and_quality(measure: str, low: float) -> None:
    how = Guards(words=0.05, endings=0.2, quality=0.2)
    usual = {WORDS: 0.9, ENDINGS: 1.0, QUALITY: 3.0}

    def known(changes: dict[str, float]) -> guards.Bar:
        means = {"base": usual, "base_zero_shot": {**usual, **changes}}
        values = {m: {n: {f"l{at}": one[m] for at in range(8)} for n, one in means.items()} for m in usual}
        return guards.bar(Scores(values), "base", how, {})

    assert guards.fit("base_zero_shot", known({WORDS: 0.5})), "words are compared, not asked"
    assert guards.fit("base_zero_shot", known({measure: usual[measure] - 0.1}))
    assert not guards.fit("base_zero_shot", known({measure: low}))
