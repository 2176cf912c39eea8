"""What every script's command line shares: flags, messages, exit codes. Imports nothing heavy, so --help is instant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command.errors import UserError, WorkError
from magface_al.command.run import Run
from magface_al.faces import preprocess

if TYPE_CHECKING:
    from magface_al.embedding.pair_scores import ModelChoice


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keep the layout of the script's docstring and add each flag's default, except where there is none to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or isinstance(action.default, bool) or action.required:
            return action.help
        return super()._get_help_string(action)


def new_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser described by the script's docstring; abbreviated flags are refused (a new flag would break them)."""
    return argparse.ArgumentParser(description=doc, formatter_class=_Help, allow_abbrev=False)


def add_command(commands: Any, name: str, sentence: str) -> argparse.ArgumentParser:
    """A sub-command with the same rules; `commands` is what add_subparsers returns."""
    return commands.add_parser(name, help=sentence, description=sentence, formatter_class=_Help, allow_abbrev=False)


def add_checkpoint_options(parser: argparse.ArgumentParser, *, required: bool = True, several: bool = False) -> None:
    """--checkpoint (aliases --model, --resume), --arch, --preprocessing. several: any number of checkpoints, as a list."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--checkpoint",
        "--model",
        "--resume",
        dest="checkpoint",
        type=Path,
        required=required,
        metavar="CKPT",
        **({"nargs": "+", "default": []} if several else {}),
        help="weights: MagFace, insightface, AdaFace, CVLface, MobileFaceNet or our own (.pth, .safetensors, .onnx)",
    )
    group.add_argument(
        "--arch",
        choices=["auto", *ARCHITECTURES],
        default="auto",
        help="backbone; auto reads it from the weights, a name also checks it",
    )
    group.add_argument(
        "--preprocessing",
        choices=["auto", *preprocess.PRESETS],
        default="auto",
        help="channel order and range of the network's input; auto is what the checkpoint records",
    )


def add_device_options(parser: argparse.ArgumentParser, *, batch_size: int, workers: int = 4) -> None:
    """--device, --force_cpu, --batch_size, --workers."""
    group = parser.add_argument_group("compute")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N; auto takes a GPU when there is one")
    group.add_argument("--force_cpu", action="store_true", help="the same as --device cpu")
    group.add_argument("--batch_size", type=positive_int, default=batch_size, help="images (or pairs) a step")
    group.add_argument("--workers", type=positive_int, default=workers, help="threads that decode images")


def add_flip_option(parser: argparse._ActionsContainer) -> None:
    """--flip."""
    parser.add_argument(
        "--flip",
        choices=FLIPS,
        default="none",
        help="the mirrored face's embedding: left out, added to the face's own, set behind it, or as the weights' family does",
    )


def model_choice(args: argparse.Namespace) -> ModelChoice:
    """The flags of add_checkpoint_options, add_device_options and, where the script has it, add_flip_option as one value."""
    from magface_al.embedding.pair_scores import ModelChoice

    device = "cpu" if args.force_cpu else args.device
    flip = getattr(args, "flip", "none")
    return ModelChoice(args.checkpoint, args.arch, args.preprocessing, device, args.batch_size, args.workers, flip)


FLIPS = ("none", "sum", "concat", "auto")
ARCHITECTURES = ("iresnet18", "iresnet34", "iresnet50", "iresnet100", "iresnet_tiny", "mobilefacenet")


def positive_int(text: str) -> int:
    """An argparse type: a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return value


def non_negative_int(text: str) -> int:
    """An argparse type: a whole number, zero allowed."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def positive_float(text: str) -> float:
    """An argparse type: a finite number above zero."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def non_negative_float(text: str) -> float:
    """An argparse type: a finite number, zero allowed."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


def fraction(text: str) -> float:
    """An argparse type: a share, from 0 (included) to 1 (excluded)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is outside [0, 1)")
    return value


def cosine(text: str) -> float:
    """An argparse type: a cosine similarity in [-1, 1]."""
    value = float(text)
    if not -1 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside [-1, 1], the range of a cosine similarity")
    return value


def named_path(text: str) -> tuple[str, Path]:
    """An argparse type: NAME=PATH; a bare PATH is called by its own name."""
    name, _, path = text.rpartition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"{text!r} names no file, expected NAME=PATH")
    return name or Path(path).stem, Path(path)


def share(text: str) -> float:
    """An argparse type: a rate above 0 and below 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is outside (0, 1)")
    return value


def yes_no(text: str) -> bool:
    """An argparse type: yes or no."""
    if text.lower() not in ("yes", "no", "true", "false"):
        raise argparse.ArgumentTypeError(f"{text} is neither yes nor no")
    return text.lower() in ("yes", "true")


def add_switch(parser: argparse._ActionsContainer, flag: str, help: str, default: bool = False) -> None:
    """A flag that is on when given alone, and takes yes or no, so that a command line can also turn a config file's off."""
    parser.add_argument(
        flag, nargs="?", const=True, default=default, type=yes_no, metavar="yes|no", help=f"{help} [{'yes' if default else 'no'}]"
    )  # fmt: skip


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
            from magface_al.command.config import apply_config

            apply_config(parser, path)
    return parser.parse_args(argv)


def probability(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside [0, 1]")
    return value


def positive_share(text: str) -> float:
    """An argparse type: a share above 0, up to all of it."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is outside (0, 1]")
    return value


def run(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace, Run], None]) -> None:
    """Parse, do the work, print the summary; end with 0 (done), 1 (failed work), 2 (bad arguments or input) or 130 (Ctrl-C)."""
    try:
        args = parse(parser)
    except UserError as error:
        sys.exit(_complain(parser.prog, str(error), 2))
    report = Run(parser.prog, vars(args))
    sys.exit(_exit_code(lambda: main(args, report), parser.prog, report))


def _exit_code(work: Callable[[], None], script: str, report: Run) -> int:
    try:
        work()
    except UserError as error:
        return _complain(script, str(error), 2)
    except WorkError as error:
        report.finish(exit_code=1)
        return _complain(script, str(error), 1)
    except (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        return _complain(script, f"{error.filename}: {error.strerror}", 2)
    except OSError as error:
        return _complain(
            script, f"{error.filename or 'output'}: {error.strerror}; files written before stay as they were", 1
        )
    except KeyboardInterrupt:
        return _complain(script, "interrupted", 130)
    report.finish(exit_code=0)
    return 0


def _complain(script: str, message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"{script}: error: {message}", file=sys.stderr)
    return code
