"""The command line: ``headrace COMMAND``.

For people it shows tables and progress; with ``--json`` it prints one JSON document on standard output (or,
for what goes on, one a line), and nothing else there. Whatever goes wrong is one message on standard error:
exit status 1, or 2 for wrong usage. ``job --follow`` and ``--wait`` end as the job did: 0 succeeded,
1 failed, 3 cancelled.

A command's module is imported when the command is used, so that ``--help`` and ``--version`` answer at once.
The commands of the packages above the domain (``web``, ``worker``) are found by the entry-point group
``headrace.commands``.
"""

from headrace.cli.group import main

__all__ = ["main"]
