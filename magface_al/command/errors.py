"""The two ways in which a run can end badly without a bug in the code."""


class _Told(Exception):
    """Its words are one line, whatever signs a name or a file's content have brought into them."""

    def __str__(self) -> str:
        words = super().__str__()
        return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in words)


class UserError(_Told):
    """The arguments or an input file are wrong: one line says where, what was expected and what to do (exit code 2)."""


class WorkError(_Told):
    """The input was fine but the work failed, or only part of it succeeded (exit code 1)."""
