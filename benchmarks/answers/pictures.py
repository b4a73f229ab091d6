"""Pictures, good and bad."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.answers.recorded import ROOT

MIB = 1024 * 1024


@cache
def file(name: str) -> bytes:
    """A file of the repository."""
    return (ROOT / name).read_bytes()


def cat() -> bytes:
    """A good picture."""
    return file("samples/cat.jpg")


@cache
def _made(format_: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    """A picture with a gradient in it."""
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).astype(np.uint8).reshape(size[1], size[0], 3)
    buffer = io.BytesIO()
    Image.fromarray(ramp).convert(mode).save(buffer, format_, **options)
    return buffer.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG of which there is a header only."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0" * 20


def good_pictures() -> dict[str, tuple[bytes, str]]:
    """Pictures that are classified, each with its media type."""
    return {
        "a cat": (cat(), "image/jpeg"),
        "coffee": (file("samples/coffee.jpg"), "image/jpeg"),
        "a rocket": (file("samples/rocket.jpg"), "image/jpeg"),
        "a tiny PNG": (file("benchmarks/pictures/tiny.png"), "image/png"),
        "a PNG": (_made("PNG"), "image/png"),
        "a grey PNG": (_made("PNG", "L"), "image/png"),
        "a PNG with a palette": (_made("PNG", "P"), "image/png"),
        "a PNG of one bit": (_made("PNG", "1"), "image/png"),
        "a PNG with alpha": (_made("PNG", "RGBA"), "image/png"),
        "a WebP": (_made("WEBP"), "image/webp"),
        "a lossless WebP": (_made("WEBP", lossless=True), "image/webp"),
        "a grey JPEG": (_made("JPEG", "L"), "image/jpeg"),
        "a CMYK JPEG": (_made("JPEG", "CMYK"), "image/jpeg"),
        "a progressive JPEG": (_made("JPEG", progressive=True), "image/jpeg"),
        "a wide JPEG": (_made("JPEG", size=(2000, 10)), "image/jpeg"),
        "a JPEG of one pixel": (_made("JPEG", size=(1, 1)), "image/jpeg"),
        "a PNG said to be a JPEG": (_made("PNG"), "image/jpeg"),
    }


def bad_pictures() -> dict[str, tuple[bytes, str]]:
    """Bodies that are refused, each with the media type under which they are sent."""
    return {
        "nothing": (b"", "image/jpeg"),
        "text": (b"hello", "image/jpeg"),
        "half a JPEG": (cat()[:20_000], "image/jpeg"),
        "the head of a JPEG": (cat()[:300], "image/jpeg"),
        "half a PNG": (_made("PNG")[:60], "image/png"),
        "a PNG's head": (_png_header(64, 48), "image/png"),
        "a PNG too large to decode": (_png_header(60_000, 60_000), "image/png"),
        "a PNG of no width": (_png_header(0, 48), "image/png"),
        "a PNG of 30 million pixels": (_made("PNG", "1", (6000, 5000)), "image/png"),
        "half a WebP": (_made("WEBP")[:40], "image/webp"),
        "a GIF": (_made("GIF"), "image/jpeg"),
        "a BMP": (_made("BMP"), "image/png"),
        "a TIFF": (_made("TIFF"), "image/jpeg"),
        "a PDF": (b"%PDF-1.7\n" + b"\0" * 100, "image/jpeg"),
        "an AVIF": (b"\0\0\0\x20ftypavif" + b"\0" * 100, "image/jpeg"),
        "a HEIC": (b"\0\0\0\x20ftypheic" + b"\0" * 100, "image/jpeg"),
        "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/png"),
        "a page": (b"<!doctype html><html></html>", "image/jpeg"),
        "zeros": (bytes(1000), "image/jpeg"),
        "a JPEG whose line ends were taken out": (cat().translate(None, b"\r\n\0"), "image/jpeg"),
        "more bytes than a picture may have": (cat() + bytes(11 * MIB), "image/jpeg"),
    }
