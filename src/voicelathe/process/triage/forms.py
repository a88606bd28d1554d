"""How do logs write a memory failure, a finished step and the place in a program? Every pattern that `logs` reads with, and whose it is.

Sources of the forms: OpenBMB/VoxCPM scripts/train_voxcpm_finetune.py; QwenLM/Qwen3-TTS finetuning/sft_12hz.py; coqui Trainer's console
logger; k2-fsa/icefall and ZipVoice's train loop; CosyVoice's train_utils.py; RVC-Boss/GPT-SoVITS s2_train.py; tqdm; transformers' and
ms-swift's printed dictionaries; unsloth's table; PyTorch c10/cuda/CUDACachingAllocator.cpp; Linux mm/oom_kill.c, before and after 4.19;
Slurm's slurmstepd; `docker inspect`, `kubectl describe`; what srun, torchrun, Ray, Docker Compose and container runtimes put in front of
a line.
"""

import re
from functools import lru_cache

from voicelathe.process import triage

STAMP = r"\[?\d{4}-\d\d-\d\d[ T][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?\]?"
PREFIX = re.compile(
    r"^(?:[\s│>┃|]+|\[?(?:default)?rank\s*\d+\]?:?\s*|\[\d{4}-[^\]]*\]\s*|[EWI]\d{4} \S+ \d+ \S+\]\s*"
    rf"|{STAMP}\s*|(?:stdout|stderr) [FP] |\d{{1,3}}: |\([^()]*\bpid=\d+[^()]*\) |[\w.-]+-\d+\s+\| "
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ (?:kernel|python\d?|slurmd)(?:\[\d+\])?: |\[ *\d+\.\d+\] "
    r"|(?:INFO|DEBUG|ERROR)(?:[:\s]+(?:\w+:|\[[^\]]*\]))?\s*)*"
)
CARD = (
    r"(?:CUDA|HIP|XPU|MPS backend) out of memory\.? ?\(?Tried to allocate|^(?:torch\.(?:cuda\.)?)?OutOfMemoryError\b(?!.*Traceback)|RuntimeError: CUDA out of memory"
    r"|(?:RuntimeError|AcceleratorError|cudaErrorMemoryAllocation).*CUDA error: out of memory"
    r"|RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED|RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED"
    r"|Cuda failure(?: \d+)? 'out of memory'"
)
CARD += r"|\bRESOURCE_EXHAUSTED: Out of memory|\bResourceExhaustedError\b.*\bOOM when allocating"
CUDA = re.compile(rf"{CARD}|^{triage.KERNELS.pattern}")
SPARED = re.compile(
    r"\bWARN(?:ING)?\b|\bskipp|\bretry|\bignor|\bcaught\b", re.IGNORECASE
)  # in the same line: it was not fatal
# What a shell says of a killed program, in its own language.
KILLED = r"(?:Killed|Getötet|Processus arrêté|Terminado \(killed\)|Ucciso|Убито|已杀死|已杀掉|強制終了)"
KILL = re.compile(
    rf"^{KILLED}\s*$|\]\s*{KILLED}\s*$|^\S+ ?: (?:line|Zeile|ligne|línea|riga) \d+ ?:\s+\d+ {KILLED}(?!\w)|^zsh: killed\b|"
    r"^MemoryError\b|^[\w.]*ArrayMemoryError\b|\bstd::bad_alloc\b"
    r"|\b[Oo]ut of memory: Kill(?:ed)? process \d+|^Killed process \d+ \(|\binvoked oom-killer\b|\boom-kill:"
    r"|\bexitcode\s*:\s*-9\b|died with <Signals\.SIGKILL: 9>|Signal 9 \(SIGKILL\) received|terminated with signal SIGKILL"
    r"|^RuntimeError: DataLoader worker \(pid.*\) (?:is killed by signal: (?:Killed|Bus error)|exited unexpectedly)"
    r"|DefaultCPUAllocator: can't allocate memory|not enough memory: you tried to allocate"
    r"|^OSError: \[Errno 12\] Cannot allocate memory|unable to (?:mmap \d+ bytes|allocate shared memory\(shm\))"
    r"|slurmstepd: error: .*\boom[-_]kill|slurmstepd: error: .*(?:exceeded|DUE TO) .*memory|srun: error: .*Out Of Memory"
    r"|\bState: OUT_OF_MEMORY\b|\bOUT_OF_ME\+?|\"?OOMKilled\"?: true|\bReason:\s+OOMKilled\b|\bOOMKilled\b.*\b137\b"
    r"|\b(?:exit(?:s|ed)?|return(?:s|ed)?|completed|finished)\b.{0,24}\b(?:code|status)\b\W{0,4}(?:137\b|-9\b)"
    r"|\bsystemd-oomd\b.*\bKilled\b.*\bmemory\b|\bearlyoom\b.*\blow memory\b|\bWinError 1455\b"
    rf"|^{triage.PAGED.pattern}",
    re.IGNORECASE,
)
# A word of every form above: most of a long log's lines have none.
MAY_FAIL = re.compile(
    rf"memory|kill|oom|alloc|mmap|exited|exhaust|out_of_me|cudnn|137|-9|1455|{KILLED}|已杀", re.IGNORECASE
)
STEP = re.compile(
    r"^\[train\] step (?P<voxcpm>\d+):|^Epoch (?P<epoch>\d+) \| Step (?P<qwen>\d+) \| Loss"
    r"|--> STEP: (?P<coqui>\d+)/\d+ -- GLOBAL_STEP"
    r"|^Epoch \d+, batch (?P<icefall>\d+),.*\bloss\b"
    r"|\bTRAIN Batch (?P<cosyvoice_epoch>\d+)/(?P<cosyvoice>\d+) loss"
    r"|^Train Epoch: \d+ \[(?P<sovits>\d+)"
    r"|(?P<bar>\b\d+)/\d+ \[(?:\d+:)?\d+:\d+<"
    r"|\b(?:global[_ ])?(?:step|iter(?:ation)?)[ =:#]+(?P<step>\d+)\b.*loss"
    r"|(?P<trainer>\{['\"]loss['\"]: )|^(?P<table>\d+)\s+\d+\.\d{3,}(?:\s+\d+\.\d+)*\s*$",
    re.IGNORECASE,
)
VALIDATING = re.compile(
    r"^(?:Validation|Validating|Testing) DataLoader|^Validation:|Running Evaluation|\bCV rank \d+|^Evaluating\b|^ ?> EVALUATION|"
    r"Computing validation loss",
    re.IGNORECASE,
)
CHECKING = re.compile(r"^Sanity Checking", re.IGNORECASE)  # Lightning validates before the first step
OTHER_STEP = re.compile(
    r"\bloss\w*\b\W{0,4}-?\d+\.\d+|\b(?:epoch|step|iter\w*|batch|update)\b\W{1,4}\d+", re.IGNORECASE
)
RESUMED = re.compile(
    r"Resuming (?:training )?from (?:the )?(?:step|checkpoint)\D*(?P<step>[1-9]\d*)?|Loaded optimizer state",
    re.IGNORECASE,
)
COLOURS = re.compile(r"\x1b\[[0-9;:]*[mK]")  # of terminals; whatever else a log tells one to do is shown
SCHEDULER = re.compile(
    r"\bCANCELLED\b|\bDUE TO (?:TIME LIMIT|PREEMPTION|NODE FAIL)", re.IGNORECASE
)  # who killed it, and not for memory
NAMES_MEMORY = re.compile(r"memory|\boom|\bOUT_OF_ME", re.IGNORECASE)
NO_NUMBER = re.compile(r"\bloss\w*['\"]?\s*[:=]\s*-?(?:nan|inf)\b", re.IGNORECASE)
LAST_WORDS = re.compile(
    r"^[\w.]+(?:Error|Exception|Interrupt)\b|\bSegmentation fault\b|\bBus error\b|^Terminated\b|^Aborted\b|\bcore dumped\b|^\^C|"
    r"\bWatchdog caught\b|^what\(\):|\bNVRM: Xid\b|\bslurmstepd: error:"
)
MAY_BE_LAST = re.compile(
    r"rror|xception|Interrupt|fault|Terminated|Aborted|dumped|\^C|Watchdog|what\(|Xid|slurmstepd"
)
HEADER = "Traceback (most recent call last)"
FRAME = re.compile(r"^\s*(?:│\s*)?(?:File \"|.*\.py:\d+ in \w+|❱? ?\d+ │)|\.step\(|\.backward\(|\bmodel\(")
FIRST_STATE = re.compile(
    r"_init_group|init_state\(|\bexp_avg(?:_sq)?\b|state\[['\"]state\d['\"]\]|get_state_buffer|momentum_buffer"
)
PHASES = (  # what a traceback says, the first that fits; innermost calls do not matter
    ("optimizer", r"optimizer\.step|optim\w*\.step\(|accelerator\.step\(|scaler\.step\(|/optim/|in _init_group|init_state\("),
    ("checkpoint", r"in save_checkpoint|torch\.save\(|save_file\("),
    (
        "validation",
        r"in validat\w*\b|validate\(|\.generate\(|in validation_step|in eval(?:uat\w+)?\b|in eval_step|evaluation_loop|in prediction_step"
        r"|in cv\b|in test_step|_run_sanity_check",
    ),
    ("backward", r"\.backward\(|run_backward|clip_grad_norm_|\bReducer\b|_ddp_init_helper|DistributedDataParallel\("),
    ("forward", r"in forward\b|_call_impl|= (?:self\.)?model[\w.\[\]']*\(|in losses\b|in train(?:ing)?_step|criterion\w*\[?|in compute_\w*loss|net_[gd]\("),
    ("load", r"from_local|from_pretrained|load_state_dict|copy_weights|load_checkpoint|\.to\(|\.cuda\(|in _apply\b|prepare\("),
)  # fmt: skip
SIZE = r"([\d.]+) (bytes|KiB|MiB|GiB)"
UNITS = {"bytes": 2.0**-30, "KiB": 2.0**-20, "MiB": 2.0**-10, "GiB": 1.0}
AMOUNTS = {
    "tried": rf"Tried to allocate {SIZE}",
    "unused": rf"{SIZE} is reserved by PyTorch but unallocated",
    "allocated": rf"{SIZE} is allocated by PyTorch",
    "old_allocated": rf"{SIZE} already allocated",
    "old_reserved": rf"{SIZE} reserved in total",
    "other": rf"Process \d+ has {SIZE} memory in use\.(?=.*this process has)",
}


@lru_cache(maxsize=8)  # each line is looked at for several things
def bare(line: str) -> str:
    """A line without what launchers, runtimes and pastes put in front of it."""
    return PREFIX.sub("", line)


def fails_on_card(line: str) -> bool:
    """The words of an exception of the card's memory."""
    return MAY_FAIL.search(line) is not None and CUDA.search(bare(line)) is not None


def is_spared(line: str) -> bool:
    """Whether the line itself says that it was not fatal: a warning, a batch that was skipped."""
    return SPARED.search(bare(line)) is not None


def fails_on_host(line: str) -> bool:
    return MAY_FAIL.search(line) is not None and KILL.search(bare(line)) is not None


def is_last_word(line: str) -> bool:
    """An exception, or what a program says when it ends."""
    return MAY_BE_LAST.search(line) is not None and LAST_WORDS.search(bare(line)) is not None


def progress(line: str) -> int | None:
    """How far a step line says the training is: its own count, growing within a log; None for any other line."""
    text = bare(line)
    found = STEP.search(text)
    if found is None or VALIDATING.search(text) or CHECKING.search(text):
        return None
    return next((int(text) for text in found.groups() if text is not None and text.isdigit()), 1)
