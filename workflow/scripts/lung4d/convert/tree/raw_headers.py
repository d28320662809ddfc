"""The values of a DICOM header as they stand in the file, in a tenth of the time that pydicom takes to decode them.

Enough to see that a header is that of the slice before but for a few values. Whatever is not plain is left to pydicom.
"""

import struct
from typing import NamedTuple

IMPLICIT = "1.2.840.10008.1.2"
NOT_PLAIN = {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}  # deflated, big endian
SYNTAX = 0x00020010
PIXELS = 0x7FE0  # group
UNDEFINED = 0xFFFFFFFF
LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # VRs with four bytes of length
_TAG, _SHORT, _LENGTH = struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<L")


class RawHeader(NamedTuple):
    """Values by tag, transfer syntax, and where in the file the pixels begin, or it ends before."""

    values: dict[int, bytes]
    syntax: str
    end: int


def read_raw_header(start: bytes, whole: bool, wanted: frozenset[int]) -> RawHeader | None:
    """The `wanted` values at the `start` of a file, which may be the `whole` of it; None where it is not plain."""
    if start[128:132] != b"DICM":
        return None
    try:
        return _read(start, whole, wanted)
    except struct.error:  # cut within an element
        return None


def _read(start: bytes, whole: bool, wanted: frozenset[int]) -> RawHeader | None:
    values: dict[int, bytes] = {}
    offset, syntax, implicit = 132, "", False
    while offset + 8 <= len(start):
        group, element = _TAG.unpack_from(start, offset)
        if group != 2 and syntax in NOT_PLAIN:
            return None
        if group >= PIXELS:
            return RawHeader(values, syntax, offset)
        implicit = group != 2 and syntax in ("", IMPLICIT)
        kind = start[offset + 4 : offset + 6]
        if implicit:
            (length,), begin = _LENGTH.unpack_from(start, offset + 4), offset + 8
        elif kind in LONG:
            (length,), begin = _LENGTH.unpack_from(start, offset + 8), offset + 12
        elif kind.isalpha() and kind.isupper():
            (length,), begin = _SHORT.unpack_from(start, offset + 6), offset + 8
        else:
            return None
        if length == UNDEFINED:
            return None
        tag = group << 16 | element
        if tag in wanted:
            values[tag] = start[begin : begin + length]
        elif tag == SYNTAX:
            syntax = start[begin : begin + length].decode("latin-1").strip(" \0")
        offset = begin + length
    return RawHeader(values, syntax, len(start)) if whole else None
