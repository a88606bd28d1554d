"""`python -m voicelathe.cli`, for an interpreter whose scripts are not on PATH."""

from voicelathe.cli import main

main()
