"""NaN, infinities and numbers without measure in float files: counted, dropped by a rule, and no figure is spoiled by them."""

import numpy as np
import pytest

from tests.attacks.conftest import Lab
from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe.data.audit import clean

BAD = {
    "nan.wav": np.float32("nan"),
    "infinity.wav": np.float32("inf"),
    "minus_infinity.wav": np.float32("-inf"),
    "signalling_nan.wav": np.array([0x7F800001], np.uint32).view(np.float32)[0],
}
HUGE = {"huge.wav": 1e30, "largest.wav": 3e38, "smallest.wav": 1e-42}


def test_what_is_no_number_is_counted_and_dropped(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    for name, value in BAD.items():
        samples = sounds.speech(1.0)
        samples[100:104] = value
        sounds.write(lab.root / name, samples, subtype="FLOAT")
    measures = lab.measures(["rec_01.wav", *BAD])
    assert capfd.readouterr().err == ""  # no warning of numpy's either
    assert [one.num_nonfinite for one in measures] == [0, 4, 4, 4, 4]
    assert all(one.rms_dbfs is not None and -40 < one.rms_dbfs < 0 for one in measures)
    known = [rows.manifest_row(number, audio=name) for number, name in enumerate(["rec_01.wav", *BAD], 1)]
    found = clean.audit(known, [], measures, rows.AUDIT, rows.PHRASES)
    dropped = {finding.clip_id for finding in found.findings if finding.rule == "nonfinite"}
    assert dropped == {row.clip_id for row in known[1:]}


def test_a_number_without_measure_overflows_nothing(lab: Lab) -> None:
    for name, level in HUGE.items():
        sounds.write(lab.root / name, np.full(8000, level, np.float32), subtype="FLOAT")
    found = lab.measures([*HUGE])
    assert [(one.problem, one.num_nonfinite) for one in found] == [(None, 0)] * 3
    assert [one.clipped_share for one in found] == [1.0, 1.0, 0.0]
