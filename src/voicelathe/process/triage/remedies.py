"""What can help against each class of memory failure, best first, and what cannot, in the words of each trainer's own settings.

The classes follow from what is in memory when. Weights are there after loading; activations come with a forward; gradients with the
first backward (and bf16 copies of fp32 weights with every forward under autocast); optimizer state with the first optimizer step.
Nothing new comes after that, so a later failure is a longer clip or a fragmented pool. Host memory is what the kernel kills for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from voicelathe.train import optimizers

WEIGHTS, ACTIVATIONS, GRADIENTS = "weights", "activations", "gradients and casts"
STATE, GROWTH, HOST = "optimizer state", "growth or fragmentation", "host memory"
OURS, VOXCPM, QWEN, UNKNOWN = "voicelathe", "VoxCPM's trainer", "Qwen3-TTS's sft_12hz.py", "unknown trainer"


@dataclass(frozen=True)
class Remedy:
    """Settings in the order in which to try them, and those that would change nothing."""

    helps: tuple[str, ...]
    cannot: tuple[str, ...]


PAGING, RESIDENT = " or ".join(optimizers.paging()), " or ".join(optimizers.resident())
EIGHT_BIT_TOO_EARLY = "an 8-bit or paged optimizer (its state does not exist yet)"
STATE_IS_COMPLETE = "another optimizer (its state is complete after the first step)"
OTHER_PROGRAMS = "end every other program on the card (nvidia-smi lists them)"
EXPANDABLE = "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True in the environment"

SHARED = f"train.shard: true on several GPUs (mode: full, {' or '.join(optimizers.of_fp32())}, weights: fp32); where it is on, more machine.processes, as the settings above are refused with it"

OF_OURS: Mapping[str, Remedy] = {
    WEIGHTS: Remedy(
        (
            OTHER_PROGRAMS,
            "train.weights: bf16 (mode: lora) or bf16_split16 (mode: full), half of fp32",
            "a card with more memory",
            SHARED,
        ),
        ("shorter clips, train.clips_per_pass, train.activation_checkpointing", EIGHT_BIT_TOO_EARLY),
    ),
    ACTIVATIONS: Remedy(
        (
            "train.activation_checkpointing: all",
            "a smaller train.clips_per_pass",
            "a lower audit.max_duration_s",
        ),
        (EIGHT_BIT_TOO_EARLY, "train.gradient_release"),
    ),
    GRADIENTS: Remedy(
        (
            "train.weights: bf16_split16 with autocast: false (half the gradients, and no bf16 copies)",
            "train.gradient_release: true, with max_grad_norm: null (no gradients lie there together)",
            "train.mode: lora (gradients of the adapter only)",
            SHARED,
        ),
        (
            "train.clips_per_pass (gradients and copies are as large as the weights, whatever is packed)",
            "train.activation_checkpointing and shorter clips (they hold no gradients)",
            EIGHT_BIT_TOO_EARLY,
        ),
    ),
    STATE: Remedy(
        (
            f"train.optimizer: {PAGING} (the moments move to the host when the card is full)",
            "train.weights: bf16_split8 or bf16_stochastic (1 or 0 bytes of master instead of 2)",
            "train.mode: lora",
            SHARED,
        ),
        (
            "train.activation_checkpointing, train.clips_per_pass and shorter clips (the state is as large as the weights)",
        ),
    ),
    GROWTH: Remedy(
        ("a lower audit.max_duration_s or a smaller train.clips_per_pass: a later step met longer clips",),
        (STATE_IS_COMPLETE,),
    ),
    HOST: Remedy(
        (
            "end other programs, or give the container more memory",
            f"train.optimizer: {RESIDENT}, if the card has room ({PAGING} keeps its moments in host memory)",
            "a smaller engine.workers, if it was a data stage",
        ),
        ("anything that saves memory of the card",),
    ),
}
OF_STAGES: Mapping[str, Remedy] = {  # phases of our other stages, in which nothing is trained
    "validate": Remedy(("a smaller evaluate.clips_per_pass", OTHER_PROGRAMS), ("any setting under train:",)),
    "speak": Remedy(("a lower listen.max_seconds", OTHER_PROGRAMS), ("any setting under train:",)),
    "encode": Remedy(("a lower audit.max_duration_s", OTHER_PROGRAMS), ("any setting under train:",)),
}
OF_VOXCPM: Mapping[str, Remedy] = {
    WEIGHTS: Remedy(
        (OTHER_PROGRAMS, "a card with more memory: weights are kept in fp32, 9.2 GB for VoxCPM 2"),
        ("batch_size, max_batch_tokens and shorter clips", EIGHT_BIT_TOO_EARLY),
    ),
    ACTIVATIONS: Remedy(
        (
            "batch_size: 1, and grad_accum_steps higher by the same factor",
            "max_batch_tokens: clips longer than max_batch_tokens / batch_size are left out",
            "shorter clips in the manifest",
            "gradient checkpointing, which this trainer lacks (here it is train.activation_checkpointing)",
        ),
        (EIGHT_BIT_TOO_EARLY, "a larger grad_accum_steps alone"),
    ),
    GRADIENTS: Remedy(
        (
            "a `lora:` section: gradients of the adapter only",
            "weights in bf16 with an exact master, which this trainer lacks: every fp32 weight has an fp32 gradient and a bf16 copy",
        ),
        (
            "batch_size and max_batch_tokens (gradients and casts are as large as the weights)",
            "gradient checkpointing (it holds no gradients)",
            EIGHT_BIT_TOO_EARLY,
        ),
    ),
    STATE: Remedy(
        ("a `lora:` section", "a paged 8-bit AdamW instead of torch's, which needs a change of the script"),
        ("batch_size, max_batch_tokens and shorter clips (the state is as large as the weights)",),
    ),
    GROWTH: Remedy(
        (
            EXPANDABLE,
            "max_batch_tokens: a later step met a longer clip",
            "no val_manifest, or a larger valid_interval, if it happened while validating: it generates speech in the same process",
        ),
        (STATE_IS_COMPLETE,),
    ),
    HOST: Remedy(
        ("num_workers: 0 or 1", "a larger /dev/shm for a container (docker run --shm-size=8g)", "end other programs"),
        ("batch_size, lora and anything else that saves memory of the card",),
    ),
}  # fmt: skip
OF_QWEN: Mapping[str, Remedy] = {
    WEIGHTS: Remedy(
        (OTHER_PROGRAMS, "the 0.6B model instead of 1.7B (--init_model_path)"),
        ("--batch_size and shorter clips", EIGHT_BIT_TOO_EARLY),
    ),
    ACTIVATIONS: Remedy(
        (
            "--batch_size 1 (the script accumulates 4 batches whatever the size)",
            "shorter clips in the manifest",
            "model.talker.gradient_checkpointing_enable(), a change of the script",
        ),
        (EIGHT_BIT_TOO_EARLY,),
    ),
    GRADIENTS: Remedy(
        ("LoRA instead of full fine-tuning, which the script lacks", "the 0.6B model instead of 1.7B"),
        ("--batch_size and shorter clips (gradients are as large as the weights)", EIGHT_BIT_TOO_EARLY),
    ),
    STATE: Remedy(
        ("an 8-bit or paged AdamW instead of torch's, a change of the script", "LoRA, which the script lacks"),
        ("--batch_size and shorter clips (the state is as large as the weights)",),
    ),
    GROWTH: Remedy((EXPANDABLE, "leave out the longest clips of the manifest"), (STATE_IS_COMPLETE,)),
    HOST: Remedy(
        ("end other programs, or give the container more memory", "a larger /dev/shm for a container"),
        ("--batch_size and anything else that saves memory of the card",),
    ),
}  # fmt: skip
OF_UNKNOWN: Mapping[str, Remedy] = {
    WEIGHTS: Remedy(
        (OTHER_PROGRAMS, "weights in bf16", "a card with more memory"),
        ("a smaller batch, shorter clips, gradient checkpointing", EIGHT_BIT_TOO_EARLY),
    ),
    ACTIVATIONS: Remedy(
        ("gradient checkpointing", "a smaller batch with more accumulation", "shorter clips"),
        (EIGHT_BIT_TOO_EARLY,),
    ),
    GRADIENTS: Remedy(
        ("LoRA", "weights in bf16 (with a master or stochastic rounding) instead of fp32 under autocast"),
        ("a smaller batch, shorter clips and gradient checkpointing (they hold no gradients)", EIGHT_BIT_TOO_EARLY),
    ),
    STATE: Remedy(
        ("an 8-bit or paged optimizer", "LoRA"),
        ("a smaller batch, shorter clips and gradient checkpointing (the state is as large as the weights)",),
    ),
    GROWTH: Remedy(
        (EXPANDABLE, "leave out the longest clips, or batch by total length", "validate in another process"),
        (STATE_IS_COMPLETE,),
    ),
    HOST: Remedy(
        ("fewer data-loader workers", "a larger /dev/shm for a container", "end other programs"),
        ("anything that saves memory of the card",),
    ),
}  # fmt: skip
REMEDIES: Mapping[str, Mapping[str, Remedy]] = {
    OURS: OF_OURS,
    VOXCPM: OF_VOXCPM,
    QWEN: OF_QWEN,
    UNKNOWN: OF_UNKNOWN,
}


def listing(remedy: Remedy, indent: str = "  ") -> str:
    """Both lists as numbered and plain lines."""
    helps = [f"{indent}  {number}. {one}" for number, one in enumerate(remedy.helps, 1)]
    cannot = [f"{indent}  - {one}" for one in remedy.cannot]
    return "\n".join([f"{indent}can help, in this order:", *helps, f"{indent}cannot help:", *cannot])
