"""Everything of the package that opens a file which a user, a list or a pairs file names: name -> how it is read.

Each takes the path and reads it as the scripts do. A new reader is a line here: the classes of fault are tried on all of them.
"""

from __future__ import annotations

from pathlib import Path

from magface_al.command import cli
from magface_al.command.config import apply_config
from magface_al.command.files import read_json
from magface_al.conversion.joined_lists import merge_lists
from magface_al.conversion.record_writer import list_to_rec
from magface_al.conversion.sampled_faces import image_file
from magface_al.embedding.embedder import read_batch
from magface_al.embedding.store import read_features
from magface_al.evaluation import ijb_meta
from magface_al.evaluation.quality import read_quality_scores
from magface_al.faces.class_numbers import read_property
from magface_al.faces.identities import read_identity_list
from magface_al.faces.image_list import read_image_list
from magface_al.faces.label_map import read_labels
from magface_al.faces.preprocess import decode_image, read_picture
from magface_al.faces.recordio import RecordFile
from magface_al.faces.sources import open_source
from magface_al.faces.train_list import read_train_list
from magface_al.models.onnx_graph import load_onnx
from magface_al.models.weight_files import read_weights
from magface_al.pairs.pair_file import read_pairs
from magface_al.pairs.verification_sets import read_verification_set


def records(path: Path) -> None:
    with RecordFile(path) as found:
        for key in found.offsets:
            found.read(key)


def source(path: Path) -> None:
    with open_source(path):
        pass


def packed(path: Path) -> None:
    """An image that a training list names."""
    train_list = path.with_name("names-it.list")
    train_list.write_bytes(b"%s\t0\t1\t0\n" % bytes(path))
    list_to_rec(train_list, path.with_name("packed"), lambda: None)


def embedded(path: Path) -> None:
    batch = read_batch([("face", path)], 112)
    if batch.failures:
        raise ValueError(batch.failures[0][1])


def configured(path: Path) -> None:
    parser = cli.new_parser("")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--data")
    apply_config(parser, path)


TEXT = {
    "image list": lambda path: list(read_image_list(path, allow_spaces=True)),
    "identity list": read_identity_list,
    "training list": lambda path: list(read_train_list(path)),
    "lists to merge": lambda path: merge_lists([path], path.with_name("merged.list")),
    "labelled faces": source,
    "map of labels": read_labels,
    "property": read_property,
    "verification set": read_verification_set,
    "quality scores": read_quality_scores,
    "IJB's faces": lambda path: ijb_meta.read_faces(path.with_name("m"), with_detection=False),
    "IJB's pairs": ijb_meta.read_template_pairs,
    "IJB's gallery": ijb_meta.read_roster,
    "text store": read_features,
    "config": configured,
}
JSON = {"JSON": read_json, "pairs": read_pairs}
BYTES = {
    "RecordIO": records,
    "binary store": read_features,
    "bin set": read_verification_set,
    "checkpoint": read_weights,
    "safetensors": read_weights,
    "graph": lambda path: load_onnx(path, "auto", "magface"),
}
PICTURES = {
    "picture": read_picture,
    "decoded picture": decode_image,
    "sampled picture": image_file,
    "packed picture": packed,
    "picture to embed": embedded,
}
# what the file must be called for the reader to take it for what it is
NAMES = {"IJB's faces": "m_face_tid_mid.txt", "binary store": "f.npy", "RecordIO": "train.rec", "bin set": "set.bin",
         "safetensors": "w.safetensors", "graph": "g.onnx"}  # fmt: skip


def place(folder: Path, name: str) -> Path:
    return folder / NAMES.get(name, "file")
