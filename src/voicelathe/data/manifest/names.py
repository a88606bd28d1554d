"""What the forms of a manifest are called, on the command line and in params.yaml. Light: the command line reads it before anything else."""

from typing import Literal

from voicelathe.config.data_schema import ManifestFormat

ExportFormat = Literal["voxcpm", "qwen3-tts", "cosyvoice", "ljspeech", "audiofolder"]
SourceName = Literal[  # what `voicelathe import` reads, and makes one manifest of
    ManifestFormat,
    "cosyvoice",
    "list",
    "table",
    "common-voice",
    "nemo",
    "lhotse",
    "parquet",
    "texts",
    "libritts",
    "vctk",
]
