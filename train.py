"""Train a face-recognition model on labelled faces, from scratch or from existing weights.

reads    --data        MagFace lists (`path 0 id 0`), folders of identity folders, folders with InsightFace's train.rec;
         --init        weights to start from; --val_set  verification sets (.bin, pairs JSON, pairs.txt)
writes   --output_dir  last.pth, best.pth, training_state.pth, history.json, history.png, classes.tsv, samples.png
example  python train.py --data faces --arch mobilefacenet --epochs 25 --batch_size 512 --output_dir trained
         torchrun --nproc_per_node 8 train.py --config magface_r100.yaml --split_fc

The defaults are MagFace's official recipe. Several sources become one, their people numbered one after the other. Every
flag may stand in the --config file without its dashes; the command line wins.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command import cli, numbers
from magface_al.command.run import Run
from magface_al.embedding import model_flags
from magface_al.faces import preprocess
from magface_al.training.recipe import HEADS, PRECISIONS, SCHEDULES, Augmentation, TrainingRecipe

if TYPE_CHECKING:
    import torch

    from magface_al.faces.training_set import TrainingSet
    from magface_al.models.backbone import Backbone
    from magface_al.pairs.pair_file import PairFile
    from magface_al.training.batches import FaceReader
    from magface_al.training.progress import TrainingProgress
    from magface_al.training.tensorboard import Events
    from magface_al.training.trainer import Trainer

DEFAULT = TrainingRecipe()
DEFAULT_ARCH = "iresnet50"
HEAD_FLAGS = ("l_a", "u_a", "l_m", "u_m", "lambda_g", "margin", "h", "t_alpha")
MEASURED_FACES = 2000  # by --magnitude_range auto


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    add_file_options(parser.add_argument_group("files"))
    add_model_options(parser.add_argument_group("model"))
    add_head_options(parser.add_argument_group("head"))
    add_recipe_options(parser.add_argument_group("recipe"))
    add_augmentation_options(parser.add_argument_group("augmentation"))
    add_scale_options(parser.add_argument_group("many processes, many people"))
    cli.add_device_options(parser, batch_size=DEFAULT.batch_size)
    return parser


def add_file_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--data", type=Path, nargs="+", required=True, metavar="SOURCE", help="lists, folders or .rec files")  # fmt: skip
    group.add_argument("--root", type=Path, default=Path(), help="folder that relative paths of a list start from")
    group.add_argument("--num_classes", type=numbers.positive_int, metavar="N", help="ids are class numbers below N and stay as they are; otherwise they are renumbered without gaps")  # fmt: skip
    group.add_argument("--val_set", type=cli.named_path, nargs="+", default=[], metavar="NAME=PATH", help="verification sets, judged after every epoch; their mean accuracy chooses the best")  # fmt: skip
    group.add_argument("--output_dir", type=Path, default=Path("trained"), help="folder for everything written")
    cli.add_config_option(group)
    cli.add_switch(group, "--resume_training", "go on where the run in --output_dir stopped")
    cli.add_switch(group, "--overwrite", "begin anew although --output_dir holds a run")
    group.add_argument("--save_every", type=numbers.non_negative_int, default=0, metavar="EPOCHS", help="also keep every so many epochs as NNNNN.pth; 0: none")  # fmt: skip
    group.add_argument("--save_steps", type=numbers.non_negative_int, default=0, metavar="STEPS", help="write the state to resume from also every so many steps; 0: after epochs only")  # fmt: skip
    group.add_argument("--max_bad_images", type=numbers.interval("[0, 1)"), default=0.01, help="share of unreadable images above which the run ends; ten are always let pass")  # fmt: skip
    cli.add_switch(group, "--tensorboard", "also write TensorBoard events (extra `tensorboard`)")


def add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--init", type=Path, metavar="CKPT", help="weights to start from, of any layout that loads")
    group.add_argument("--arch", choices=["auto", *model_flags.ARCHITECTURES], default="auto", help=f"backbone; auto is that of --init, or {DEFAULT_ARCH}")  # fmt: skip
    group.add_argument("--preprocessing", choices=["auto", *preprocess.PRESETS], default="auto", help="channel order and range of the input; auto is that of --init, or magface")  # fmt: skip
    group.add_argument("--batch_norm", choices=["train", "frozen"], default=DEFAULT.batch_norm, help="frozen keeps the statistics of --init")  # fmt: skip
    group.add_argument("--bn_momentum", type=numbers.interval("(0, 1)"), default=DEFAULT.bn_momentum, help="of the BatchNorm statistics; MagFace's own 0.9 keeps hardly more than the last batch")  # fmt: skip
    group.add_argument("--dropout", type=numbers.interval("[0, 1)"), default=DEFAULT.dropout, help="before the embedding layer of iResNets (MagFace 0.4, arcface_torch 0)")  # fmt: skip
    cli.add_switch(group, "--channels_last", "keep activations channel by channel at each pixel, which is faster", default=True)  # fmt: skip
    cli.add_switch(group, "--compile", "compile the network (torch.compile)")


def add_head_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--head", choices=list(HEADS), default=DEFAULT.head, help="arcface-insightface repeats arcface_torch's gradient, arcface has the formula's own")  # fmt: skip
    group.add_argument("--scale", type=numbers.positive_float, default=DEFAULT.scale, help="factor on every cosine")
    for name, meaning in (
        ("l_a", "MagFace: lowest magnitude that matters"), ("u_a", "MagFace: highest"),
        ("l_m", "MagFace: margin at l_a"), ("u_m", "MagFace: margin at u_a"),
        ("lambda_g", "MagFace: weight of the regulariser that rewards magnitude"),
        ("margin", "ArcFace, CosFace, AdaFace"), ("h", "AdaFace: how far quality moves the margin"),
        ("t_alpha", "AdaFace: share of a batch in the running statistics of magnitudes"),
    ):  # fmt: skip
        values = ", ".join(f"{head} {values[name]:g}" for head, values in HEADS.items() if name in values)
        group.add_argument(f"--{name}", type=numbers.non_negative_float, help=f"{meaning} ({values})")
    group.add_argument("--magnitude_range", choices=["given", "auto"], default="given", help="auto sets l_a, u_a and lambda_g from the magnitudes that --init gives to the training faces")  # fmt: skip
    cli.add_switch(group, "--easy_margin", "MagFace: no margin where the target cosine is below 0", DEFAULT.easy_margin)


def add_recipe_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--epochs", type=numbers.positive_int, default=DEFAULT.epochs, help="passes over the images")
    group.add_argument("--accumulate", type=numbers.positive_int, default=DEFAULT.accumulate, help="parts that a step's images are taken in, to save memory")  # fmt: skip
    group.add_argument("--optimizer", choices=["sgd", "adamw"], default=DEFAULT.optimizer, help="sgd with momentum, or adamw")  # fmt: skip
    group.add_argument("--lr", type=numbers.positive_float, default=DEFAULT.lr, help="highest learning rate; 0.1 is for 512 images a step, scale it with --batch_size")  # fmt: skip
    group.add_argument("--momentum", type=numbers.interval("[0, 1)"), default=DEFAULT.momentum, help="of sgd")
    group.add_argument("--weight_decay", type=numbers.non_negative_float, default=DEFAULT.weight_decay, help="of the optimizer")  # fmt: skip
    group.add_argument("--decay", choices=["all", "weights"], default=DEFAULT.decay, help="weights spares BatchNorm, PReLU and biases, as AdaFace does")  # fmt: skip
    group.add_argument("--schedule", choices=SCHEDULES, default=DEFAULT.schedule, help="multistep (MagFace, AdaFace), cosine, or linear (arcface_torch)")  # fmt: skip
    group.add_argument("--milestones", type=numbers.positive_int, nargs="+", default=list(DEFAULT.milestones), metavar="EPOCH", help="multistep: after these epochs the rate drops")  # fmt: skip
    group.add_argument(
        "--gamma", type=numbers.interval("(0, 1)"), default=DEFAULT.gamma, help="multistep: factor of each drop"
    )
    group.add_argument("--warmup_epochs", type=numbers.non_negative_float, default=DEFAULT.warmup_epochs, help="epochs over which the rate rises")  # fmt: skip
    group.add_argument("--clip", type=numbers.positive_float, default=DEFAULT.clip, help="largest norm of the backbone's gradient")  # fmt: skip
    group.add_argument("--ema", type=numbers.interval("[0, 1)"), default=DEFAULT.ema, help="decay of the averaged weights that are validated and kept; 0: no averaging")  # fmt: skip
    group.add_argument("--precision", choices=PRECISIONS, default=DEFAULT.precision, help="of the backbone; auto is bf16 on a GPU, fp32 on a CPU; the head is always fp32")  # fmt: skip
    group.add_argument(
        "--seed",
        type=numbers.non_negative_int,
        default=DEFAULT.seed,
        help="of the weights, the order and the augmentation",
    )


def add_augmentation_options(group: argparse._ArgumentGroup) -> None:
    default = DEFAULT.augmentation
    group.add_argument(
        "--mirror", type=numbers.interval("[0, 1]"), default=default.mirror, help="probability of mirroring"
    )
    group.add_argument("--crop", type=numbers.interval("[0, 1]"), default=default.crop, help="probability of blackening all but a rectangle (AdaFace: 0.2)")  # fmt: skip
    group.add_argument("--low_resolution", type=numbers.interval("[0, 1]"), default=default.low_resolution, help="probability of scaling down and up (AdaFace: 0.2)")  # fmt: skip
    group.add_argument("--photometric", type=numbers.interval("[0, 1]"), default=default.photometric, help="probability of other brightness, contrast, saturation (AdaFace: 0.2)")  # fmt: skip
    cli.add_switch(group, "--adaface_luminance", "weigh red and blue the wrong way round in photometric, as AdaFace's code does")  # fmt: skip


def add_scale_options(group: argparse._ArgumentGroup) -> None:
    cli.add_switch(group, "--split_fc", "each process holds only its share of the classes; the softmax stays exact")
    group.add_argument("--sample_rate", type=numbers.interval("(0, 1]"), default=DEFAULT.sample_rate, help="Partial FC: share of the classes in each step's softmax, for very many people")  # fmt: skip


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.training import distributed

    distributed.together(lambda device: train(args, device, run), args.device, args.force_cpu)


def train(args: argparse.Namespace, device: torch.device, run: Run) -> None:
    """One process's part of the whole run."""
    from magface_al.command.errors import UserError
    from magface_al.faces.training_set import open_training_set
    from magface_al.models.device import device_name
    from magface_al.training import distributed
    from magface_al.training.progress import STATE

    run.silent = distributed.rank() > 0
    if (args.output_dir / STATE).exists() and not (args.resume_training or args.overwrite):
        raise UserError(f"{args.output_dir}: holds a run already; --resume_training goes on with it, --overwrite begins anew")  # fmt: skip
    distributed.barrier()  # nobody writes before everybody has looked
    with open_training_set(args.data, args.root, args.num_classes) as data:
        describe_data(args, data, run)
        sets = read_validation(args, run)
        args.output_dir.mkdir(parents=True, exist_ok=True)
        run.path = args.output_dir / "manifest.json"
        run.facts |= {"device": device_name(device), "processes": distributed.world_size()}
        trainer, progress = set_up(args, data, device, run)
        if args.resume_training:
            progress.resume()
            run.say(f"goes on after epoch {len(progress.history)}, step {progress.steps}")
        elif not run.silent:
            (args.output_dir / STATE).unlink(missing_ok=True)
        if not run.silent:
            data.write_classes(args.output_dir / "classes.tsv")
        train_epochs(args, trainer, progress, sets, run)
        finish(args, trainer, progress, run)


def describe_data(args: argparse.Namespace, data: TrainingSet, run: Run) -> None:
    """Say what the sources hold and what is odd about them."""
    for source, path in zip(data.sources, args.data, strict=True):
        run.say(f"found {source.description}")
        for note in source.notes:
            run.note(f"{path}: {note}")
    run.facts["data"] = {"images": len(data), "classes": data.num_classes, "fingerprint": data.fingerprint()}


def read_validation(args: argparse.Namespace, run: Run) -> dict[str, PairFile]:
    """Name -> pairs of every --val_set."""
    from magface_al.pairs.pair_file import describe
    from magface_al.pairs.verification_sets import read_verification_set

    sets = {name: read_verification_set(path, [args.root]) for name, path in args.val_set}
    for name, pair_file in sets.items():
        run.input(pair_file.path, f"{name}: {describe(pair_file.pairs)}")
    if not sets:
        run.note("no --val_set: best.pth is the last epoch, because nothing measures which was best")
    return sets


def set_up(args: argparse.Namespace, data: TrainingSet, device: torch.device, run: Run) -> tuple[Trainer, TrainingProgress]:  # fmt: skip
    """The trainer, and where its progress is kept."""
    from magface_al.training.batches import FaceReader
    from magface_al.training.progress import TrainingProgress
    from magface_al.training.trainer import Trainer

    start = starting_point(args, run)
    augmentation = Augmentation(**{field.name: getattr(args, field.name) for field in fields(Augmentation)})
    reader = FaceReader(data, start.preprocessing.size, augmentation, args.seed, args.workers, args.max_bad_images)
    recipe = recipe_of(args, augmentation, start, reader, device, run)
    trainer = Trainer(start.model, start.preprocessing, reader, recipe, device, channels_last=args.channels_last, compiled=args.compile)  # fmt: skip
    made_with = {
        "data": run.facts["data"],
        "preprocessing": start.preprocessing.to_dict(),
        "arch": start.arch,
        "init": start.weights_sha256,
    }
    facts = {"arch": start.arch, "preprocessing": start.preprocessing, "family": start.family}
    run.facts |= made_with
    return trainer, TrainingProgress(args.output_dir, trainer, made_with, facts)


def starting_point(args: argparse.Namespace, run: Run) -> Backbone:
    """The network of --init, or a new one drawn from the seed."""
    from magface_al.models.checkpoint import load_backbone, new_backbone

    if args.init is None:
        arch = DEFAULT_ARCH if args.arch == "auto" else args.arch
        run.say(f"{arch} from scratch, seed {args.seed}")
        return new_backbone(arch, args.preprocessing, args.seed)
    start = load_backbone(args.init, args.arch, args.preprocessing, trainable=True)
    run.input(args.init, start.describe(), start.file_sha256)
    return start


def recipe_of(args: argparse.Namespace, augmentation: Augmentation, start: Backbone, reader: FaceReader, device: torch.device,
              run: Run) -> TrainingRecipe:  # fmt: skip
    """The flags that say how to train. Notes what does not fit together."""
    from magface_al.command.errors import UserError
    from magface_al.training.heads import MagFace, build_head

    given = {name: getattr(args, name) for name in HEAD_FLAGS if getattr(args, name) is not None}
    if foreign := sorted(given.keys() - HEADS[args.head].keys()):
        raise UserError(f"--{foreign[0]}: the head {args.head} has none; it has {', '.join(HEADS[args.head])}")
    own = {field.name for field in fields(TrainingRecipe)} - {"head_options", "augmentation", "milestones"}
    values = {name: getattr(args, name) for name in own}
    recipe = TrainingRecipe(**values, head_options=given, augmentation=augmentation, milestones=tuple(args.milestones))
    if args.magnitude_range == "auto":
        recipe = with_measured_range(args, recipe, start, reader, device, run)
    head = build_head(recipe)
    if isinstance(head, MagFace):
        if not (0 < head.l_a < head.u_a and head.l_m <= head.u_m):
            raise UserError(f"--l_a {head.l_a:g} --u_a {head.u_a:g} --l_m {head.l_m:g} --u_m {head.u_m:g}: expected 0 < l_a < u_a and l_m <= u_m")  # fmt: skip
        if head.lambda_g < head.lambda_bound():
            run.note(f"--lambda_g {head.lambda_g:g} is below {head.lambda_bound():.3f}, so larger magnitudes need not pay off, and quality may not emerge")  # fmt: skip
    if args.lr == DEFAULT.lr and args.optimizer == "sgd" and args.batch_size != DEFAULT.batch_size:
        run.note(f"--lr {args.lr:g} is for {DEFAULT.batch_size} images a step; for {args.batch_size} the usual rule gives {args.lr * args.batch_size / DEFAULT.batch_size:.3g}")  # fmt: skip
    run.facts["recipe"] = vars(recipe) | {"augmentation": vars(augmentation)}
    return recipe


def with_measured_range(args: argparse.Namespace, recipe: TrainingRecipe, start: Backbone, reader: FaceReader,
                        device: torch.device, run: Run) -> TrainingRecipe:  # fmt: skip
    """The recipe with l_a, u_a and lambda_g from the magnitudes of existing features; flags that were given stay."""
    from dataclasses import replace

    import numpy as np

    from magface_al.command.errors import UserError
    from magface_al.embedding.embedder import Embedder
    from magface_al.metrics.cosine import magnitudes
    from magface_al.training.trainer import magnitude_range

    if args.init is None:
        raise UserError("--magnitude_range auto: an untrained network has no magnitudes to measure; give --init, or l_a and u_a")  # fmt: skip
    if "l_a" not in HEADS[recipe.head]:
        raise UserError(f"--magnitude_range auto: the head {recipe.head} has no magnitude range, expected magface or mag-cosface")  # fmt: skip
    chosen = np.random.default_rng(args.seed).permutation(len(reader.data))[:MEASURED_FACES]
    embedder = Embedder(start.model, start.preprocessing, device)
    measured = magnitudes(np.concatenate([embedder(faces) for faces in reader.plain_faces(chosen)]))
    found = magnitude_range(measured, recipe)
    run.say(f"magnitudes of {len(measured)} faces: {measured.min():.2f} .. {np.median(measured):.2f} .. {measured.max():.2f}; "
            + ", ".join(f"--{name} {value:g}" for name, value in found.items()))  # fmt: skip
    return replace(recipe, head_options=found | recipe.head_options)


def train_epochs(args: argparse.Namespace, trainer: Trainer, progress: TrainingProgress, sets: dict[str, PairFile], run: Run) -> None:  # fmt: skip
    """Train, validate and save, epoch by epoch. Ctrl-C keeps what is on disk."""
    from magface_al.training.tensorboard import open_events

    if not run.silent:
        trainer.reader.write_samples(args.output_dir / "samples.png")
    events = open_events(args.output_dir / "tensorboard", args.tensorboard and not run.silent)
    try:
        for number in range(len(progress.history) + 1, args.epochs + 1):
            train_epoch(number, args, trainer, progress, sets, events, run)
    except KeyboardInterrupt:
        run.note("interrupted: what has been written is kept; --resume_training goes on from there")
        raise
    finally:
        events.close()


def train_epoch(number: int, args: argparse.Namespace, trainer: Trainer, progress: TrainingProgress, sets: dict[str, PairFile],
                events: Events, run: Run) -> None:  # fmt: skip
    """One epoch, from the step on at which an interrupted run had stopped."""
    import time

    from tqdm import tqdm

    from magface_al.embedding.embedder import Embedder
    from magface_al.training import distributed
    from magface_al.training.validation import validate_sets

    started, first = time.monotonic(), progress.steps
    steps = tqdm(trainer.epoch(number, first), total=trainer.steps, initial=first, unit="step",
                 desc=f"epoch {number}/{args.epochs}", disable=run.silent)  # fmt: skip
    for figures in steps:
        progress.count(figures)
        steps.set_postfix({name: f"{figures[name]:.3f}" for name in ("loss", "cosine", "magnitude")}, refresh=False)
        events.add("train", figures, (number - 1) * trainer.steps + progress.steps)
        if args.save_steps and progress.steps % args.save_steps == 0 and progress.steps < trainer.steps:
            progress.save_state()
    speed = (trainer.steps - first) * trainer.recipe.batch_size / (time.monotonic() - started)
    validation = {}
    if not run.silent and sets:
        trainer.averaged.eval()
        validation = validate_sets(Embedder(trainer.averaged, trainer.preprocessing, trainer.device), sets, args.workers)  # fmt: skip
    best = progress.end_epoch(validation, time.monotonic() - started)
    events.add("validation", validation, number * trainer.steps)
    if not run.silent:
        progress.save(run.as_dict(), best, keep=bool(args.save_every) and number % args.save_every == 0)
    progress.save_state()
    distributed.barrier()
    run.say(f"{line_of(progress.history[-1])}  {speed:.0f} images/s" + ("  best so far" if best and sets else ""))


def line_of(entry: dict[str, Any]) -> str:
    """One epoch for the screen."""
    figures = "  ".join(f"{name.replace('_', ' ')} {entry[name]:.4f}" for name in ("loss", "accuracy", "cosine", "magnitude"))  # fmt: skip
    validation = "".join(f"  {name} {100 * value:.2f} %" for name, value in entry["validation"].items())
    skipped = f"  {entry['skipped']:.0f} steps skipped" if entry["skipped"] else ""
    return f"epoch {entry['epoch']:>3}: {figures}  lr {entry['lr']:.2g}{validation}{skipped}"


def finish(args: argparse.Namespace, trainer: Trainer, progress: TrainingProgress, run: Run) -> None:
    """Say what came out, name the images that could not be read, and the next command."""
    from magface_al.training.distributed import gather_objects

    reader = trainer.reader
    failures: dict[int, str] = {}
    for found in gather_objects(reader.failures):
        failures |= found
    for image, reason in sorted(failures.items())[:20]:
        run.note(f"{reader.data.name(image)}: {reason}; another image took its place")
    if failures:
        run.note(f"{len(failures)} of {len(reader.data)} images could not be read")
    if reader.resized is not None:
        run.note(f"images were not {reader.size} px squares and were resized (first: {reader.data.name(reader.resized)}); align faces first")  # fmt: skip
    if trainer.skipped:
        run.note(f"{trainer.skipped} steps had no finite gradient and were skipped")
    run.facts |= {"history": progress.history, "best_epoch": progress.best_epoch, "skipped_steps": trainer.skipped,
                  "unreadable_images": {reader.data.name(image): reason for image, reason in sorted(failures.items())}}  # fmt: skip
    run.output(args.output_dir / "best.pth", f"the best weights (epoch {progress.best_epoch})")
    run.suggest(f"python gen_features.py --inf_list LIST --feat_list features.npy --checkpoint {args.output_dir / 'best.pth'}")  # fmt: skip


if __name__ == "__main__":
    cli.run(build_parser(), main)
