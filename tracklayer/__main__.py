"""`python -m tracklayer` is the command `tracklayer`."""

from .cli import main

main()
