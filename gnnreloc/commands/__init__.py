"""The commands of ``gnnreloc``, one file each.

A file has ``HELP`` (one line), ``DESCRIPTION``, ``EXAMPLES``, ``add_options(parser)`` and
``run(options) -> exit status``; and, where an interrupted run can be taken up,
``AFTER_INTERRUPT``, which says how. It is imported whenever the program starts, so it must import
nothing that takes long but inside functions.
"""

from types import ModuleType

from gnnreloc.commands import check, completion, demo, features, index, localize, search, train

#: Name of each command to its module, in the order of the help.
COMMANDS: dict[str, ModuleType] = {
    "localize": localize,
    "index": index,
    "search": search,
    "features": features,
    "train": train,
    "demo": demo,
    "check": check,
    "completion": completion,
}
