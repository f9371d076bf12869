"""Downloads with checksums that go on where they stopped and give up when nothing comes.

pooch checks and places a file; how it gets here is `Resuming`, since pooch's own downloader begins every file
anew.
"""

import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import filelock
from tqdm import tqdm

_COCO = {
    "http://images.cocodataset.org/annotations/annotations_trainval2014.zip": "0a379cfc70b0e71301e0f377548639bd",
    "http://images.cocodataset.org/zips/val2014.zip": "a3d79f5ed8d289b7a7554ce06a5782b3",
    "http://images.cocodataset.org/zips/train2014.zip": "0da8c0bd3d6becc4dcb32757491aca88",
}  # MD5


class DownloadError(OSError):
    """A file that could not be had; the message says what each server said."""


def cache_folder(name):
    """The folder `name` in the one that NBUTILS_CACHE names, or in the user's cache."""
    import pooch  # takes a while to import, which only a download should pay

    return Path(os.environ.get("NBUTILS_CACHE") or pooch.os_cache("nbutils")) / name


def coco(files=None):
    """The folder of COCO's captions and pictures of 2014 as zip files, 20 GB, downloaded where they are not
    there yet.

    Args:
        files: dict from address to MD5; the official ones if None.
    Raises:
        DownloadError: a file that could not be had.
    """
    folder = cache_folder("coco")
    for address, md5 in (files or _COCO).items():
        fetch([address], md5, folder / address.rsplit("/", 1)[1])
    return folder


def fetch(addresses, md5, path, **patience):
    """Have a file, from the first of several addresses that gives it; one that is there with the right
    checksum is left as it is.

    Args:
        addresses: where to try, in order.
        md5: checksum of the file, hexadecimal; None for a file of which the caller checks what is in it.
        path: where to put it.
        patience: see `Resuming`.
    Returns:
        path.
    Raises:
        DownloadError: no address gives these bytes, or there is no room for them.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # the progress bar says as much
    path, said = Path(path), []
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(lock := path.with_name(f".{path.name}.lock")):
        for address in addresses:
            try:
                pooch.retrieve(
                    address,
                    md5 and f"md5:{md5}",
                    fname=path.name,
                    path=path.parent,
                    downloader=Resuming(path, **patience),
                )
            except DownloadError as error:
                said.append(f"{address}: {error}")
            except ValueError:  # pooch's, of the checksum
                said.append(f"{address}: the file has another MD5 hash than {md5} and was thrown away")
            else:
                for part in path.parent.glob(f".{path.name}.*.part"):
                    part.unlink()
                lock.unlink()  # who waits for it notices, and begins to wait anew
                return path
    raise DownloadError(f"{path.name} is not to be had: {'; '.join(said)}")


@dataclass(frozen=True)
class Resuming:
    """Downloads for pooch: into a part file beside `path` that a later call goes on with.

    A connection on which fewer than `least_speed` bytes per second come for `seconds` is given up, and tried
    again as long as each brings more than that.
    """

    path: Path
    seconds: float = 10.0
    least_speed: int = 1000

    def __call__(self, address, target, _):
        """Fetch `address` to `target`, as pooch asks.

        Raises:
            DownloadError: nothing more comes, or there is no room.
        """
        part = self.path.with_name(f".{self.path.name}.{zlib.crc32(address.encode()):08x}.part")
        while True:
            before = _size(part)
            try:
                if self._go_on(address, part):
                    os.replace(part, target)
                    return
            except DownloadError:
                raise
            except urllib.error.HTTPError as error:
                raise DownloadError(f"the server answers {error.code} {error.reason}") from None
            except (OSError, http.client.HTTPException) as error:
                came = _size(part)
                if came - before < self.seconds * self.least_speed:
                    reason = (
                        " ".join(str(getattr(error, "reason", error)).split())[:160] or type(error).__name__
                    )
                    raise DownloadError(
                        f"{reason}, after {came:,} bytes"
                        + (", which are kept for the next call" if came else "")
                    ) from None

    def _go_on(self, address, part):
        """One connection; returns whether the file is whole now, False where it has to be begun anew."""
        begun = _size(part)
        request = urllib.request.Request(
            address, headers={"User-Agent": "nbutils"} | ({"Range": f"bytes={begun}-"} if begun else {})
        )
        try:
            response = urllib.request.urlopen(request, timeout=self.seconds)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not begun:
                raise
            if error.headers.get("Content-Range") == f"bytes */{begun}":
                return True
            part.unlink()
            return False
        with response:
            goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
            if goes_on and not re.match(rf"bytes {begun}-", response.headers.get("Content-Range", "")):
                part.unlink()  # not the range that was asked for
                return False
            length = response.headers.get("Content-Length", "")
            total = (begun if goes_on else 0) + int(length) if length.isdigit() else None
            free = shutil.disk_usage(part.parent).free + (0 if goes_on else begun)
            if length.isdigit() and int(length) > free:
                raise DownloadError(
                    f"it has {int(length) / 1e6:,.1f} MB to come, and the disk of {part.parent} has "
                    f"{free / 1e6:,.1f} MB free; make room"
                )
            with open(part, "ab" if goes_on else "wb") as file:
                self._copy(response, file, total)
        if total is not None and _size(part) != total:
            raise ConnectionError(f"the connection ended before all of {total:,} bytes had come")
        return True

    def _copy(self, response, file, total):
        since, came = time.monotonic(), 0
        with tqdm(
            total=total,
            initial=file.tell(),
            desc=self.path.name,
            unit="B",
            unit_scale=True,
            file=sys.stdout,
            mininterval=1,
            dynamic_ncols=False,
            ncols=84,
        ) as bar:
            while content := response.read1(1 << 16):
                file.write(content)
                bar.update(len(content))
                came += len(content)
                if (now := time.monotonic()) - since >= self.seconds:
                    if came < self.seconds * self.least_speed:
                        raise TimeoutError(
                            f"fewer than {self.least_speed:,} bytes per second came for {self.seconds:g} s"
                        )
                    since, came = now, 0


def _size(path):
    return path.stat().st_size if path.exists() else 0
