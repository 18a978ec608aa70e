"""``python -m draggan_runtime``: the command line."""

from draggan_runtime.cli import main

main()
