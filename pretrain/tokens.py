"""The tokenizer of the base: English to phonemes, inside tokenizer.json, so that upstream's own tokenizer class does it.

The normalizer lowers case, replaces every word it knows by its phonemes (one character each), spells the rest by simple rules of
reading, and leaves spaces and , . ? ! as tokens of their own. Pronunciations come from the CMU dictionary that pocketsphinx ships.
A tokenizer class that rebuilds its normalizer (transformers 5) would skip all this; transformers 4.57 keeps it.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from pretrain import design

PHONES = {
    "P": "P", "B": "B", "T": "T", "D": "D", "K": "K", "G": "G", "F": "F", "V": "V", "TH": "θ", "DH": "ð", "S": "S", "Z": "Z",
    "SH": "ʃ", "ZH": "ʒ", "CH": "C", "JH": "J", "HH": "H", "M": "M", "N": "N", "NG": "ŋ", "L": "L", "R": "R", "W": "W", "Y": "Y",
    "IY": "I", "IH": "ɪ", "EH": "ɛ", "EY": "E", "AE": "æ", "AA": "ɑ", "AO": "ɔ", "OW": "O", "UH": "ʊ", "UW": "U", "AH": "ʌ",
    "ER": "ɚ", "AY": "A", "AW": "Q", "OY": "X",
}  # fmt: skip
READING = """
tion=ʃʌN sion=ʒʌN ough=ɔ augh=ɔ igh=A tch=C dge=J sch=SK sh=ʃ ch=C th=θ ph=F wh=W qu=KW ck=K ng=ŋ gh=G kn=N wr=R
ee=I ea=I oo=U ou=Q ow=O oa=O oi=X oy=X ai=E ay=E ey=I ew=U au=ɔ aw=ɔ ar=ɑR or=ɔR er=ɚ ir=ɚ ur=ɚ
a=æ b=B c=K d=D e=ɛ f=F g=G h=H i=ɪ j=J k=K l=L m=M n=N o=ɑ p=P q=K r=R s=S t=T u=ʌ v=V w=W x=KS y=I z=Z
"""
SPECIAL = ("<unk>", "<s>", "</s>")
AUDIO = {
    101: "<|audio_start|>",
    102: "<|audio_end|>",
    103: "<|audio_prompt_start|>",
    104: "<|audio_prompt_end|>",
}
MARKS = "▁,.?!"


def dictionary(words: Iterable[str]) -> dict[str, str]:
    """Phonemes of the words that the CMU dictionary has."""
    import pocketsphinx

    wanted, found = set(words), {}
    with Path(pocketsphinx.get_model_path(), "en-us/cmudict-en-us.dict").open(encoding="utf-8") as file:
        for line in file:
            word, _, phones = line.partition(" ")
            if word in wanted:
                found[word] = "".join(PHONES[phone] for phone in phones.split())
    return found


def words_of(texts: Iterable[str]) -> list[str]:
    return sorted({word for text in texts for word in re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())})


def write(out: Path, words: Iterable[str]) -> None:
    """tokenizer.json, tokenizer_config.json and special_tokens_map.json for the official class."""
    from tokenizers import Regex, Tokenizer, models, normalizers

    spoken = dictionary(words)
    steps = [
        normalizers.Lowercase(),
        normalizers.Replace(Regex("[;:]"), ","),
        normalizers.Replace(Regex("[^a-z',.?!]+"), " "),
        *(normalizers.Replace(f" {mark}", mark) for mark in ",.?!"),
        normalizers.Strip(),
    ]
    steps += [normalizers.Replace(Regex(f"(?<![a-z']){w}(?![a-z'])"), p) for w, p in sorted(spoken.items())]
    steps += [normalizers.Replace("'", "")]
    steps += [normalizers.Replace(*rule.split("=")) for rule in READING.split()]
    steps += [normalizers.Replace(" ", "▁")]
    tokens = [*SPECIAL, *MARKS, *PHONES.values()]
    tokens += [f"<reserved_{number}>" for number in range(len(tokens), 101)]
    tokens += list(AUDIO.values())
    tokens += [f"<reserved_{number}>" for number in range(len(tokens), design.VOCABULARY)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.add_special_tokens(list(SPECIAL))
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {
        "tokenizer_class": "LlamaTokenizerFast", **special, "add_bos_token": False, "add_eos_token": False, "legacy": False,
        "clean_up_tokenization_spaces": False, "model_max_length": 512,
    }  # fmt: skip
    for name, value in (("tokenizer_config.json", settings), ("special_tokens_map.json", special)):
        text = json.dumps(value, indent=1, sort_keys=True) + "\n"
        (out / name).write_text(text, encoding="utf-8")
