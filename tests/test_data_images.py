"""Image files: sizes, pixels of every mode and orientation, hostile files."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data.images import load_bgr, probe
from bench.errors import BenchError

SHARED = Path(os.environ.get("QDET_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
RED_GREEN = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]], np.uint8)


def save(folder: Path, image: Image.Image, suffix: str = ".png", **options: Any) -> Path:
    path = folder / f"image{suffix}"
    image.save(path, **options)
    return path


def test_colour_is_blue_first_and_writable(tmp_path: Path) -> None:
    pixels = load_bgr(save(tmp_path, Image.fromarray(RED_GREEN)))
    np.testing.assert_array_equal(pixels, RED_GREEN[:, :, ::-1])
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable and pixels.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm"])
def test_lossless_formats_agree(tmp_path: Path, suffix: str) -> None:
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path, Image.fromarray(RED_GREEN), suffix, **options)
    np.testing.assert_array_equal(load_bgr(path), RED_GREEN[:, :, ::-1])


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    np.testing.assert_array_equal(load_bgr(save(tmp_path, Image.fromarray(grey))), np.dstack([grey] * 3))
    bits = np.array([[True, False, True]])
    np.testing.assert_array_equal(load_bgr(save(tmp_path, Image.fromarray(bits)))[:, :, 0], [[255, 0, 255]])


def test_grey_with_alpha_keeps_what_lies_below(tmp_path: Path) -> None:
    image = Image.merge("LA", [Image.new("L", (2, 2), 70), Image.new("L", (2, 2), 0)])
    assert (load_bgr(save(tmp_path, image)) == 70).all()


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    rgba = np.dstack([RED_GREEN, np.array([[0, 128, 255], [0, 0, 0]], np.uint8)])
    np.testing.assert_array_equal(load_bgr(save(tmp_path, Image.fromarray(rgba))), RED_GREEN[:, :, ::-1])


@pytest.mark.parametrize("options", [{}, {"transparency": 1}, {"transparency": bytes([0, 128, 255])}])
def test_palette(tmp_path: Path, options: dict[str, Any]) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 10, 20, 30, 0, 0, 255])
    image.putdata([0, 1, 2])
    path = save(tmp_path, image, **options)
    assert probe(path).mode == "P"
    np.testing.assert_array_equal(load_bgr(path), [[[0, 0, 255], [30, 20, 10], [255, 0, 0]]])


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_the_high_byte(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 255, 256, 65535, 0x1280]], np.uint16)
    path = save(tmp_path, Image.fromarray(values), suffix)
    np.testing.assert_array_equal(load_bgr(path)[:, :, 1], [[0, 0, 1, 255, 0x12]])


@pytest.mark.parametrize("value", [np.int32(70000), np.float32(0.5)])
def test_values_without_an_agreed_brightness_are_refused(tmp_path: Path, value: np.generic) -> None:
    path = save(tmp_path, Image.fromarray(np.full((2, 2), value)), ".tif")
    with pytest.raises(BenchError, match=r"image\.tif: .*no agreed brightness"):
        load_bgr(path)


def test_cmyk(tmp_path: Path) -> None:
    path = save(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), ".jpg", quality=100)
    assert probe(path) == (16, 16, "CMYK", 1)
    blue, green, red = load_bgr(path)[8, 8].astype(int)
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_size_and_pixels(tmp_path: Path, suffix: str, orientation: int) -> None:
    image = Image.fromarray(np.kron(RED_GREEN, np.ones((16, 16, 1), np.uint8)))
    exif = image.getexif()
    exif[0x0112] = orientation
    path = save(tmp_path, image, suffix, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    facts = probe(path)
    pixels = load_bgr(path)
    assert pixels.shape == (facts.height, facts.width, 3)
    assert (facts.width, facts.height) == ((48, 32) if orientation < 5 else (32, 48))
    upright = np.asarray(image)
    if orientation in (2, 3, 6, 7):
        upright = upright[:, ::-1] if orientation in (2, 3) else upright[::-1]
    if orientation in (3, 4, 7, 8):
        upright = upright[::-1] if orientation in (3, 4) else upright[:, ::-1]
    if orientation >= 5:
        upright = upright.transpose(1, 0, 2)
    middle = (slice(8, None, 16), slice(8, None, 16))
    difference = pixels[middle][:, :, ::-1].astype(int) - upright[middle]
    assert np.abs(difference).max() <= (6 if suffix == ".jpg" else 0)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0"]
)
def test_a_broken_orientation_counts_as_upright(tmp_path: Path, exif: bytes) -> None:
    path = save(tmp_path, Image.new("RGB", (20, 10)), ".jpg", exif=exif)
    assert probe(path)[:2] == (20, 10)
    assert load_bgr(path).shape == (10, 20, 3)


def test_orientation_as_opencv_has_it(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    image = Image.fromarray(np.kron(RED_GREEN, np.ones((16, 16, 1), np.uint8)))
    for orientation in range(1, 9):
        exif = image.getexif()
        exif[0x0112] = orientation
        path = save(tmp_path, image, ".jpg", exif=exif)
        np.testing.assert_array_equal(load_bgr(path), cv2.imread(str(path), cv2.IMREAD_COLOR))


@pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the photos are not here (set QDET_SHARED)")
def test_photos_have_the_pixels_that_opencv_gives() -> None:
    """So preprocessing is that of the model zoo, which reads with OpenCV."""
    cv2 = pytest.importorskip("cv2")
    folders = ("data/coco_val2017_free/images", "data/bccd/JPEGImages")
    photos = [photo for folder in folders for photo in sorted((SHARED / folder).iterdir())[:40]]
    assert len(photos) == 80
    for photo in photos:
        np.testing.assert_array_equal(load_bgr(photo), cv2.imread(str(photo), cv2.IMREAD_COLOR), str(photo))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp", ".gif"])
def test_truncated_files_are_errors_that_name_the_file(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path, Image.fromarray(noise), suffix)
    whole = path.read_bytes()
    for share in (0.0, 0.001, 0.01, 0.1, 0.5, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BenchError, match=f"image\\{suffix}"):
            load_bgr(path)


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\0" * 999])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    for read in (probe, load_bgr):
        with pytest.raises(BenchError, match=r"image\.jpg: not an image"):
            read(path)


def test_absent_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no\.png: no such image"):
        probe(tmp_path / "no.png")
    with pytest.raises(BenchError, match=str(tmp_path)):
        load_bgr(tmp_path)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bombs(tmp_path: Path, side: int) -> None:
    """A PNG of a few hundred bytes that declares 0.1 or 3.6 thousand million pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(999))), (b"IEND", b"")]
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks
        )
    )
    for read in (probe, load_bgr):
        with pytest.raises(BenchError, match=r"bomb\.png.*pixels"):
            read(path)


def test_random_damage_gives_pixels_or_one_clear_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    path = tmp_path / "image"
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"):
        stream = io.BytesIO()
        noise.save(stream, kind)
        for _ in range(40):
            data = np.frombuffer(stream.getvalue(), np.uint8).copy()
            data[rng.integers(0, min(len(data), 400), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(data.tobytes())
            try:
                facts = probe(path)
                assert load_bgr(path).shape == (facts.height, facts.width, 3)
            except BenchError as error:
                assert str(path) in str(error)
