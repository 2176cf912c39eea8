"""The commands that the documents show."""

from __future__ import annotations

import re

from tests.support.scripts import ROOT


def blocks(document, language="bash"):
    """The code blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


def commands(document):
    """The shell commands in a document's code blocks, continued lines joined."""
    lines = "\n".join(blocks(document)).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")]
