"""Words of errors are one line."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError, WorkError


@pytest.mark.parametrize("kind", [UserError, WorkError])
def test_signs_that_would_break_or_hide_the_line_are_written_out(kind):
    error = kind("a\nb\u2028.png: é\udc80\x1b[31m, expected ü")
    assert str(error) == r"a\nb\u2028.png: é\udc80\x1b[31m, expected ü"
