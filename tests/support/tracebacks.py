"""Everything that a log may show of an error."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

TESTS = str(Path(__file__).resolve().parents[1])


def everything_shown(error: BaseException) -> str:
    """Return the text, the repr and the traceback of an error, with the variables of each frame.

    The frames of the tests themselves are left out: they know the secrets.
    """
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(TESTS):
        frames = frames.tb_next
    full = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    return "\n".join([str(error), repr(error), repr(vars(error)), *full.format()])
