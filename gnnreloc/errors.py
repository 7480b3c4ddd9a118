"""The one exception that means: the user gave us something that we cannot use."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input from the user: a file, a table row, a video, an option.

    The message names the culprit (which file, row or video), the value found and the value wanted.
    The command line turns it into one line on standard error and exit code 2.
    """
