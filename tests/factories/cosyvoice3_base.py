"""A small random CosyVoice 3 in the official on-disk layout.

llm.pt, CosyVoice-BlankEN and the two ONNX graphs are what the training half reads; flow, vocoder and the settings file are upstream's
alone: `upstream_parts` writes them with upstream's own classes, in its interpreter. The graphs have the official inputs and outputs
(campplus: [1, F, 80] -> [1, 192]; speech tokenizer: [1, 128, F], length -> [1, F / 4] int32) and depend on the audio.
"""

import json
from pathlib import Path
from typing import Any

HIDDEN, TOKENS = 32, 100
SPECIAL = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645, "<|endofprompt|>": 151646}


def write(out: Path, seed: int = 0, tokens: int = TOKENS, official_ids: bool = False) -> Path:
    """Write the directory; gives it back. `official_ids`: <|endofprompt|> is 151646, as upstream asserts when it speaks (20 MB more)."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    text_model = out / "CosyVoice-BlankEN"
    text_model.mkdir(parents=True, exist_ok=True)
    vocabulary = _tokenizer(text_model, official_ids)
    config = Qwen2Config(
        vocab_size=max(vocabulary.values()) + 400, hidden_size=HIDDEN, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=True,
    )  # fmt: skip
    qwen = Qwen2ForCausalLM(config)
    qwen.save_pretrained(text_model)
    weights = {f"llm.model.{name}": tensor for name, tensor in qwen.state_dict().items()}
    weights["llm_decoder.weight"] = torch.randn(tokens + 200, HIDDEN) * HIDDEN**-0.5
    weights["speech_embedding.weight"] = torch.randn(tokens + 200, HIDDEN) * 0.5
    torch.save(weights, out / "llm.pt")
    _graphs(out, tokens, seed)
    (out / "cosyvoice3.yaml").write_text("sample_rate: 24000\n", encoding="utf-8")
    for name in ("flow.pt", "hift.pt"):
        torch.save({"w": torch.zeros(1)}, out / name)
    return out


def upstream_parts(out: Path, checkout: Path) -> None:
    """Settings, flow and vocoder of upstream's own classes, in small. Runs in upstream's interpreter only."""
    import torch
    from hyperpyyaml import load_hyperpyyaml

    torch.manual_seed(0)
    settings = (checkout / "examples/libritts/cosyvoice3/conf/cosyvoice3.yaml").read_text(encoding="utf-8")
    for before, after in (
        ("llm_input_size: 896", f"llm_input_size: {HIDDEN}"), ("llm_output_size: 896", f"llm_output_size: {HIDDEN}"),
        ("channels: 1024", "channels: 32"), ("dim: 1024", "dim: 32"), ("depth: 22", "depth: 1"), ("heads: 16", "heads: 2"),
        ("dim_head: 64", "dim_head: 16"), ("base_channels: 512", "base_channels: 64"), ("cond_channels: 512", "cond_channels: 32"),
    ):  # fmt: skip
        assert before in settings, before
        settings = settings.replace(before, after)
    (out / "cosyvoice3.yaml").write_text(settings, encoding="utf-8")
    made = load_hyperpyyaml(settings, overrides={"qwen_pretrain_path": str(out / "CosyVoice-BlankEN")})
    for name, prefix in (("flow", ""), ("hift", "generator.")):
        state = {prefix + key: value for key, value in made[name].state_dict().items()}
        torch.save(state, out / f"{name}.pt")


def _tokenizer(out: Path, official_ids: bool) -> dict[str, int]:
    """Byte-level BPE without merges, in Qwen2's files."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    special = SPECIAL if official_ids else {name: 256 + number for number, name in enumerate(SPECIAL)}
    vocabulary |= special
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (out / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    names = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    config = {"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 32768, **names}
    (out / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return vocabulary


def _graphs(out: Path, tokens: int, seed: int) -> None:
    import numpy as np

    generator = np.random.default_rng(seed)
    _graph(
        out / "campplus.onnx",
        "speaker (float[1,t,80] x) => (float[1,192] y) { a = Abs(x)  m = ReduceMean<axes=[1], keepdims=0>(a)  y = MatMul(m, w) }",
        w=generator.standard_normal((80, 192)).astype(np.float32),
    )
    _graph(
        out / "speech_tokenizer_v3.onnx",
        "tokens (float[1,128,t] x, int32[1] l) => (int32[1,u] y) { p = AveragePool<kernel_shape=[4], strides=[4], ceil_mode=1>(x)"
        " m = ReduceMean<axes=[1], keepdims=0>(p)  a = Abs(m)  b = Mul(a, k)  c = Cast<to=6>(b)  y = Mod(c, v) }",
        k=np.array(1e3, np.float32),
        v=np.array(tokens, np.int32),
    )


def _graph(path: Path, text: str, **weights: Any) -> None:
    import onnx
    import onnx.parser
    from onnx import numpy_helper

    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 13]>\n' + text)
    for name, values in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    onnx.save(model, str(path))
