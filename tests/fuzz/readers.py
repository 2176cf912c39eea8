"""Every reader of the package, one entry each. A new reader is a new entry; test_readers.py looks for those without one.

`read` runs in a folder with the seed's files and does what the scripts do with them, down to the last value: a reader that
hands out what breaks its caller is no better than one that breaks itself. Where a script is light, it is run as it stands.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command import cli
from magface_al.command.run import Run
from magface_al.conversion.unpack import bin_to_folder, rec_to_folder
from magface_al.embedding.embedder import face_batches, open_embedder
from magface_al.embedding.model_flags import ModelChoice
from magface_al.embedding.pair_scores import PairEmbedder, rows_of
from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.evaluation import quality
from magface_al.evaluation.far_rules import FAR_RULES
from magface_al.evaluation.ijb import IJB
from magface_al.evaluation.templates import POOLINGS
from magface_al.evaluation.tinyface import tinyface
from magface_al.faces.identities import identities_of
from magface_al.faces.image_list import read_image_list
from magface_al.faces.preprocess import decode_image
from magface_al.faces.recordio import RecordFile, image_records, images_by_label
from magface_al.faces.training_set import open_training_set
from magface_al.finetuning.feedback import read_feedback, read_replay
from magface_al.metrics.roc import Figures
from magface_al.models.checkpoint import load_backbone
from magface_al.pairs.pair_file import PairFile, read_pairs, write_pairs
from magface_al.pairs.people import contradictions, pair_identities
from magface_al.pairs.splits import split_pairs
from magface_al.pairs.verification_sets import read_verification_set
from magface_al.training.flags import recipe_from
from tests.fuzz import seeds, training
from tests.fuzz.attempt import EXACT, NOTHING, WHOLE, Reader
from tests.fuzz.labelling import label, picture, request
from tests.support.scripts import load_script


def script(name: str, *flags: str) -> Run:
    """Run a script as its user does, but for the last step: what it raises is not made into a line."""
    loaded = load_script(f"{name}.py")
    args = cli.parse(loaded.build_parser(), flags)
    run = Run(f"{name}.py", vars(args))
    loaded.main(args, run)
    run.finish(exit_code=0)
    return run


def quiet() -> Run:
    return Run("fuzz.py", {})


def finite(values: Any) -> np.ndarray:
    """The values, if they are numbers: a NaN that gets as far as here would be printed as a result."""
    found = np.asarray(values)
    assert np.isfinite(found).all(), "a value that is not finite came out of it"
    return found


def use_pairs() -> None:
    feedback, _ = read_feedback([Path("pairs.json")], quiet())
    feedback.labels()
    contradictions(feedback.pairs)
    pair_identities(feedback.pairs)
    for name in feedback.images():
        feedback.locate(name)
    for part in split_pairs(feedback.pairs, (0.8, 0.2), np.random.default_rng(1)).parts:
        write_pairs(Path("part.json"), part, **feedback.extra)
    written = PairFile(Path("part.json"), list(feedback.pairs), feedback.extra)
    write_pairs(Path("all.json"), written.pairs, **written.extra)
    assert read_pairs(Path("all.json")).pairs == written.pairs


def read_set(name: str) -> list[tuple[str, str, int | None]]:
    pair_file = read_verification_set(Path(name), [Path()])
    pair_file.labels()
    sources = [(image, pair_file.source(image)) for image in pair_file.images()]
    for _ in face_batches(sources, 8, 1):
        pass
    pair_identities(pair_file.pairs)
    return [(pair.image1, pair.image2, pair.label) for pair in pair_file.pairs]


def use_store(name: str) -> None:
    """As choose_pairs, the evaluations and the error page use it."""
    pair_file = read_pairs(Path("pairs.json"))
    choice = ModelChoice(checkpoint=Path("model.pth"), device="cpu")
    scores = PairEmbedder(choice, quiet(), Path(name))(pair_file).scores()
    finite(scores.similarity)
    finite(scores.magnitude1)
    Figures(scores.similarity, scores.pair_file.labels(), 0.4).of_curve()
    store = read_features(Path(name), skip_bad_lines=True)
    finite(store.unit())
    rows_of(store, pair_file)


def choose(*more: str) -> None:
    flags = ("--features_list", "features.npy", "--output_file", "ask.json", "--budget", "4", "--force_cpu", *more)
    script("choose_pairs", *flags)
    read_pairs(Path("ask.json"))


def mine(*more: str) -> None:
    script(
        "build_hard_pairs",
        "--features_list",
        "features.list",
        "--output_file",
        "hard.json",
        "--pos_target",
        "4",
        "--neg_target",
        "4",
        *more,
    )
    read_pairs(Path("hard.json"))


def gen_features(name: str) -> tuple[list[str], str]:
    flags = (
        "--inf_list",
        "images.list",
        "--feat_list",
        name,
        "--resume",
        "model.pth",
        "--force_cpu",
        "--allow_failures",
    )
    script("gen_features", *flags, "--workers", "1")
    store = read_features(Path(name))
    finite(store.unit())
    return store.names, np.asarray(store.embeddings).tobytes().hex()


def template_scores() -> None:
    evaluate = IJB(Path("meta/s"), POOLINGS["insightface"], FAR_RULES["at_most"], quiet())
    figures, _ = evaluate(read_features(Path("features.npy")), allow_failures=True)
    finite([figures[name] for name in ("auc", "eer") if figures[name] is not None])


def score_files() -> None:
    pair_file = read_pairs(Path("pairs.json")).labelled()
    images = [pair.image1 for pair in pair_file.pairs]
    finite(quality.scores_of(images, Path("scores.txt")))


def image_list() -> None:
    images = read_image_list(Path("images.list"), allow_spaces=False)
    for _ in face_batches(images, 8, 1):
        pass
    read_replay(Path("images.list"), 1, 112, quiet())


def identity_list() -> None:
    identities_of(seeds.IMAGES, Path("identities.list"))
    train_on("identities.list")


def train_on(name: str, num_classes: int | None = None) -> None:
    """What train.py does before its first step."""
    with open_training_set([Path(name)], Path(), num_classes) as data:
        data.fingerprint()
        data.write_classes(Path("classes.tsv"))
        for index in range(len(data)):
            data.name(index)
            image = data.read(index)
            try:
                decode_image(image)
            except ValueError:
                pass  # counted by FaceReader


def train_list() -> None:
    train_on("train.list")
    train_on("train.list", 4)
    script("prepare_data", "list2rec", "--train_list", "train.list", "--output_dir", "packed")
    train_on("packed")


def merge(*names: str) -> None:
    script("prepare_data", "merge_lists", "--lists", *names, "--output_list", "merged.list")


def compound() -> None:
    script("prepare_data", "compound", "--sources", "train.list", "more.list", "--output_list", "all.list")


def label_map() -> None:
    train_on("people")
    script("prepare_data", "folder2list", "--dataset", "people", "--output_list", "out.list")


def given_label_map() -> None:
    script(
        "prepare_data", "folder2list", "--dataset", "people", "--output_list", "out.list", "--label_map", "labels.tsv"
    )


def use_records() -> tuple[Any, ...]:
    train_on(".")
    with RecordFile(Path("train.rec")) as records:
        keys = images_by_label(records)
        found = [(key, label, image.hex()) for key, label, image in image_records(records)]
    rec_to_folder(Path("train.rec"), Path("unpacked"), lambda: None)
    return keys, found


def resume_records() -> str:
    script("prepare_data", "list2rec", "--train_list", "train.list", "--output_dir", "out")
    train_on("out")
    return Path("out/train.rec").read_bytes().hex()


def resume_folder() -> list[str]:
    rec_to_folder(Path("train.rec"), Path("out"), lambda: None)
    return sorted(map(str, Path("out").rglob("*")))


def use_bin() -> list[tuple[str, str, int | None]]:
    bin_to_folder(Path("set.bin"), Path("unpacked"))
    read_set("unpacked")
    return read_set("set.bin")


def use_weights(name: str) -> tuple[Any, ...]:
    """As inspect_checkpoint.py and everything that embeds uses them."""
    backbone = load_backbone(Path(name))
    facts = load_script("inspect_checkpoint.py").facts(backbone)
    backbone.origin()
    json.dumps(backbone.card())
    size = backbone.preprocessing.size
    noise = np.random.default_rng(0).integers(0, 255, (2, size, size, 3), np.uint8)
    embedded = open_embedder(ModelChoice(checkpoint=Path(name), device="cpu"))[1](noise)
    finite(embedded)
    return facts, embedded.tobytes().hex()


def use_config() -> None:
    args = cli.parse(load_script("train.py").build_parser(), ["--config", "config.yaml"])
    recipe_from(vars(args))
    Run("train.py", vars(args)).as_dict()


def use_picture(name: str) -> None:
    for _ in face_batches([(name, Path(name)), ("held", Path(name).read_bytes())], 2, 1):
        pass


def sampled_picture() -> None:
    flags = (
        "--dataset",
        "people",
        "--output_dir",
        "out",
        "--num_identities",
        "4",
        "--images_per_identity",
        "3",
        "--num_pairs",
        "6",
    )
    script("create_test_feedback", *flags)
    read_pairs(Path("out/feedback_pairs_test.json"))


def pictures() -> None:
    for ending in (".jpg", ".png", ".bmp", ".webp"):
        Path(f"face{ending}").write_bytes(seeds.picture(1, ending))


def one_question() -> None:
    seeds.faces()
    seeds.write_entries("pairs.json", [{"image1": "people/ann/1.jpg", "image2": "people/bo/1.jpg", "label": None}])


def a_request() -> None:
    seeds.questions()
    event = {
        "event_id": "00000000-0000-4000-8000-000000000001", "kind": "answer", "pair_id": "0" * 16, "annotator": "ann", "answer": "same",
        "answered_at": "2026-05-04T03:02:01Z", "seconds": 1.5, "left": "image1", "mode": "pair", "opinion_shown": True,
    }  # fmt: skip
    body = {
        "events": {"events": [event, {**event, "kind": "undo", "undoes": event["event_id"]}], "client": "w", "annotator": "ann"},
        "next": {"count": 5, "holding": ["0" * 16], "pending": [], "skipped": False, "annotator": "ann", "client": "w"},
        "grid": {"holding": [], "annotator": "ann"},
        "release": {"pairs": ["0" * 16], "annotator": "ann"},
        "review": {"show": "", "by": "ann", "search": "x", "offset": 0, "count": 10},
    }  # fmt: skip
    Path("request.json").write_text(json.dumps(body))


READERS = [
    Reader("pairs JSON", "json", "pairs.json", seeds.pairs, use_pairs),
    Reader("pairs JSON as a verification set", "json", "pairs.json", seeds.pairs, lambda: read_set("pairs.json")),
    Reader("pairs JSON asked before", "json", "pairs.json", seeds.binary_store, lambda: choose("--answered", "pairs.json")),
    Reader("verification set .bin", "pickle", "set.bin", seeds.bin_set, use_bin, WHOLE),
    Reader("verification set .bin of NumPy arrays", "pickle", "set.bin", seeds.old_bin_set, use_bin, WHOLE),
    Reader("LFW's pairs.txt", "text", "pairs.txt", seeds.lfw_list, lambda: read_set("pairs.txt")),
    Reader("MagFace's pair.list", "text", "pair.list", seeds.magface_list, lambda: read_set("pair.list")),
    Reader("MagFace's img.list", "text", "img.list", seeds.magface_list, lambda: read_set("pair.list")),
    Reader("pair list", "text", "pair.list", seeds.plain_list, lambda: read_set("pair.list")),
    Reader("image list", "text", "images.list", seeds.lists, image_list),
    Reader("identity list", "text", "identities.list", seeds.lists, identity_list),
    Reader("training list", "text", "train.list", seeds.lists, train_list),
    Reader("lists to merge: images", "text", "images.list", seeds.lists, lambda: merge("images.list", "images.list")),
    Reader("lists to merge: training", "text", "train.list", seeds.lists, lambda: merge("more.list", "train.list")),
    Reader("lists to merge: pairs", "text", "pair.list", seeds.plain_list, lambda: merge("pair.list", "pair.list")),
    Reader("lists to compound", "text", "train.list", seeds.lists, compound),
    Reader("labels.tsv of a folder", "text", "people/labels.tsv", seeds.labelled_folder, label_map),
    Reader("label map", "text", "labels.tsv", seeds.lists, given_label_map),
    Reader("train.rec", "records", "train.rec", seeds.records, use_records, WHOLE),
    Reader("train.rec without an index", "records", "train.rec", seeds.plain_records, use_records),
    Reader("train.idx", "text", "train.idx", seeds.records, use_records, WHOLE),
    Reader("property", "text", "property", seeds.records, use_records),
    Reader("list2rec taken up: state", "json", "out/train.rec.part.json", seeds.half_records, resume_records),
    Reader("list2rec taken up: index", "text", "out/train.idx.part", seeds.half_records, resume_records),
    Reader("list2rec taken up: records", "binary", "out/train.rec.part", seeds.half_records, resume_records, WHOLE),
    Reader("rec2folder taken up: source.json", "json", "out/source.json", seeds.half_folder, resume_folder),
    Reader("features as text", "text", "features.list", seeds.text_store, lambda: use_store("features.list")),
    Reader("features as MagFace writes them", "text", "features.list", seeds.foreign_store, lambda: use_store("features.list")),
    Reader("features as text: hard pairs", "text", "features.list", seeds.text_store, mine),
    Reader("manifest of features as text", "json", "features.list.json", seeds.text_store, lambda: use_store("features.list")),
    Reader("features .npy", "npy", "features.npy", seeds.binary_store, lambda: use_store("features.npy"), WHOLE),
    Reader("features .npy: choosing", "npy", "features.npy", seeds.binary_store, choose),
    Reader("features .paths.txt", "text", "features.paths.txt", seeds.binary_store, lambda: use_store("features.npy")),
    Reader("manifest of features .npy", "json", "features.json", seeds.binary_store, lambda: use_store("features.npy")),
    Reader("manifest of features .npy: choosing", "json", "features.json", seeds.binary_store, choose),
    Reader("manifest in a new store's place", "json", "features.json", seeds.binary_store, lambda: FeatureWriter(Path("features.npy"), {}, resume=False).close()),
    Reader("gen_features taken up: state", "json", "features.npy.part.json", seeds.half_binary_store, lambda: gen_features("features.npy")),
    Reader("gen_features taken up: rows", "binary", "features.npy.part", seeds.half_binary_store, lambda: gen_features("features.npy")),
    Reader("gen_features taken up: text", "binary", "features.list.part", seeds.half_text_store, lambda: gen_features("features.list")),
    Reader("gen_features taken up: magnitudes", "floats", "features.npy.magnitudes.part", seeds.half_binary_store, lambda: gen_features("features.npy")),
    Reader("IJB face_tid_mid", "text", "meta/s_face_tid_mid.txt", seeds.ijb, template_scores),
    Reader("IJB template_pair_label", "text", "meta/s_template_pair_label.txt", seeds.ijb, template_scores),
    Reader("IJB name_5pts_score", "text", "meta/s_name_5pts_score.txt", seeds.ijb, template_scores),
    Reader("IJB gallery", "text", "meta/s_1N_gallery_G1.csv", seeds.ijb, template_scores),
    Reader("IJB probes", "text", "meta/s_1N_probe_mixed.csv", seeds.ijb, template_scores),
    Reader("TinyFace's names", "text", "features.paths.txt", seeds.tinyface, lambda: tinyface(read_features(Path("features.npy")))),
    Reader("quality scores", "text", "scores.txt", seeds.quality_scores, score_files),
    Reader("checkpoint .pth", "checkpoint", "model.pth", seeds.checkpoint, lambda: use_weights("model.pth"), EXACT),
    Reader("checkpoint .pth before PyTorch 1.6", "pickle", "model.pth", seeds.old_checkpoint, lambda: use_weights("model.pth"), WHOLE),
    Reader("weights .safetensors", "safetensors", "model.safetensors", seeds.safetensors, lambda: use_weights("model.safetensors"), WHOLE),
    Reader("ONNX graph", "onnx", "model.onnx", seeds.onnx_graph, lambda: use_weights("model.onnx"), WHOLE),
    Reader("ONNX external data", "floats", "weights.bin", seeds.onnx_external, lambda: use_weights("model.onnx"), WHOLE),
    Reader("training_state.pth of training", "checkpoint", "out/training_state.pth", training.half_trained, training.go_on_training, EXACT),
    Reader("training_state.pth of fine-tuning", "checkpoint", "out/training_state.pth", training.half_tuned, training.go_on_tuning, EXACT),
    Reader("config YAML", "yaml", "config.yaml", seeds.config, use_config),
    Reader("labeller: pairs", "json", "pairs.json", seeds.questions, label),
    Reader("labeller: gold", "json", "gold.json", seeds.questions, lambda: label(gold=True)),
    Reader("labeller: feedback", "json", "feedback.json", seeds.feedback, label),
    Reader("labeller: Label Studio", "json", "tasks.json", seeds.label_studio, lambda: label(studio=True)),
    Reader("labeller: database", "sqlite", "feedback.sqlite", seeds.answers, label, WHOLE),
    Reader("labeller: a browser's request", "json", "request.json", a_request, lambda: request(Path("request.json"))),
    Reader("image .jpg", "picture", "face.jpg", pictures, lambda: use_picture("face.jpg")),
    Reader("image .png", "picture", "face.png", pictures, lambda: use_picture("face.png")),
    Reader("image .bmp", "picture", "face.bmp", pictures, lambda: use_picture("face.bmp")),
    Reader("image .webp", "picture", "face.webp", pictures, lambda: use_picture("face.webp")),
    Reader("image of a test set", "picture", "people/ann/1.jpg", seeds.faces, sampled_picture),
    Reader("labeller: a picture", "picture", "people/ann/1.jpg", one_question, picture),
]  # fmt: skip
BY_NAME = {reader.name: reader for reader in READERS}
assert len(BY_NAME) == len(READERS)
assert NOTHING  # the promise of every entry that names none
