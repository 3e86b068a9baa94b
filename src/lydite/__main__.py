"""`python -m lydite`."""

from lydite.cli import main

main()
