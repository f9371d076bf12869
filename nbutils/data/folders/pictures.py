"""Pictures from bytes: any format and mode that Pillow reads, to square RGB."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from ..errors import Unusable


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
    formats = [name for name in Image.ID if name != "EPS"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=formats) as picture:
                upright = _rgb(ImageOps.exif_transpose(picture), picture.format)
                fitted = ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS)
        except Unusable:
            raise
        except Exception as error:  # a broken file can make a decoder raise anything at all
            said = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, Image.UnidentifiedImageError):
                said = "no known format"
            raise Unusable(f"not a readable picture: {said}") from None
    return np.asarray(fitted).transpose(2, 0, 1).copy()


def _rgb(picture, file_format):
    # Older Pillows make "I" of PNG's and PPM's 16 bits.
    if picture.mode == "F" or (picture.mode == "I" and file_format not in ("PNG", "PPM")):
        kind = "floating point" if picture.mode == "F" else "32-bit"
        raise Unusable(f"its levels are {kind} numbers without a known scale; save it with 8 or 16 bits")
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
