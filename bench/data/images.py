"""Image files: the size from the header, the pixels for training and testing alike.

Pillow decodes, for three reasons. It is a direct, locked dependency that carries its own libjpeg-turbo, whose
default inverse DCT and chroma upsampling give the same bits with and without SIMD; OpenCV comes as four rival
packages and as the system's own build. On the baseline JPEGs of COCO both give identical pixels (a test), so
the model zoo's preprocessing is kept. And it refuses a truncated file, which `cv2.imdecode` pads with grey.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import ExifTags, Image, UnidentifiedImageError

from bench.data.dataset import Problem
from bench.errors import BenchError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Named, because Pillow would also hand PostScript to an interpreter.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageFacts(NamedTuple):
    """What the header of an image file says."""

    width: int
    """px, after EXIF orientation."""
    height: int
    mode: str
    """Pillow's mode of the stored pixels: `RGB`, `L`, `P`, `CMYK`, `I;16` ..."""
    orientation: int
    """EXIF orientation 1..8 that is still to be applied to the stored pixels."""


def probe(path: Path) -> ImageFacts:
    """Read the header of an image file, about 0.1 ms.

    Raises BenchError naming the file where it is absent, not an image, or larger than Pillow's
    limit against decompression bombs (89 million pixels).
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        width, height = image.size
        if orientation >= 5:
            width, height = height, width
        return ImageFacts(width, height, image.mode, orientation)


def size_mismatch(where: str, declared: str, facts: ImageFacts) -> Problem:
    """That the annotations declare another size, such as `48x64`, than the image has."""
    if facts.orientation >= 5 and declared == f"{facts.height}x{facts.width}":
        detail = f"{declared} declared, {facts.width}x{facts.height} after its EXIF rotation: its boxes may lie askew"
        return Problem("exif-rotation", where, detail)
    return Problem("size-mismatch", where, f"{declared} declared, it has {facts.width}x{facts.height}")


def load_bgr(path: Path) -> "npt.NDArray[np.uint8]":
    """Pixels as uint8, (height, width, 3), blue first, contiguous and writable, EXIF orientation applied.

    Grey becomes three equal channels; 16-bit grey keeps its high byte, as libpng and OpenCV do; CMYK is
    converted without a colour profile; a palette is looked up; of an animation the first frame is taken.
    Alpha is dropped, not blended: what lies under transparent pixels is kept, as mmcv does. ICC profiles and
    gamma are not applied.
    Raises BenchError as `probe` does, and for truncated or unsupported pixels.
    """
    import numpy as np

    with _opened(path) as image:
        orientation = _orientation(image)
        # Pillow warns about transparency that RGB cannot hold, although dropping it is what is wanted.
        image.info.pop("transparency", None)
        image.load()
        upright: Image.Image = image
        if image.mode.startswith(("I", "F")):
            upright = _high_byte(image)
        if orientation in _UPRIGHT:
            upright = upright.transpose(_UPRIGHT[orientation])
        rgb = upright.convert("RGB")
        # The raw encoder swaps the channels while it copies: a third faster than reversing the array.
        pixels = np.frombuffer(bytearray(rgb.tobytes("raw", "BGR")), np.uint8)
        return pixels.reshape(rgb.height, rgb.width, 3)


def _high_byte(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey; ValueError for what would need a guess about its range."""
    import numpy as np

    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError("floats and integers beyond 16 bits have no agreed brightness; convert to 8 bits")
    return Image.fromarray((values >> 8).astype(np.uint8))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where absent or broken.

    Not `image.getexif()`: for PNG that decodes all pixels, and it falls back on XMP, which viewers,
    annotation tools and OpenCV ignore.
    """
    data = image.info.get("exif")
    if not data or image.format == "TIFF":  # Pillow turns TIFF itself
        return 1
    exif = Image.Exif()
    try:
        exif.load(data)
        value = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1
    return value if value in _UPRIGHT else 1


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open an image; whatever a decoder raises on hostile bytes becomes a BenchError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                yield image
    except FileNotFoundError:
        raise BenchError(f"{path}: no such image") from None
    except UnidentifiedImageError:
        raise BenchError(f"{path}: not an image, or of an unknown format") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error
        raise BenchError(f"{path}: the image cannot be read: {error}") from None
