"""Run the command line as `python -m penstock.cli`."""

from penstock.cli.entry import main

main()
