"""Short hashes of what was loaded, for descriptions of trainings."""

import hashlib
import json

import torch


def fingerprint(*parts):
    """A short hash of tensors and of anything else that JSON can hold, such as captions.

    Returns:
        12 hexadecimal digits.
    """
    digest = hashlib.blake2b(digest_size=6)
    for part in parts:
        if isinstance(part, torch.Tensor):
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
            digest.update(
                part.contiguous().view(-1).view(torch.uint8).numpy()
            )  # no copy, which of COCO would be a gigabyte
        else:
            digest.update(json.dumps(part).encode())
    return digest.hexdigest()
