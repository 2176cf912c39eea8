"""What every script's command line shares: flags, messages, exit codes. Imports nothing heavy, so --help is instant."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from magface_al.command import numbers, surroundings
from magface_al.command.errors import UserError, WorkError
from magface_al.command.last_resort import explain
from magface_al.command.outputs import guarded
from magface_al.command.run import Run
from magface_al.command.signals import Stopped, received, stopping

_DEBUG = "print the traceback of an error that nobody foresaw"


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keep the layout of the script's docstring and add each flag's default, except where there is none to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or isinstance(action.default, bool) or action.required:
            return action.help
        return super()._get_help_string(action)


def new_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser described by the script's docstring; abbreviated flags are refused (a new flag would break them)."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=_Help, allow_abbrev=False)
    parser.add_argument("--debug", action="store_true", help=_DEBUG)
    return parser


def add_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, sentence: str
) -> argparse.ArgumentParser:
    """A sub-command with the same rules; `commands` is what add_subparsers returns."""
    parser = commands.add_parser(name, help=sentence, description=sentence, formatter_class=_Help, allow_abbrev=False)
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=_DEBUG)
    return parser


def add_device_options(parser: argparse.ArgumentParser, *, batch_size: int | None = None, workers: int = 4) -> None:
    """--device, --force_cpu, and for what runs a network --batch_size [batch_size] and --workers."""
    group = parser.add_argument_group("compute")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; auto takes a GPU when there is one")
    group.add_argument("--force_cpu", action="store_true", help="the same as --device cpu")
    if batch_size is None:
        return
    group.add_argument("--batch_size", type=numbers.positive_int, default=batch_size, help="images (or pairs) a step")
    group.add_argument("--workers", type=numbers.positive_int, default=workers, help="threads that decode images")


def named_path(text: str) -> tuple[str, Path]:
    """An argparse type: NAME=PATH; a bare PATH is called by its own name."""
    name, _, path = text.rpartition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"{text!r} names no file, expected NAME=PATH")
    return name or Path(path).stem, Path(path)


def yes_no(text: str) -> bool:
    """An argparse type: yes or no."""
    if text.lower() not in ("yes", "no", "true", "false"):
        raise argparse.ArgumentTypeError(f"{text} is neither yes nor no")
    return text.lower() in ("yes", "true")


def add_switch(parser: argparse._ActionsContainer, flag: str, help: str, default: bool = False) -> None:
    """A flag that is on when given alone, and takes yes or no, so that a command line can also turn a config file's off."""
    text = f"{help} [{'yes' if default else 'no'}]"
    parser.add_argument(flag, nargs="?", const=True, default=default, type=yes_no, metavar="yes|no", help=text)


def add_config_option(parser: argparse._ActionsContainer) -> None:
    """--config, which `run` reads before the command line."""
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="flags from a file; the command line wins")


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line, and before it the file that its --config names. Raises UserError for a wrong file."""
    if any(action.dest == "config" for action in parser._actions):
        early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        add_config_option(early)
        path = early.parse_known_args(argv)[0].config
        if path is not None:
            from magface_al.command.config import apply_config  # YAML, which --help does without

            apply_config(parser, path)
    return parser.parse_args(argv)


def run(
    parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace, Run], None], *, distributed: bool = False
) -> None:
    """Parse, do the work, print the summary, and end with 0 (done), 1 (failed work) or 2 (bad arguments or input).

    A signal ends the run in order with 128 + its number: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 141 where nobody
    reads the output any more (`| head -1`). distributed: the script may be one of several that torchrun started.
    """
    surroundings.prepare()
    try:
        code = _exit_code(parser, main, distributed)
    except SystemExit as ended:  # argparse's: --help, or a wrong flag
        code = int(ended.code or 0)
    told = surroundings.let_go(sys.stdout)
    surroundings.let_go(sys.stderr)
    sys.exit(code if told else code or 1)


def _exit_code(
    parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace, Run], None], distributed: bool
) -> int:
    script, debug = parser.prog, False
    try:
        args = parse(parser)
        surroundings.check(distributed)
        debug = vars(args).pop("debug")
        report = Run(script, vars(args))
        first = not distributed or surroundings.launched("RANK", 0) == 0
        with stopping(), guarded(vars(args), claiming=first):
            try:
                main(args, report)
            except WorkError:
                report.finish(exit_code=1)
                raise
            report.finish(exit_code=0)
            sys.stdout.flush()
    except UserError as error:
        return _complain(script, str(error), 2)
    except WorkError as error:
        return _complain(script, str(error), 1)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        return _complain(script, *_of_a_file(error))
    except KeyboardInterrupt as error:
        stopped = error if isinstance(error, Stopped) else Stopped(signal.SIGINT)
        return _complain(script, str(stopped), 128 + stopped.number)
    except Exception as error:  # the last resort, and the only one
        if meant := received():
            return _complain(script, str(meant), 128 + meant.number)
        return _complain(script, explain(error, script, debug), 1)
    return 0


def _of_a_file(error: OSError) -> tuple[str, int]:
    """The message, and whether the user named a wrong file (2) or the work could not be done (1)."""
    named = FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError
    if isinstance(error, named):
        return f"{error.filename or 'a file'}: {error.strerror or error}", 2
    where = error.filename or "the screen, or a file"
    return f"{where}: {error.strerror or error}; files written before stay as they were", 1


def _complain(script: str, message: str, code: int) -> int:
    surroundings.let_go(sys.stdout)  # what was said before comes first
    with suppress(OSError):
        print(f"{script}: error: {message}", file=sys.stderr)
    return code
