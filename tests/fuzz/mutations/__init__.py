"""Damage to files, drawn from a seed. `damaged` is what the harness calls; KINDS says what can happen to which format.

A mutation takes the bytes of a valid file and a random.Random and returns other bytes. One that is marked `honest` writes
a well-formed file with other contents: no checksum can tell, so nothing is promised about its values.
"""

from __future__ import annotations

import random

from tests.fuzz.mutations import archives, arrays, database, documents, pickles, pictures, plain, records, text
from tests.fuzz.mutations.plain import Damage, Mutation

KINDS: dict[str, list[Mutation]] = {
    "text": plain.ALL + text.ALL,
    "json": plain.ALL + text.ALL + documents.JSON,
    "yaml": plain.ALL + text.ALL + documents.YAML,
    "npy": plain.ALL + arrays.NPY,
    "floats": plain.ALL + arrays.FLOATS,
    "safetensors": plain.ALL + arrays.SAFETENSORS,
    "onnx": plain.ALL + arrays.ONNX,
    "checkpoint": plain.ALL + archives.ALL,
    "binary": plain.ALL,
    "pickle": plain.ALL + pickles.ALL,
    "records": plain.ALL + records.ALL,
    "sqlite": plain.ALL + database.ALL,
    "picture": plain.ALL + pictures.ALL,
}


def damaged(kind: str, data: bytes, name: str, seed: int, number: int) -> Damage:
    """Attempt `number` of `seed` at the reader `name`: the same four give the same bytes, on every machine.

    The kinds of damage take turns, so that few attempts meet all of them; every fourth attempt has a second one.
    """
    rng = random.Random(f"{name} {seed} {number}")
    mutations = KINDS[kind]
    chosen = [mutations[(number + seed) % len(mutations)]]
    if rng.random() < 0.25:
        chosen.append(rng.choice(mutations))
    for mutation in chosen:
        data = mutation(data, rng)
    honest = any(mutation in HONEST for mutation in chosen)
    return Damage(data, " and ".join(mutation.__name__ for mutation in chosen), honest)


HONEST = {mutation for module in (archives, arrays, database, documents, text) for mutation in module.HONEST}
