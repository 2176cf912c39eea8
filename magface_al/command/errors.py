"""The two ways in which a run can end badly without a bug in the code."""


class UserError(Exception):
    """The arguments or an input file are wrong: one line says where, what was expected and what to do (exit code 2)."""


class WorkError(Exception):
    """The input was fine but the work failed, or only part of it succeeded (exit code 1)."""
