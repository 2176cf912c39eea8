"""The tables that benchmarks print."""

from __future__ import annotations

import re


def faster(what, printed):
    """How many times faster than the plain reference the row `what` says that the project's code is."""
    return float(re.search(rf"^{re.escape(what)} .* s .*?(\d+\.\d\d)x", printed, re.MULTILINE)[1])
