"""The commands that the documents show."""

from __future__ import annotations

import re

from tests.support.scripts import ROOT


def commands(document):
    """The shell commands in a document's code blocks, continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")]
