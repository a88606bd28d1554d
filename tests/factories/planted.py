"""Twenty secrets of different kinds, each put where people keep or paste such things, and a look into every file for them."""

import subprocess
from pathlib import Path

from tests.factories import rows

ENVIRONMENT = {  # variable -> its value; the secret itself is below
    "MLFLOW_TRACKING_TOKEN": "tok-3f1c99aa",
    "MLFLOW_TRACKING_PASSWORD": "pw-51d0e2bb",
    "AWS_ACCESS_KEY_ID": "AKIAQ7EXAMPLE9Z3K2L1",
    "AWS_SECRET_ACCESS_KEY": "aws-9b2ce1cc",
    "AWS_SESSION_TOKEN": "ses-c7aa10dd",
    "HF_TOKEN": "hf_7Q2mZxPlantedPlanted",
    "WANDB_API_KEY": "wnb-60fe21ee",
    "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=https;AccountKey=azr-77ab10ff==",
    "MLFLOW_S3_ENDPOINT_URL": "https://u:s3-44aa0011@s3.example.org",
    "ALL_PROXY": "http://p:prx-1b2c0022@proxy.example.org:3128",
}
USER, PASSWORD = "anna", "hunter2-0033"  # of MLFLOW_TRACKING_URI
BECAUSE = "warmer, see https://joe:wik-8d7e0044@wiki.example.org/a?token=qry-9f8e0055"
REMOTE = "https://x-access-token:ghs_PlantedPlanted0066@git.example.org/voice.git"
BUCKET = "nosuch://id:bck-5c4d0077@bucket/voices"
EXPERIMENT = "sweep-glpat-PlantedPlanted0088"
ROWS = (
    rows.raw(2, audio="https://joe:web-2a3b0099@data.example.org/a.wav"),
    rows.raw(3, audio="s3://bucket/a.wav?X-Amz-Signature=sgn-4c5d00aa&X-Amz-Expires=60"),
    rows.raw(4, audio="curl -H 'Authorization: Bearer hdr-6e7f00bb' https://data.example.org/a.wav |"),
    b'{"audio": "a.wav", "api_key": "jsn-8a9b00cc", ',
    rows.raw(5, download_token="ext-0c1d00dd"),
)
SECRETS = {
    *("tok-3f1c99aa", "pw-51d0e2bb", "AKIAQ7EXAMPLE9Z3K2L1", "aws-9b2ce1cc", "ses-c7aa10dd", "hf_7Q2mZxPlantedPlanted"),
    *("wnb-60fe21ee", "azr-77ab10ff", "s3-44aa0011", "prx-1b2c0022", PASSWORD, "wik-8d7e0044", "qry-9f8e0055"),
    *("ghs_PlantedPlanted0066", "bck-5c4d0077", "glpat-PlantedPlanted0088", "web-2a3b0099", "sgn-4c5d00aa"),
    *("hdr-6e7f00bb", "jsn-8a9b00cc", "ext-0c1d00dd"),
}  # fmt: skip


def remote(root: Path) -> None:
    """A git repository whose remote holds a token, with one commit."""
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", REMOTE],
        ["commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", root, *who, *command], check=True)  # fmt: skip


def found(places: list[Path], *printed: str) -> list[str]:
    """`secret in file` for every one that got out; git's own configuration is where one was planted."""
    files = [
        path for place in places for path in place.rglob("*") if path.is_file() and ".git" not in path.parts
    ]
    contents = {str(path): path.read_bytes() for path in files} | {
        "what was printed": "\n".join(printed).encode()
    }
    assert len(contents) > 50 and any(name.endswith(".db") for name in contents), (
        "there was nothing to look into"
    )
    return [
        f"{secret} in {name}"
        for name, content in contents.items()
        for secret in SECRETS
        if secret.encode() in content
    ]
