"""Damage to JSON and YAML that leaves them a document: other values, keys and depths than anybody expects."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.fuzz.mutations.plain import Mutation

# As text, because most of them are nothing that json.dumps would write.
VALUES: tuple[str, ...] = (
    "null", "true", "false", "0", "1", "2", "-0", "-0.0", "-1", "0.5", "1.0", "1e400", "-1e400", "NaN", "Infinity", "-Infinity",
    "1e37", "1.7e308", "5e-324", "1e-400", "9007199254740993", "2147483648", "9223372036854775808", "18446744073709551616",
    "9" * 4000, "9" * 5000, "1" + "0" * 400, '""', '" "', '"\\ud800"', '"\\udcff"', '"\\u0000"', '"\\u2028"', '"a\\u0085b"', '"\\n"',
    '"\\u001b[2J"', '"\\ufeffa"', '"\\u202e"', '"' + "a" * 100_000 + '"', '"' + "a/" * 3000 + '"', '"²"', '"٣"', '"-1"', '"1"', '"NaN"',
    '"2024-13-45"', '"2024-13-45T25:61:61Z"', '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59.999-23:59"', '"=1+1"',
    '"<script>alert(1)</script>"', '"/dev/null"', '"/proc/self/mem"', '"../../x"', '"/"', '"."', '"/dev/zero"', '"%s{}$"', '"http://[::1"',
    '"//[x"', "[]", "{}", "[[]]", "[null]", "[{}]", "[1, 2]", '{"a": 1}', '{"": {}}', '["a", "b"]', '[0.1, "x", null]',
    "[" * 500 + "]" * 500, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000, "[" + "0," * 100_000 + "0]",
)  # fmt: skip
_MARK = "a place for another value"


def _document(data: bytes) -> Any:
    """The parsed file; a list of its text where an earlier mutation has left nothing to parse."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return [data.decode("latin-1")[:1000]]


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value below a node, without going too deep."""
    found: list[tuple[Any, Any]] = []
    waiting = [node]
    while waiting and len(found) < 5000:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            found.append((node, key))
            waiting.append(value)
    return found


def _dumped(document: Any, value: str = "") -> bytes:
    """As JSON, with `value` as it stands in the place of the mark."""
    try:
        text = json.dumps(document)
    except (ValueError, RecursionError):
        return b"[]"
    return text.replace(f'"{_MARK}"', value).encode("utf-8", "surrogatepass")


def replace_value(data: bytes, rng: random.Random) -> bytes:
    """Another value in one place, or instead of the whole."""
    document = _document(data)
    places = _places(document)
    if not places or rng.random() < 0.03:
        return rng.choice(VALUES).encode()
    container, key = rng.choice(places)
    container[key] = _MARK
    return _dumped(document, rng.choice(VALUES))


def replace_everywhere(data: bytes, rng: random.Random) -> bytes:
    """The same key gets another value wherever it stands."""
    document = _document(data)
    places = [(container, key) for container, key in _places(document) if isinstance(key, str)]
    if places:
        wanted = rng.choice(places)[1]
        for container, key in places:
            if key == wanted:
                container[key] = _MARK
    return _dumped(document, rng.choice(VALUES))


def drop_key(data: bytes, rng: random.Random) -> bytes:
    """A value is not there."""
    document = _document(data)
    if places := _places(document):
        container, key = rng.choice(places)
        del container[key]
    return _dumped(document)


def double_key(data: bytes, rng: random.Random) -> bytes:
    """A key that stands in its object twice, with two values."""
    document = _document(data)
    places = [(container, key) for container, key in _places(document) if isinstance(key, str)]
    if not places:
        return data
    container, key = rng.choice(places)
    old = json.dumps(container[key])
    container[key] = _MARK
    return _dumped(document, f"{old}, {json.dumps(key)}: {rng.choice((old, *VALUES))}")


def rename_key(data: bytes, rng: random.Random) -> bytes:
    """A key under another name."""
    document = _document(data)
    places = [(container, key) for container, key in _places(document) if isinstance(key, str)]
    if places:
        container, key = rng.choice(places)
        container[rng.choice(("", "label", "pairs", "x", "root", "\u2028", "\ud800", key + " "))] = container.pop(key)
    return _dumped(document)


def move_value(data: bytes, rng: random.Random) -> bytes:
    """A value of the file in the place of another."""
    document = _document(data)
    places = _places(document)
    if len(places) > 1:
        (container, key), (other, of) = rng.sample(places, 2)
        container[key] = (
            json.loads(json.dumps(other[of]))
            if of in (range(len(other)) if isinstance(other, list) else other)
            else None
        )
    return _dumped(document)


def repeat_entry(data: bytes, rng: random.Random) -> bytes:
    """An entry of a list stands there twice."""
    document = _document(data)
    lists = [
        node for node in [document, *(container[key] for container, key in _places(document))] if isinstance(node, list)
    ]
    chosen = rng.choice(lists) if lists else []
    if chosen:
        chosen.insert(rng.randrange(len(chosen) + 1), rng.choice(chosen))
    return _dumped(document)


def wrap(data: bytes, rng: random.Random) -> bytes:
    """The whole file one level deeper, or a number of them."""
    before, after = rng.choice(
        ((b"[", b"]"), (b'{"pairs":', b"}"), (b"[" * 100_000, b"]" * 100_000), (b"", data), (b"", b"]"))
    )
    return before + data + after


JSON: list[Mutation] = [
    replace_value, replace_value, drop_key, replace_everywhere, double_key, replace_value, rename_key, move_value, repeat_entry,
    wrap, replace_everywhere, replace_value, drop_key, replace_value,
]  # fmt: skip

YAML_VALUES: tuple[str, ...] = (
    "", "~", "null", "yes", "no", "on", "-1", "0", "1e400", ".nan", ".inf", "-.inf", "0o9", "0x", "1:99:99", "9" * 5000, "1_000",
    "2024-13-45", "2024-02-30", "2024-01-01T25:61:61Z", "2024-01-01 00:00:00 +99:99", "!!int x", "!!float x", "!!bool x", "!!null x",
    "!!timestamp x", "!!binary x", "!!binary ===", "!!set {a}", "!!omap [a]", "!!pairs [a]", "!!str [a]", "!!seq x", "!!map x",
    "!!python/object/apply:os.system [id]", "!!python/name:os.system", "!unknown x", "&a [*a]", "*a", "&a x", "{a: b", "[a, b", "[]",
    "{}", "[[1]]", "[1, 2]", "{? [a]: b}", "{? {a: b}: c}", "- 1", "'", '"', '"\\ud800"', '"\\x00"', '"\\uD83D"', "| x", ">", "%", "@", "`",
    "a: b", "a: b: c", "\t x", "²", "٣", "\u2028", "\x85", "[" * 400 + "]" * 400, "[" * 20_000, "{a: " * 3000, "- " * 3000 + "x",
    "x" * 100_000, "<<", "=", "1.5.5", "+", "-", "1e-4", "010", "0b2",
)  # fmt: skip
YAML_LINES: tuple[str, ...] = (
    "? a", ": b", "---", "...", "%YAML 9.9", "%TAG ! x", "<<: *x", "<<: 1", "<<: {epochs: 2}", "? [epochs]\n: 2", "? {a: b}\n: c", "1: 2", "~: 2",
    "yes: no", "2024-13-45: 1", "!!int x: 1", "!!binary =: 1", ".nan: 1", "- a", "a", "  epochs: 3", "\tepochs: 3", "epochs: 3\nepochs: 4",
    "a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b, *b, *b]", "config: x.yaml", "help: yes", '"\\0": 1',
)  # fmt: skip


def yaml_value(data: bytes, rng: random.Random) -> bytes:
    """Another value behind a key."""
    lines = data.split(b"\n")
    keyed = [number for number, line in enumerate(lines) if b":" in line]
    if keyed:
        number = rng.choice(keyed)
        lines[number] = lines[number].partition(b":")[0] + b": " + rng.choice(YAML_VALUES).encode()
    return b"\n".join(lines)


def yaml_line(data: bytes, rng: random.Random) -> bytes:
    """A line that YAML has and nobody thinks of."""
    lines = data.split(b"\n")
    lines.insert(rng.randrange(len(lines) + 1), rng.choice(YAML_LINES).encode())
    return b"\n".join(lines)


def yaml_whole(data: bytes, rng: random.Random) -> bytes:
    """A document that is one value."""
    return rng.choice(YAML_VALUES + YAML_LINES).encode()


YAML: list[Mutation] = [
    yaml_value,
    yaml_value,
    yaml_line,
    yaml_value,
    yaml_whole,
    yaml_value,
    yaml_value,
    yaml_line,
    yaml_value,
]
HONEST: list[Mutation] = [*JSON, *YAML]
