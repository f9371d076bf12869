"""Downloads with checksums, by pooch: a file is in its place whole or not at all."""

import os
import shutil
import sys
from pathlib import Path

import filelock
from tqdm import tqdm

_SERVER = "http://images.cocodataset.org"
_COCO = {
    f"{_SERVER}/annotations/annotations_trainval2014.zip": "0a379cfc70b0e71301e0f377548639bd",
    f"{_SERVER}/zips/val2014.zip": "a3d79f5ed8d289b7a7554ce06a5782b3",
    f"{_SERVER}/zips/train2014.zip": "0da8c0bd3d6becc4dcb32757491aca88",
}  # MD5
_SECONDS = 10.0  # without a byte, after which a server is given up


class DownloadError(OSError):
    """A file that could not be had; the message says what each server said."""


def cache_folder(name):
    """The folder `name` in the one that NBUTILS_CACHE names, or in the user's cache."""
    import pooch  # takes a while to import, which only a download should pay

    return Path(os.environ.get("NBUTILS_CACHE") or pooch.os_cache("nbutils")) / name


def coco():
    """The folder of COCO's captions and pictures of 2014 as zip files, 20 GB, downloaded where they are not
    there yet.

    Raises:
        DownloadError: a file that could not be had.
    """
    folder = cache_folder("coco")
    for address, md5 in _COCO.items():
        fetch([address], md5, folder / address.rsplit("/", 1)[1])
    return folder


def fetch(addresses, md5, path, seconds=_SECONDS):
    """Have a file, from the first of several addresses that gives it; one that is there with the right
    checksum is left as it is.

    Args:
        addresses: where to try, in order.
        md5: checksum of the file, hexadecimal; None for a file of which the caller checks what is in it.
        path: where to put it.
        seconds: how long a server may be silent.
    Returns:
        path.
    Raises:
        DownloadError: no address gives these bytes, or there is no room for them.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # the progress bar says as much
    path, said = Path(path), []
    beside = path.with_name(f".{path.name}.part")  # a folder, so that nothing stays of what was killed
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    with filelock.FileLock(lock):
        try:
            if path.is_file() and pooch.hashes.hash_matches(path, md5 and f"md5:{md5}"):
                return path
            for address in addresses:
                shutil.rmtree(beside, ignore_errors=True)
                try:
                    _retrieve(address, md5, beside / path.name, seconds)
                except OSError as error:
                    said.append(f"{address}: {_reason(error)}")
                except ValueError:  # pooch's, of the checksum
                    said.append(f"{address}: the file has another MD5 hash than {md5} and was thrown away")
                else:
                    os.replace(beside / path.name, path)
                    return path
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            lock.unlink()  # who waits for it notices, and begins to wait anew
    raise DownloadError(f"{path.name} is not to be had: {'; '.join(said)}")


def _retrieve(address, md5, path, seconds):
    """One download by pooch, tried a second time where the connection breaks."""
    import pooch

    known = md5 and f"md5:{md5}"
    cache = pooch.create(
        path=path.parent,
        base_url="",
        registry={path.name: known},
        urls={path.name: address},
        retry_if_failed=1,
    )
    bar = tqdm(total=1, desc=path.name, unit="B", unit_scale=True, file=sys.stdout, mininterval=1, ncols=84)
    with bar:
        cache.fetch(path.name, downloader=pooch.HTTPDownloader(progressbar=bar, timeout=seconds))


def _reason(error):
    """Why a download failed, on one line: the server's answer, or what lies at the bottom of the error."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answers {response.status_code} {response.reason}"
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())[:160] or type(error).__name__
