"""Small valid files of every format, the same bytes on every run: names are relative, times and secrets are fixed."""

from __future__ import annotations

import functools
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from magface_al.command.files import sha256
from magface_al.embedding.extraction import made_from
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.faces.preprocess import PRESETS
from magface_al.faces.recordio import pack
from magface_al.models.backbones import build_backbone
from magface_al.models.checkpoint import load_backbone, save_backbone
from tests.support.records import write_records

PEOPLE = ("ann", "bo", "cy", "di")
IMAGES = [f"people/{person}/{number}.jpg" for person in PEOPLE for number in (1, 2, 3)]
WIDTH = 8  # values of an embedding


@functools.cache
def picture(number: int, ending: str = ".jpg", side: int = 16) -> bytes:
    """A picture of a few hundred bytes."""
    rng = np.random.default_rng(number)
    face = cv2.resize(rng.integers(0, 255, (4, 4, 3), np.uint8), (side, side), interpolation=cv2.INTER_LINEAR)
    return bytes(cv2.imencode(ending, face)[1])


def faces() -> None:
    for number, name in enumerate(IMAGES):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(picture(number))


def embeddings() -> np.ndarray:
    """float32 [12, 8]: three of each person, near each other."""
    rng = np.random.default_rng(1)
    people = np.repeat(rng.normal(size=(len(PEOPLE), WIDTH)), 3, axis=0)
    return (10 * (people + 0.4 * rng.normal(size=(len(IMAGES), WIDTH)))).astype(np.float32)


def pair_entries(*, answered: bool = True) -> list[dict[str, Any]]:
    """Pairs of the images, with every key that a stage writes."""
    entries: list[dict[str, Any]] = []
    chosen = [(i, j) for i in range(12) for j in range(i) if (i + j) % 3 == 0 or i // 3 == j // 3]
    for k, (i, j) in enumerate(chosen):
        label = int(i // 3 == j // 3)
        entry: dict[str, Any] = {
            "image1": IMAGES[i], "image2": IMAGES[j], "label": label, "similarity": 0.25 + k / 100, "magnitude1": 21.5,
            "magnitude2": 20.25, "strategy": "boundary", "batch": 1, "identity1": PEOPLE[i // 3], "identity2": PEOPLE[j // 3],
        }  # fmt: skip
        if k % 5 == 0:
            entry |= {
                "holdout": True,
                "stratum": k % 2,
                "stratum_pairs": 40,
                "inclusion_probability": 0.25,
                "strategy": "random_slice",
            }
        if answered:
            word = ("different", "same")[label]
            entry |= {
                "answer": word,
                "annotator": "ann",
                "labeled_at": "2026-05-04T03:02:01.000+00:00",
                "seconds": 1.5,
                "left": "image1",
            }
            if k % 7 == 0:
                vote = {
                    "annotator": "bo",
                    "answer": word,
                    "labeled_at": "2026-05-04T03:03:01.000+00:00",
                    "seconds": 2,
                    "bad": "both",
                }
                entry["answers"] = [vote, {**vote, "annotator": "ann", "ruling": True}]
        else:
            entry["label"] = None
        entries.append(entry)
    return entries


def write_entries(name: str, entries: list[dict[str, Any]], **more: Any) -> None:
    Path(name).write_text(json.dumps({"pairs": entries, **more}))


def pairs() -> None:
    faces()
    write_entries("pairs.json", pair_entries(), strategy="mix", seed=42, root=".")


def checkpoint() -> None:
    torch.manual_seed(3)
    model = build_backbone("fuzz").eval()
    save_backbone(
        Path("model.pth"), model, arch="fuzz", preprocessing=PRESETS["magface"], manifest={"script": "train.py"}
    )


def manifest() -> dict[str, Any]:
    """Of a feature store that the checkpoint made."""
    backbone = load_backbone(Path("model.pth"))
    return {
        "script": "gen_features.py",
        "arguments": {"root": "."},
        "flip": "none",
        "rows": len(IMAGES),
        **backbone.origin(),
    }


def store(name: str) -> None:
    faces()
    checkpoint()
    writer = FeatureWriter(Path(name), {})
    writer.append(IMAGES, embeddings(), [])
    writer.finish(manifest())
    write_entries("pairs.json", pair_entries()[:9])


def binary_store() -> None:
    store("features.npy")


def text_store() -> None:
    store("features.list")


def foreign_store() -> None:
    """As MagFace's own tool writes it: any width, no manifest."""
    faces()
    checkpoint()
    rows = zip(IMAGES, embeddings().round(3).tolist(), strict=True)
    Path("features.list").write_text("".join(f"{name} {' '.join(map(str, row))} \n" for name, row in rows))
    write_entries("pairs.json", pair_entries())


def half_store(name: str) -> None:
    """What a killed gen_features.py leaves."""
    faces()
    checkpoint()
    Path("images.list").write_text("".join(f"{image}\n" for image in IMAGES[:6]))
    work = made_from(sha256(Path("images.list")), Path(), load_backbone(Path("model.pth")), "none")
    writer = FeatureWriter(Path(name), work)
    writer.append(IMAGES[:4], embeddings()[:4], [(IMAGES[4], "not an image that OpenCV can decode")])
    for file in writer._files:
        file.close()


def half_binary_store() -> None:
    half_store("features.npy")


def half_text_store() -> None:
    half_store("features.list")


def lists() -> None:
    """Every kind of list, about the same images."""
    faces()
    Path("images.list").write_text("".join(f"{name}\n" for name in IMAGES))
    Path("identities.list").write_text("".join(f"{name} {name.split('/')[1]}\n" for name in IMAGES))
    Path("train.list").write_text("".join(f"{name} 0 {number // 3} 0\n" for number, name in enumerate(IMAGES)))
    Path("more.list").write_text("".join(f"else/{number}.jpg 0 {number} 0\n" for number in range(4)))
    Path("labels.tsv").write_text("".join(f"{number}\t{person}\n" for number, person in enumerate(PEOPLE)))
    write_entries("pairs.json", pair_entries())


def labelled_folder() -> None:
    faces()
    Path("people/labels.tsv").write_text("".join(f"{number}\t{person}\n" for number, person in enumerate(PEOPLE)))


def records() -> None:
    """InsightFace's train.rec with its bookkeeping records, train.idx and property."""
    payloads = {key: pack((float((key - 1) // 3), 1.0), key, picture(key)) for key in range(1, 13)}
    payloads |= {13 + person: pack((1.0 + 3 * person, 4.0 + 3 * person), 13 + person, b"") for person in range(4)}
    payloads[0] = pack((13.0, 17.0), 0, b"")
    write_records(Path("train.rec"), payloads)
    Path("property").write_text("4,112,112\n12\n")


def plain_records() -> None:
    """Records without bookkeeping and without an index."""
    write_records(Path("train.rec"), {key: pack((float(key // 3),), key, picture(key)) for key in range(12)})
    Path("train.idx").unlink()


def half_records() -> None:
    """What a killed list2rec leaves."""
    from magface_al.conversion.record_writer import RecordWriter

    lists()
    Path("out").mkdir()
    writer = RecordWriter(Path("out/train.rec"), {"list_sha256": sha256(Path("train.list"))})
    for number in range(6):
        writer.append(number // 3, picture(number))
    writer._records.close()
    writer._index.close()


def half_folder() -> None:
    """What a killed rec2folder leaves."""
    from magface_al.conversion.unpack import note_source

    records()
    note_source(Path("out"), Path("train.rec"))
    Path("out/000000").mkdir()
    Path("out/000000/000000001.jpg").write_bytes(picture(1))


def bin_set() -> None:
    """As Python 3 with NumPy pickles it."""
    import pickle

    images = [picture(number) for number in range(12)]
    Path("set.bin").write_bytes(pickle.dumps((images, [number % 2 == 0 for number in range(6)]), protocol=4))


def old_bin_set() -> None:
    """With arrays of NumPy, as the field's own sets have them."""
    import pickle

    images = [np.frombuffer(picture(number), np.uint8) for number in range(12)]
    Path("set.bin").write_bytes(pickle.dumps([images, np.array([number % 2 == 0 for number in range(6)])], protocol=2))


def lfw_list() -> None:
    for number in range(12):
        path = Path(f"Ann_Lee/Ann_Lee_{number + 1:04d}.jpg")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(number))
    lines = [f"Ann_Lee\t{k}\t{k + 1}\n" for k in range(1, 6)] + [f"Ann_Lee\t{k}\tBo_Ray\t{k}\n" for k in range(1, 6)]
    Path("pairs.txt").write_text("2\t5\n" + "".join(lines))


def magface_list() -> None:
    """pair.list and img.list beside it."""
    faces()
    chosen = [(i, (i + 1) % 12) for i in range(12)]
    Path("img.list").write_text("".join(f"{IMAGES[i]}\n{IMAGES[j]}\n" for i, j in chosen))
    Path("pair.list").write_text("".join(f"{IMAGES[i]} {IMAGES[j]} {int(i // 3 == j // 3)}\n" for i, j in chosen))


def plain_list() -> None:
    magface_list()
    Path("img.list").unlink()


def quality_scores() -> None:
    pairs()
    Path("scores.txt").write_text("".join(f"{name} {20 + number / 4}\n" for number, name in enumerate(IMAGES)))


def ijb() -> None:
    binary_store()
    names = [name.replace("/", "_") for name in IMAGES]
    Path("features.paths.txt").write_text("".join(f"{name}\n" for name in names))
    Path("meta").mkdir()
    Path("meta/s_face_tid_mid.txt").write_text("".join(f"{name} {k // 2 + 1} {k}\n" for k, name in enumerate(names)))
    points = " ".join(f"{value}.5" for value in range(10))
    Path("meta/s_name_5pts_score.txt").write_text(
        "".join(f"{name} {points} 0.{90 + k % 9}\n" for k, name in enumerate(names))
    )
    chosen = [(i, j) for i in range(1, 7) for j in range(1, i)]
    Path("meta/s_template_pair_label.txt").write_text("".join(f"{i} {j} {int((i - j) % 3 == 1)}\n" for i, j in chosen))
    Path("meta/s_1N_gallery_G1.csv").write_text(
        "TEMPLATE_ID,SUBJECT_ID,FILENAME\n" + "".join(f"{t},{t},a.jpg\n" for t in (1, 2))
    )
    Path("meta/s_1N_gallery_G2.csv").write_text(
        "TEMPLATE_ID,SUBJECT_ID,FILENAME\n" + "".join(f"{t},{t},a.jpg\n" for t in (3, 4))
    )
    Path("meta/s_1N_probe_mixed.csv").write_text("TEMPLATE_ID,SUBJECT_ID,FILENAME\n5,1,a.jpg\n6,3,a.jpg\n6,3,b.jpg\n")


def tinyface() -> None:
    binary_store()
    roles = ["Probe"] * 3 + ["Gallery_Match"] * 5 + ["Gallery_Distractor"] * 4
    Path("features.paths.txt").write_text("".join(f"t/{role}/{k % 3}_{k}.jpg\n" for k, role in enumerate(roles)))


def old_checkpoint() -> None:
    """Before PyTorch 1.6 a checkpoint was pickles behind each other; and bare, as arcface_torch saves it.

    Its storages are called by their addresses in memory and sorted by them. So there are two only, the second behind the
    first, and they get names that are the same on every run.
    """
    torch.manual_seed(3)
    state = build_backbone("fuzz").state_dict()
    rows = {
        kind: torch.cat([value.flatten() for value in state.values() if value.dtype == kind])
        for kind in (torch.float32, torch.int64)
    }
    first, second = rows[torch.float32], rows[torch.int64]
    passed = []
    while second.untyped_storage()._cdata < first.untyped_storage()._cdata:
        passed.append(second)
        second = second.clone()
    parts = {torch.float32: first, torch.int64: second}
    for key, value in state.items():
        state[key], parts[value.dtype] = (
            parts[value.dtype][: value.numel()].view(value.shape),
            parts[value.dtype][value.numel() :],
        )
    torch.save(state, "model.pth", _use_new_zipfile_serialization=False)
    data = Path("model.pth").read_bytes()
    for number, part in enumerate((first, second)):
        address, name = str(part.untyped_storage()._cdata).encode(), b"%014d" % number
        data = data.replace(bytes([len(address)]) + b"\0\0\0" + address, b"\x0e\0\0\0" + name)
    Path("model.pth").write_bytes(data)


def safetensors() -> None:
    from magface_al.models.export import export_model

    checkpoint()
    path = Path("model.safetensors")
    export_model(load_backbone(Path("model.pth")), path, None)
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":"))  # the library's order is random
    path.write_bytes(data[:8] + header.encode().ljust(end - 8) + data[end:])


def _graph() -> Any:
    """A network by hand, because exporting one takes seconds: the means of the channels, times a matrix."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(2).normal(size=(3, WIDTH)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 112, 112])
    row = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])
    graph = helper.make_graph(nodes, "fuzz", [image], [row], [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = {"arch": "fuzz", "family": "magface", "preprocessing": PRESETS["magface"].to_dict(), "bn_eps": 2e-5}
    helper.set_model_props(model, {"magface_al": json.dumps(card)})
    return model


def onnx_graph() -> None:
    Path("model.onnx").write_bytes(_graph().SerializeToString())


def onnx_external() -> None:
    """The weights in a file beside the graph."""
    import onnx

    onnx.save_model(_graph(), "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)


def config() -> None:
    Path("config.yaml").write_text(
        "# flags\ndata: [faces, more.list]\narch: iresnet18\nepochs: 3\nlr: 1e-2\nhead: magface\nl_a: 10\n"
        "schedule: multistep\nmilestones: [1, 2]\nseed: 7\nchannels_last: yes\nval_set: [lfw=lfw.bin]\noutput_dir: out\n"
    )


def questions() -> None:
    """What label_pairs.py gets: open pairs, and some that are labelled already."""
    faces()
    entries = pair_entries(answered=False)
    for entry in entries[:3]:
        entry["label"] = 1
    write_entries("pairs.json", entries, strategy="mix")
    write_entries(
        "gold.json", [{"image1": "people/ann/1.jpg", "image2": f"people/bo/{k}.jpg", "label": 0} for k in (1, 2)]
    )


def feedback() -> None:
    questions()
    write_entries("feedback.json", pair_entries(), root=".")


def label_studio() -> None:
    questions()
    tasks = [
        {
            "id": number,
            "data": {"left": f"/data/local-files/?d={entry['image1']}", "right": f"http://host/{entry['image2']}"},
            "annotations": [
                {
                    "completed_by": {"email": "ann@x.org", "id": 1} if number % 2 else 7,
                    "created_at": "2026-05-04T03:02:01.000Z",
                    "lead_time": 3.25,
                    "was_cancelled": False,
                    "result": [{"type": "choices", "value": {"choices": ["Same" if number % 2 else "no match"]}}],
                }
            ],
        }
        for number, entry in enumerate(pair_entries()[:8])
    ]
    Path("tasks.json").write_text(json.dumps(tasks))


def answers() -> None:
    """A database with answers, and the feedback file that was exported from it."""
    from tests.fuzz.labelling import label

    feedback()
    label()
    with closing(sqlite3.connect("feedback.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("UPDATE facts SET value = name || ' of the fuzzer'")
        connection.execute("UPDATE events SET received_at = '2026-05-04T03:02:02.000+00:00'")
        connection.execute("UPDATE pairs SET folder = '.'")
        connection.execute("VACUUM")
    Path("feedback.csv").unlink()
    write_entries("feedback.json", json.loads(Path("feedback.json").read_text())["pairs"], root=".")
