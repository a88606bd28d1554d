"""Files of very many channels, or of none."""

import pytest

from tests.attacks.conftest import Lab
from tests.factories import audio as sounds


@pytest.mark.parametrize(
    ("channels", "code"),
    [(0, "bad_header"), (9, "over_limit"), (1000, "over_limit"), (1024, "over_limit"), (65535, "over_limit")],
)
def test_a_file_of_so_many_channels_is_refused(lab: Lab, channels: int, code: str) -> None:
    data = bytes(2 * max(1, channels) * 20)
    block = 2 * max(1, channels) & 0xFFFF
    assert lab.problem("rec_02.wav", sounds.wav_bytes(data, channels=channels, block=block)) in (
        *(code, "bad_header"),  # 65,535 channels of two bytes do not fit into the header's field
    )


def test_eight_channels_are_read(lab: Lab) -> None:
    assert lab.problem("rec_02.wav", sounds.wav_bytes(bytes(3200), channels=8)) is None
