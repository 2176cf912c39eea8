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
from typing import TYPE_CHECKING

from magface_al.command import cli
from magface_al.command.run import Run
from magface_al.training import flags

if TYPE_CHECKING:
    import torch


def build_parser() -> argparse.ArgumentParser:
    parser = cli.new_parser(__doc__)
    flags.add_file_options(parser.add_argument_group("files"))
    flags.add_model_options(parser.add_argument_group("model"))
    flags.add_head_options(parser.add_argument_group("head"))
    flags.add_recipe_options(parser.add_argument_group("recipe"))
    flags.add_augmentation_options(parser.add_argument_group("augmentation"))
    flags.add_scale_options(parser.add_argument_group("many processes, many people"))
    cli.add_device_options(parser, batch_size=flags.DEFAULT.batch_size)
    return parser


def main(args: argparse.Namespace, run: Run) -> None:
    from magface_al.command.outputs import refuse_inputs
    from magface_al.faces.training_set import open_training_set
    from magface_al.models.device import device_name
    from magface_al.training import distributed, epochs, setup
    from magface_al.training.batches import FaceReader
    from magface_al.training.trainer import Trainer

    given = flags.recipe_from(vars(args))

    def train(device: torch.device) -> None:
        """One process's part of the whole run."""
        run.silent = distributed.rank() > 0
        if not (args.resume_training or args.overwrite):
            setup.refuse_to_overwrite(args.output_dir)
        with open_training_set(args.data, args.root, args.num_classes) as data:
            origin = setup.describe_data(data, args.data, run)
            sets = setup.read_validation(args.val_set, args.root, run)
            run.path = args.output_dir / "manifest.json"
            refuse_inputs(args.output_dir, setup.names_written(given.epochs, args.save_every))
            run.facts |= {"device": device_name(device), "processes": distributed.world_size()}

            start = setup.starting_point(args.init, args.arch, args.preprocessing, given.seed, run)
            size, workers = start.preprocessing.size, args.workers
            reader = FaceReader(data, size, given.augmentation, given.seed, workers, args.max_bad_images)
            measure = args.magnitude_range == "auto"
            recipe = setup.with_measured_range(given, start, reader, device, run) if measure else given
            setup.check_recipe(recipe, run)
            trainer = Trainer(
                start.model,
                start.preprocessing,
                reader,
                recipe,
                device,
                channels_last=args.channels_last,
                compiled=args.compile,
            )
            progress = setup.begin_progress(args.output_dir, trainer, start, origin, run, args.save_every)
            if args.resume_training:
                progress.resume()
                run.say(f"goes on after epoch {len(progress.history)}, step {progress.steps}")
            else:
                progress.forget()
            if not run.silent:
                data.write_classes(args.output_dir / "classes.tsv")

            epochs.train_epochs(trainer, progress, sets, run, save_steps=args.save_steps, tensorboard=args.tensorboard)
            epochs.tell_outcome(trainer, progress, run)
            run.suggest(*epochs.next_words(progress.best_path, args.val_set, args.data, args.root))

    distributed.together(train, args.device, args.force_cpu)


if __name__ == "__main__":
    cli.run(build_parser(), main, distributed=True)
