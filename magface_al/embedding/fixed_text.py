"""Numbers as text of fixed width, 16 bytes each ("-1.23456789e-01 "), written and read by whole arrays at a time.

Nine significant digits identify every float32 exactly (IEEE 754, 5.12.2), and any reader of whitespace-separated
numbers reads the result. Formatting value by value, as str() does, is what makes extraction slow on a fast GPU;
benchmarks/bench_features.py has the ratio.
"""

from __future__ import annotations

import numpy as np

WIDTH = 16
_FIELDS = np.dtype(
    {
        "names": ["sign", "first", "dot", "upper", "lower", "e", "exponent_sign", "exponent", "space"],
        "formats": ["u1", "u1", "u1", "<u4", "<u4", "u1", "u1", "<u2", "u1"],
        "offsets": [0, 1, 2, 3, 7, 11, 12, 13, 15],
        "itemsize": WIDTH,
    }
)
_FOUR_DIGITS = np.array([b"%04d" % n for n in range(10_000)], dtype="S4").view("<u4")  # 1234 -> the bytes "1234"
_TWO_DIGITS = np.array([b"%02d" % n for n in range(100)], dtype="S2").view("<u2")

_ZERO = 64  # _POWERS[_ZERO + n] is 10**n; raising to a power value by value would take most of the time
_POWERS = 10.0 ** np.arange(-_ZERO, _ZERO + 1)


def format_fixed(values: np.ndarray) -> np.ndarray:
    """float32 [N, D], finite -> uint8 [N, D * 16], the text of each row."""
    size = np.abs(values.astype(np.float64))
    exponent = np.floor(np.log10(np.where(size > 0, size, 1.0))).astype(np.int32)
    digits = np.rint(size * _POWERS[8 - exponent + _ZERO]).astype(np.uint32)  # 9 digits; float64 keeps 15
    carried = digits >= 1_000_000_000  # 9.999999999 rounds up to ten digits
    digits[carried] //= 10
    exponent += carried
    above, lower = _divide(digits, 10_000)
    first, upper = _divide(above, 10_000)
    text = np.empty(values.shape, _FIELDS)
    text["sign"] = np.where(np.signbit(values), ord("-"), ord("+"))
    text["first"] = first + np.uint32(ord("0"))
    text["dot"], text["e"], text["space"] = ord("."), ord("e"), ord(" ")
    text["upper"], text["lower"] = _FOUR_DIGITS[upper], _FOUR_DIGITS[lower]
    text["exponent_sign"] = np.where(exponent < 0, ord("-"), ord("+"))
    text["exponent"] = _TWO_DIGITS[np.abs(exponent)]
    return text.view(np.uint8).reshape(len(values), -1)


def _divide(numbers: np.ndarray, divisor: int) -> tuple[np.ndarray, np.ndarray]:
    """Quotient and remainder of uint32; np.divmod takes several times as long."""
    quotient = numbers // np.uint32(divisor)
    return quotient, numbers - quotient * np.uint32(divisor)


def parse_fixed(text: bytes) -> np.ndarray | None:
    """The values of text written by `format_fixed`, float32 [N]; None if it is anything else."""
    if len(text) % WIDTH:
        return None
    fields = np.frombuffer(text, _FIELDS)
    points = (fields["dot"] == ord(".")) & (fields["e"] == ord("e")) & (fields["space"] == ord(" "))
    first, exponent = fields["first"] - np.uint8(48), _number(fields["exponent"].astype("<u4") << 16 | 0x3030)
    upper, lower = _number(fields["upper"]), _number(fields["lower"])
    sign = _sign(fields["sign"])
    exponent_sign = _sign(fields["exponent_sign"])
    shapes = (upper >= 0) & (lower >= 0) & (exponent >= 0) & (exponent < _ZERO - 8)
    if not (points & shapes & (first < 10) & (sign != 0) & (exponent_sign != 0)).all():
        return None
    mantissa = first * 1e8 + upper * 1e4 + lower
    values = sign * mantissa * _POWERS[(exponent_sign * exponent).astype(np.int32) - 8 + _ZERO]
    with np.errstate(over="ignore"):  # format_fixed writes none that is beyond float32; of others it is inf
        return np.asarray(values, np.float32)


def _sign(characters: np.ndarray) -> np.ndarray:
    """ "+" -> 1, "-" -> -1, anything else -> 0."""
    return np.asarray((characters == ord("+")).astype(np.int8) - (characters == ord("-")))


def _number(words: np.ndarray) -> np.ndarray:
    """Four ASCII digits in a little-endian uint32 -> their number, float64; -1 where a byte is no digit.

    Neighbouring digits are added up two at a time inside the word, as in D. Lemire's eight-digit parser.
    """
    digits = words ^ np.uint32(0x30303030)
    valid = ((digits + np.uint32(0x06060606)) | digits) & np.uint32(0xF0F0F0F0) == 0
    pairs = digits * np.uint32(10) + (digits >> np.uint32(8)) & np.uint32(0x00FF00FF)
    number = pairs * np.uint32(100) + (pairs >> np.uint32(16)) & np.uint32(0xFFFF)
    return np.where(valid, number, -1.0)
