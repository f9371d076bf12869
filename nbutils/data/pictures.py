"""Pictures from bytes: any format and mode that Pillow reads, to square RGB.

Worker processes import this module and nothing heavier.
"""

import errno
import io
import multiprocessing
import os
import threading
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

from .errors import Unusable


def decode(content, size):
    """A picture as uint8 (3, size, size): turned upright, centre-cropped to a square, Lanczos-resized, made
    RGB.

    What is transparent lies on white; 16-bit grey levels are scaled to 8 bits; of several frames the first is
    taken.

    Args:
        content: bytes of a file in any format that Pillow reads, but for PostScript, which would be executed.
        size: side, pixels.
    Raises:
        Unusable: not a whole picture, more pixels than Pillow takes for harmless, or levels without a known
            scale.
    """
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(
                io.BytesIO(content), formats=[name for name in Image.ID if name != "EPS"]
            ) as picture:
                fitted = ImageOps.fit(
                    _rgb(ImageOps.exif_transpose(picture), picture.format),
                    (size, size),
                    Image.Resampling.LANCZOS,
                )
        except Unusable:
            raise
        except Exception as error:  # a broken file can make a decoder raise anything at all
            said = (
                "no known format"
                if isinstance(error, Image.UnidentifiedImageError)
                else " ".join(str(error).split()) or type(error).__name__
            )
            raise Unusable(f"not a readable picture: {said}") from None
    return np.asarray(fitted).transpose(2, 0, 1).copy()


def _rgb(picture, file_format):
    if picture.mode == "F" or (
        picture.mode == "I" and file_format not in ("PNG", "PPM")
    ):  # of which older Pillows make I from 16 bits
        raise Unusable(
            f"its levels are {'floating point' if picture.mode == 'F' else '32-bit'} numbers without a "
            "known scale; save it with 8 or 16 bits"
        )
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.int64)
        grey = (levels.clip(0, 65535) + 128) // 257
        if "transparency" in picture.info:
            grey[levels == picture.info["transparency"]] = 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if not picture.has_transparency_data and picture.mode not in ("La", "RGBa"):
        return picture.convert("RGB")
    straight = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode, picture.mode)
    layer = picture.convert(straight).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def decode_rows(batch, size, arrays):
    """Decode pictures and write each to its row.

    Args:
        batch: list of (split, row, bytes).
        size: side, pixels.
        arrays: dict from split to (path, offset), the file of the rows and where in it they begin; empty to
            write nothing.
    Returns:
        list of (split, row, CRC-32 of the pixels, None) or, for what is no picture, (split, row, None,
            reason).
    Raises:
        OSError: a row cannot be written.
    """
    files = {split: os.open(path, os.O_WRONLY) for split, (path, _) in arrays.items()}
    try:
        return [_decode_row(split, row, content, size, files, arrays) for split, row, content in batch]
    finally:
        for file in files.values():
            os.close(file)


def _decode_row(split, row, content, size, files, arrays):
    try:
        pixels = decode(content, size).tobytes()
    except Unusable as error:
        return split, row, None, str(error)
    if split in files and os.pwrite(files[split], pixels, arrays[split][1] + row * len(pixels)) < len(pixels):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arrays[split][0])
    return split, row, zlib.crc32(pixels), None


def end_with_parent():
    """Make a worker process end when the process that started it does, however that was ended."""

    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
