"""`python -m switch` is the command line."""

from switch.cli.main import main

main()
