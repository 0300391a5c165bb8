"""`python -m derms`: the same as the command `derms`."""

from derms.cli import main

main()
