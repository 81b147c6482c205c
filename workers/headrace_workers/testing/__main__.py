"""``python -m headrace_workers.testing NAME … [--thorough]``: check algorithms, say what is wrong."""

from headrace_workers.testing.command import main

main()
