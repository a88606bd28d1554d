"""The length of a clip is what was decoded to the end: headers without one, with a wrong one, and two files joined into one."""

from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as sounds
from voicelathe.data.audio import decoding, streams, waveform
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.audio.waveform import AudioFile

LOUD = np.concatenate([sounds.silence(1.0), sounds.noise(1.0, 3, 0.3), sounds.speech(1.5)])


def mp3(tmp_path: Path, with_info: bool = True, samples: sounds.Samples = LOUD) -> bytes:
    """An MP3 of libsndfile, which has a variable bit rate; its first frame is the Info frame."""
    content = sounds.write(tmp_path / "made.mp3", samples).read_bytes()
    frame = streams._frame(content[:4])
    assert frame is not None and content[frame.tag_at : frame.tag_at + 4] == b"Xing"
    return content if with_info else content[frame.num_bytes :]


def length(root: Path, name: str, content: bytes, may_seek: bool = False) -> int:
    (root / name).write_bytes(content)
    with AudioFile(root, name, None, may_seek=may_seek) as file:
        samples = file.clip(None, None)
        assert file.length_s() == pytest.approx(len(samples) / file.rate_hz)
        return len(samples)


def problem(root: Path, name: str, content: bytes) -> AudioProblem:
    (root / name).write_bytes(content)
    with pytest.raises(AudioProblem) as refused, AudioFile(root, name, None, may_seek=False) as file:
        file.clip(None, None)
    return refused.value


@pytest.mark.parametrize("tags", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)], ids=["bare", "ID3"])
def test_an_mp3_without_an_info_frame_is_decoded_to_its_end(tmp_path: Path, tags: bytes) -> None:
    bare = mp3(tmp_path, with_info=False)
    found = length(tmp_path, "a.mp3", tags + bare)
    assert len(LOUD) <= found <= len(LOUD) + 4 * 576  # the decoder's delay and the last frame, whole
    import soundfile

    (tmp_path / "a.mp3").write_bytes(bare)
    assert soundfile.info(tmp_path / "a.mp3").frames != found  # libsndfile estimates from the first frames


def test_the_last_slices_of_an_mp3_without_a_length_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(mp3(tmp_path, with_info=False))
    with AudioFile(tmp_path, "a.mp3", None) as file:
        assert len(file.clip(2.5, 3.5)) == 16000
        with pytest.raises(AudioProblem, match=r"2.5 to 3.9 s of a file of 3.5\d\d s"):
            file.clip(2.5, 3.9)


def test_an_mp3_whose_info_frame_promises_more_is_truncated_and_says_what_was_compared(
    tmp_path: Path,
) -> None:
    content = mp3(tmp_path)
    found = problem(tmp_path, "a.mp3", content[: len(content) * 2 // 3])
    assert found.code == "truncated" and "the Info frame says 100 frames" in found.detail, found.detail


def test_an_mp3_whose_info_frame_promises_less_is_decoded_to_its_end(tmp_path: Path) -> None:
    one, other = mp3(tmp_path), mp3(tmp_path, with_info=False)
    assert length(tmp_path, "a.mp3", one + other) >= 2 * len(LOUD) - 576


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus", "a.flac", "a.wav"])
@pytest.mark.parametrize("small", [decoding.SMALL_BYTES, 1000], ids=["small", "long"])
def test_two_files_joined_by_cat_are_decoded_as_both(
    tmp_path: Path, name: str, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "SMALL_BYTES", small)
    first, second = sounds.speech(1.5, 1), sounds.speech(2.0, 2)
    content = sounds.write(tmp_path / name, first).read_bytes()
    content += sounds.write(tmp_path / name, second).read_bytes()
    assert length(tmp_path, name, content) == len(first) + len(second)
    with AudioFile(tmp_path, name, None) as file:
        joined = file.clip(1.0, 3.0)[:, 0]
    wanted = np.concatenate([first, second])[16000:48000]
    assert np.corrcoef(joined, wanted)[0, 1] > 0.95


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac", "a.wav"])
def test_a_second_stream_of_another_rate_is_named_and_never_passed_over(tmp_path: Path, name: str) -> None:
    content = sounds.write(tmp_path / name, sounds.speech(1.0)).read_bytes()
    content += sounds.write(tmp_path / name, sounds.speech(1.0, rate_hz=24000), 24000).read_bytes()
    found = problem(tmp_path, name, content)
    assert found.code == "another_stream" and "24000 Hz" in found.detail


def test_an_ogg_of_which_the_first_stream_was_cut_off_is_truncated(tmp_path: Path) -> None:
    content = sounds.write(tmp_path / "a.ogg", sounds.speech(4.0)).read_bytes()
    last = content.rfind(b"OggS")
    assert problem(tmp_path, "a.ogg", content[:last] + content).code == "truncated"


@pytest.mark.parametrize("claimed", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFF - 36])
@pytest.mark.parametrize("bits", [16, 24])
def test_a_wav_of_unknown_length_is_read_to_its_end(tmp_path: Path, claimed: int, bits: int) -> None:
    data = np.random.default_rng(1).bytes(16000 * bits // 8)
    assert length(tmp_path, "a.wav", sounds.wav_bytes(data, claimed, bits=bits)) == 16000


@pytest.mark.parametrize("claimed", [0, (1 << 64) - 1, (1 << 63) - 1])
def test_an_rf64_of_unknown_length_is_read_to_its_end(tmp_path: Path, claimed: int) -> None:
    data = np.random.default_rng(1).bytes(32000)
    sizes = b"ds64" + (28).to_bytes(4, "little") + bytes(8) + claimed.to_bytes(8, "little") + bytes(12)
    content = bytearray(sounds.wav_bytes(data, 0xFFFFFFFF))
    content[:4], content[12:12] = b"RF64", sizes
    assert length(tmp_path, "a.wav", bytes(content)) == 16000


def flac(tmp_path: Path, claimed: int) -> bytes:
    content = bytearray(sounds.write(tmp_path / "made.flac", sounds.speech(2.0)).read_bytes())
    content[22:26] = claimed.to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("small", [decoding.SMALL_BYTES, 1000], ids=["small", "long"])
def test_the_length_in_a_flac_header_is_compared_with_what_was_decoded(
    tmp_path: Path, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "SMALL_BYTES", small)
    assert length(tmp_path, "a.flac", flac(tmp_path, 0)) == 32000
    assert problem(tmp_path, "a.flac", flac(tmp_path, 20000)).code == "bad_header"
    more = problem(tmp_path, "a.flac", flac(tmp_path, 40000))
    assert more.code == "truncated" and "32000 of 40000" in more.detail


def test_a_file_of_unknown_length_ends_where_files_may_not_be_longer(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(flac(tmp_path, 0))
    with (
        AudioFile(tmp_path, "a.flac", None, max_file_s=1.0) as file,
        pytest.raises(AudioProblem, match="max_file_s"),
    ):
        file.clip(0.5, 1.9)


def test_garbage_between_frames_of_an_mp3_is_passed_over(tmp_path: Path) -> None:
    content = mp3(tmp_path, with_info=False)
    frame = streams._frame(content[:4])
    assert frame is not None
    at = frame.num_bytes
    assert length(tmp_path, "a.mp3", content[:at] + b"\xff\x00" * 50 + content[at:]) >= len(LOUD) - 576


def test_the_header_of_a_file_of_unknown_length_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(flac(tmp_path, 0))
    assert waveform.header(tmp_path, "a.flac") == decoding.Header(16000, 1, None)


# --- tags of players -------------------------------------------------------------------------------------------------

ID3 = b"ID3\x04\0\0\0\0\1\x00" + bytes(128)  # 7 bits a byte: 128 of them
BEHIND = {
    "ID3": ID3,
    "ID3, old": b"TAG" + b"x" * 125,
    "APE": b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(16),
    "zeros": bytes(4000),
    "APE, then ID3": b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(16) + b"TAG" + bytes(125),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
@pytest.mark.parametrize("what", ["nothing", *BEHIND])
def test_tags_behind_the_audio_take_nothing_from_it(tmp_path: Path, suffix: str, what: str) -> None:
    content = sounds.write(tmp_path / f"made.{suffix}", LOUD).read_bytes()
    plain = length(tmp_path, f"plain.{suffix}", content)
    assert length(tmp_path, f"a.{suffix}", content + BEHIND.get(what, b"")) == plain


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_a_tag_before_the_audio_does_not_make_it_another_kind(tmp_path: Path, suffix: str) -> None:
    content = sounds.write(tmp_path / f"made.{suffix}", LOUD).read_bytes()
    plain = length(tmp_path, f"plain.{suffix}", content)
    assert length(tmp_path, f"a.{suffix}", ID3 + content) == plain
    other = "mp3" if suffix == "flac" else "flac"
    assert f"the content is {suffix}" in problem(tmp_path, f"a.{other}", ID3 + content).detail


def test_a_flac_that_is_cut_off_is_truncated_with_a_tag_behind_it_too(tmp_path: Path) -> None:
    content = sounds.write(tmp_path / "made.flac", LOUD).read_bytes()
    for behind in (b"", *BEHIND.values()):
        assert problem(tmp_path, "a.flac", content[: len(content) * 2 // 3] + behind).code == "truncated"


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_chunk_of_odd_length_without_padding_hides_no_audio(tmp_path: Path, subtype: str) -> None:
    content = sounds.write(tmp_path / "made.wav", LOUD, subtype=subtype).read_bytes()
    odd = b"LIST" + (9).to_bytes(4, "little") + b"INFOabcde"
    at = content.index(b"data")
    made = content[:at] + odd + content[at:]
    made = made[:4] + (len(made) - 8).to_bytes(4, "little") + made[8:]
    assert length(tmp_path, "a.wav", made) == len(LOUD)


@pytest.mark.parametrize("claimed", [0, 1, 2**31, 2**32 - 1])
def test_a_tag_that_lies_about_its_size_takes_no_audio_and_ends(tmp_path: Path, claimed: int) -> None:
    content = sounds.write(tmp_path / "made.flac", LOUD).read_bytes()
    lie = b"APETAGEX" + (2000).to_bytes(4, "little") + claimed.to_bytes(4, "little") + bytes(16)
    (tmp_path / "a.flac").write_bytes(content + lie)
    try:
        with AudioFile(tmp_path, "a.flac", None, may_seek=False) as file:
            assert len(file.clip(None, None)) == len(LOUD)
    except AudioProblem as told:
        assert told.code == "truncated"


ID3 = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128)


@pytest.mark.parametrize("may_seek", [False, True])
@pytest.mark.parametrize("small", [decoding.SMALL_BYTES, 1000], ids=["small", "long"])
@pytest.mark.parametrize("subtype", ["a.ogg", "a.opus", "a.mp3", "a.flac", "a.wav", "PCM_24", "FLOAT"])
def test_tags_before_the_audio_change_nothing_of_it(
    tmp_path: Path, subtype: str, small: int, may_seek: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "SMALL_BYTES", small)
    name, kind = (subtype, None) if subtype.startswith("a.") else ("a.wav", subtype)
    content = sounds.write(tmp_path / name, LOUD, subtype=kind).read_bytes()
    with AudioFile(tmp_path, name, None, may_seek=False) as file:
        wanted = file.clip(1.0, 2.0)
    (tmp_path / name).write_bytes(ID3 + content)
    with AudioFile(tmp_path, name, None, may_seek=may_seek) as file:
        assert np.array_equal(file.clip(1.0, 2.0), wanted)
        assert file.length_s() == pytest.approx(len(LOUD) / file.rate_hz)
    assert length(tmp_path, name, ID3 + content + ID3 + content) == 2 * len(LOUD)


def test_a_file_that_cannot_be_decoded_is_told_of_in_a_sentence(tmp_path: Path) -> None:
    content = sounds.write(tmp_path / "a.ogg", LOUD).read_bytes()
    found = problem(tmp_path, "a.ogg", content[:28] + bytes(30) + content[58:])
    assert found.code == "unreadable" and "convert it again" in found.detail
    assert "Error" not in found.detail and "opening" not in found.detail, found.detail
