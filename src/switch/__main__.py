"""`python -m switch` is the command line."""

from switch.cli import main

main()
