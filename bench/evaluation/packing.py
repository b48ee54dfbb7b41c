"""Columns of detections to a small file of bytes and back; no pickle, nothing in a file is trusted.

Layout: `MAGIC`, the number n of detections (uint64), the SHA-256 of the canonical content (32 bytes), then 18
streams, each its length (uint32) and a raw LZMA2 stream; all little-endian. Planes of bytes compress better
than whole numbers:

* image (8 planes) and score (4 planes of the float's bits) as differences from the detection before, sign in
  the lowest bit: detectors list image by image, by falling score;
* category (4 planes);
* boxes as rows of four 16-bit halves, first the low then the high ones: one anchor's box repeats for several
  categories and is then found as a whole.
"""

import hashlib
import lzma
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

MAGIC = b"QDETPRD1"
_HEADER = struct.Struct("<8sQ32s")
_LENGTH = struct.Struct("<I")
_MOST = 10**8  # detections; keeps a damaged header from asking for terabytes
_DICTIONARY = 1 << 20  # bytes
_PLANE, _ROW = 0, 3  # one byte; four numbers of two bytes

Unsigned = npt.NDArray[Any]
"""Little-endian unsigned integers of 1, 2, 4 or 8 bytes."""


class Columns(NamedTuple):
    """N detections in their order."""

    image: npt.NDArray[np.int64]
    """N."""
    category: npt.NDArray[np.int32]
    """N."""
    box: npt.NDArray[np.int32]
    """N x 4: x, y, w, h in sixteenths of a px."""
    score: npt.NDArray[np.float32]
    """N."""


class CorruptError(ValueError):
    """The bytes are no intact file of this layout."""


def digest(columns: Columns) -> bytes:
    """SHA-256 of the canonical content: a title, n, then the columns one after another, little-endian."""
    content = hashlib.sha256(b"qdet-bench predictions 1\n")
    content.update(len(columns.image).to_bytes(8, "little"))
    for column, kind in zip(columns, ("<i8", "<i4", "<i4", "<f4"), strict=True):
        content.update(np.ascontiguousarray(column, kind).tobytes())
    return content.digest()


def pack(columns: Columns) -> bytes:
    """The bytes of a file: about 8.5 a detection of pure noise, fewer of a detector's."""
    box = np.ascontiguousarray(columns.box, "<i4").view("<u4")
    streams = [
        *_planes(_differences(columns.image.astype("<i8").view("<u8"))),
        *_planes(columns.category.astype("<i4").view("<u4")),
        *_planes(_differences(columns.score.astype("<f4").view("<u4"))),
    ]
    packed = [_compress(stream, _PLANE) for stream in streams]
    packed += [_compress((half & 0xFFFF).astype("<u2").tobytes(), _ROW) for half in (box, box >> 16)]
    header = _HEADER.pack(MAGIC, len(columns.image), digest(columns))
    return header + b"".join(_LENGTH.pack(len(stream)) + stream for stream in packed)


def unpack(data: bytes) -> Columns:
    """The columns of a file's bytes.

    Raises:
        CorruptError: another format, cut off, or changed.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise CorruptError("not a file of predictions, or of a later version")
    _, count, expected = _HEADER.unpack_from(data)
    if count > _MOST:
        raise CorruptError("its number of detections is impossible")
    reader = _Reader(data, count)
    image = _sums(reader.planes(8))
    category = reader.planes(4)
    score = _sums(reader.planes(4))
    low, high = reader.rows(), reader.rows()
    reader.finish()
    box = low.astype("<u4") | high.astype("<u4") << np.uint32(16)
    columns = Columns(image.view("<i8"), category.view("<i4"), box.view("<i4"), score.view("<f4"))
    if digest(columns) != expected:
        raise CorruptError("its content does not fit its checksum")
    return columns


class _Reader:
    """Takes one stream after another from a file of `count` detections."""

    def __init__(self, data: bytes, count: int) -> None:
        self._data, self._count, self._at = data, count, _HEADER.size

    def planes(self, size: int) -> Unsigned:
        """N unsigned numbers of `size` bytes."""
        joined = np.stack([self._stream(self._count, _PLANE) for _ in range(size)], axis=1)
        return np.ascontiguousarray(joined).view(f"<u{size}").reshape(-1)

    def rows(self) -> Unsigned:
        """N x 4 numbers of 16 bits."""
        return self._stream(self._count * 8, _ROW).view("<u2").reshape(-1, 4)

    def finish(self) -> None:
        """Nothing may follow the last stream."""
        if self._at != len(self._data):
            raise CorruptError("something follows its end")

    def _stream(self, size: int, model: int) -> npt.NDArray[np.uint8]:
        start = self._at + _LENGTH.size
        if start > len(self._data):
            raise CorruptError("it is cut off")
        (length,) = _LENGTH.unpack_from(self._data, self._at)
        self._at = start + length
        if self._at > len(self._data):
            raise CorruptError("it is cut off")
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(model))
        try:
            # One byte more than wanted shows a longer stream without unpacking all of it.
            content = decompressor.decompress(self._data[start : self._at], max_length=size + 1)
        except lzma.LZMAError as error:
            raise CorruptError("a stream is damaged") from error
        if len(content) != size:
            raise CorruptError("a stream has the wrong length")
        return np.frombuffer(content, np.uint8)


def _planes(column: Unsigned) -> list[bytes]:
    """The lowest byte of all N numbers, then the next, …"""
    return [plane.tobytes() for plane in column.view(np.uint8).reshape(-1, column.itemsize).T]


def _differences(column: Unsigned) -> Unsigned:
    """Each number less the one before it, modulo the type's range; the sign goes to the lowest bit."""
    zero = column.dtype.type(0)
    step: Unsigned = np.diff(column, prepend=zero)
    sign = step >> column.dtype.type(column.itemsize * 8 - 1)
    folded: Unsigned = (step << column.dtype.type(1)) ^ (zero - sign)
    return folded


def _sums(steps: Unsigned) -> Unsigned:
    """The inverse of `_differences`."""
    one = steps.dtype.type(1)
    step = (steps >> one) ^ (steps.dtype.type(0) - (steps & one))
    summed: Unsigned = np.cumsum(step, dtype=steps.dtype)
    return summed


def _compress(stream: bytes, model: int) -> bytes:
    return lzma.compress(stream, lzma.FORMAT_RAW, filters=_filters(model))


def _filters(model: int) -> list[dict[str, Any]]:
    """LZMA2 whose context is the position in a unit of 2^model bytes, not the byte before."""
    return [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": _DICTIONARY, "lc": 0, "lp": model, "pb": model}]
