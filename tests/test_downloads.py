"""A download arrives whole, goes on where it was cut, or ends within seconds in one line; the servers are
real and on loopback."""

import hashlib
import http.server
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from photo_sources import coco_folder, coco_zips, complaint, contents, nbutils
from test_digits import write_mnist

from nbutils.data import digits, downloads, prepare
from nbutils.data.downloads import DownloadError, fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
QUICK = {"seconds": 0.5, "least_speed": 2000}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the first part of the path names."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        begin = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.server.ranges.append(self.headers.get("Range"))
        getattr(self, self.path.split("/")[1].replace("-", "_"))(int(begin[1]) if begin else 0)

    def head(self, begin, length=None, named=None):
        if begin >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return b""
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header(
                "Content-Range",
                f"bytes {begin if named is None else named}-{len(CONTENT) - 1}/{len(CONTENT)}",
            )
        self.send_header("Content-Length", str(len(CONTENT) - begin if length is None else length))
        self.end_headers()
        return CONTENT[begin:]

    def whole(self, begin):
        self.wfile.write(self.head(begin))

    def ignores_range(self, _):
        self.wfile.write(self.head(0))

    def other_range(self, begin):
        self.wfile.write(self.head(begin, named=begin and begin - 1))

    def without_length(self, _):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def cuts(self, begin):
        self.wfile.write(self.head(begin)[:70_000])

    def cuts_at_once(self, begin):
        self.wfile.write(self.head(begin)[:100])

    def stalls(self, begin):
        self.wfile.write(self.head(begin)[:200])
        self.server.over.wait(20)

    def silent(self, _):
        self.server.over.wait(20)

    def crawls(self, begin):
        for byte in self.head(begin):
            self.wfile.write(bytes([byte]))
            if self.server.over.wait(0.02):
                return

    def slow(self, begin):
        rest = self.head(begin)
        for start in range(0, len(rest), 3000):
            self.wfile.write(rest[start : start + 3000])
            if self.server.over.wait(0.02):
                return

    def wrong(self, _):
        self.head(0)
        self.wfile.write(bytes(len(CONTENT)))

    def enormous(self, _):
        self.wfile.write(self.head(0, length=1 << 60)[:100])

    def longer(self, _):
        self.wfile.write(self.head(0, length=len(CONTENT) + 1000))

    def missing(self, _):
        self.send_error(404)

    def failing(self, _):
        self.send_error(500)

    def no_http(self, _):
        self.wfile.write(b"220 ready\r\n")


@pytest.fixture
def server():
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads, ranges, over = True, [], threading.Event()

        def handle_error(self, request, client_address):
            assert isinstance(sys.exc_info()[1], ConnectionError)  # the other side hung up

    with Server(("127.0.0.1", 0), Handler) as running:
        running.ranges.clear()
        threading.Thread(
            target=running.serve_forever, args=(0.01,), daemon=True
        ).start()  # looks for an end that often
        running.address = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.over.set()
        running.shutdown()


def parts(folder):
    return {path.suffix: path.stat().st_size for path in folder.iterdir() if path.suffix == ".part"}


@pytest.mark.parametrize("way", ["whole", "ignores-range", "without-length", "cuts"])
def test_a_file_arrives_whole(server, tmp_path, way):
    path = fetch([f"{server.address}/{way}/file.zip"], MD5, tmp_path / "folder" / "file.zip", **QUICK)
    assert path.read_bytes() == CONTENT
    assert [found.name for found in path.parent.iterdir()] == ["file.zip"]
    if way == "cuts":
        assert server.ranges == [None, "bytes=70000-", "bytes=140000-", "bytes=210000-", "bytes=280000-"]
    fetch(["http://127.0.0.1:9/nobody"], MD5, path, **QUICK)  # it is there, so nobody is asked


@pytest.mark.parametrize(
    ("way", "asked"),
    [("whole", ["bytes=200-"]), ("ignores-range", ["bytes=200-"]), ("other-range", ["bytes=200-", None])],
)
def test_what_an_earlier_call_left_is_gone_on_with_or_begun_anew(server, tmp_path, way, asked):
    address = f"{server.address}/{way}/file.zip"
    part = tmp_path / f".file.zip.{downloads.zlib.crc32(address.encode()):08x}.part"
    part.write_bytes(CONTENT[:200])
    fetch([address], MD5, tmp_path / "file.zip", **QUICK)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.ranges == asked


@pytest.mark.parametrize(
    ("held", "asked"), [(CONTENT, ["bytes=300000-"]), (CONTENT + b"more", ["bytes=300004-", None])]
)
def test_a_part_that_is_already_whole_or_too_long_ends_well(server, tmp_path, held, asked):
    address = f"{server.address}/whole/file.zip"
    (tmp_path / f".file.zip.{downloads.zlib.crc32(address.encode()):08x}.part").write_bytes(held)
    fetch([address], MD5, tmp_path / "file.zip", **QUICK)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.ranges == asked


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


BAD_SERVERS = {
    "stalls": "timed out, after 200 bytes, which are kept",
    "silent": "timed out, after 0 bytes",
    "crawls": "fewer than 2,000 bytes per second came for 0.5 s, after",
    "cuts-at-once": "the connection ended before all of 300,000 bytes had come, after 100 bytes",
    "longer": "the connection ended before all of 301,000 bytes had come",
    "wrong": f"the file has another MD5 hash than {MD5} and was thrown away",
    "enormous": "it has 1,152,921,504,606.8 MB to come, and the disk of",
    "missing": "the server answers 404 Not Found",
    "failing": "the server answers 500 Internal Server Error",
    "no-http": "220 ready",
}


@pytest.mark.parametrize("way", BAD_SERVERS)
def test_a_server_that_does_not_deliver_is_given_up_within_seconds_and_the_next_is_asked(
    server, tmp_path, way
):
    address, began = f"{server.address}/{way}/file.zip", time.monotonic()
    with pytest.raises(DownloadError) as caught:
        fetch([address], MD5, tmp_path / "file.zip", **QUICK)
    assert time.monotonic() - began < 5
    assert BAD_SERVERS[way] in str(caught.value)
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file.zip").exists()
    fetch([address, f"{server.address}/whole/file.zip"], MD5, tmp_path / "file.zip", **QUICK)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert not parts(tmp_path)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [(closed_port(), "Connection refused"), ("http://nowhere.invalid", "")],
    ids=["nobody listens", "no such name"],
)
def test_without_a_network_it_is_said_within_seconds(tmp_path, address, complaint):
    began = time.monotonic()
    with pytest.raises(
        DownloadError, match=rf"file.zip is not to be had: {address}/file.zip: .*{complaint}.*after 0 bytes"
    ):
        fetch([f"{address}/file.zip"], MD5, tmp_path / "file.zip")
    assert time.monotonic() - began < 10


def test_a_download_that_is_killed_goes_on_where_it_was(server, tmp_path):
    command = (
        "import sys; from pathlib import Path; from nbutils.data.downloads import fetch; "
        "fetch([sys.argv[1]], sys.argv[2], Path(sys.argv[3]))"
    )
    arguments = [
        sys.executable,
        "-c",
        command,
        f"{server.address}/slow/file.zip",
        MD5,
        str(tmp_path / "file.zip"),
    ]
    process, began = subprocess.Popen(arguments, stdout=subprocess.DEVNULL), time.monotonic()
    while sum(parts(tmp_path).values()) < 30_000:
        assert process.poll() is None
        assert time.monotonic() - began < 30
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = parts(tmp_path)[".part"]
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]


def test_two_processes_that_want_the_same_file_fetch_it_once(server, tmp_path):
    command = (
        "import sys; from pathlib import Path; from nbutils.data.downloads import fetch; "
        "fetch([sys.argv[1]], sys.argv[2], Path(sys.argv[3]))"
    )
    arguments = [
        sys.executable,
        "-c",
        command,
        f"{server.address}/slow/file.zip",
        MD5,
        str(tmp_path / "file.zip"),
    ]
    both = [subprocess.Popen(arguments, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert server.ranges == [None]


@pytest.fixture
def files(tmp_path):
    """A server of the files in a folder."""
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    (tmp_path / "served").mkdir()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: handler(*a, directory=str(tmp_path / "served"))
    ) as running:
        threading.Thread(
            target=running.serve_forever, args=(0.01,), daemon=True
        ).start()  # looks for an end that often
        yield tmp_path / "served", f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def test_coco_is_downloaded_once_and_prepared_from_its_zips(files, tmp_path, monkeypatch):
    served, address = files
    folder = coco_folder(tmp_path / "extracted")
    zips = coco_zips(folder, served / "zips")
    sums = {
        f"{address}zips/{path.name}": hashlib.md5(path.read_bytes()).hexdigest() for path in zips.iterdir()
    }
    monkeypatch.setattr(downloads, "_COCO", sums)
    monkeypatch.setenv("NBUTILS_CACHE", str(tmp_path / "cache"))
    assert "8 pictures to train on and 3 held out" in prepare.prepare_coco(
        tmp_path / "out", size=16, jobs=1, skip_broken=False
    )
    prepare.prepare(folder, tmp_path / "direct", size=16)
    made, direct = contents(tmp_path / "out"), contents(tmp_path / "direct")
    assert all(made[name] == direct[name] for name in made if name != "manifest.json")
    for path in zips.iterdir():
        path.unlink()
    assert "holds this preparation already" in prepare.prepare_coco(
        tmp_path / "out", size=16, jobs=1, skip_broken=False
    )
    assert "16 x 16" in prepare.prepare_coco(
        tmp_path / "again", size=16, jobs=1, skip_broken=False
    )  # from the cache
    (tmp_path / "cache" / "coco" / "train2014.zip").unlink()
    with pytest.raises(DownloadError, match=r"train2014.zip is not to be had: .*the server answers 404"):
        prepare.prepare_coco(tmp_path / "third", size=16, jobs=1, skip_broken=False)
    with pytest.raises(ValueError, match="another preparation"):
        prepare.prepare_coco(tmp_path / "out", size=32, jobs=1, skip_broken=False)


def test_mnist_is_put_where_it_is_wanted_but_not_over_other_digits(files, tmp_path, monkeypatch):
    served, address = files
    made = write_mnist(tmp_path / "made")
    sums = {}
    for name in digits.FILES:
        content = (
            digits.gzip.compress((made / name).read_bytes())
            if (made / name).exists()
            else (made / f"{name}.gz").read_bytes()
        )
        (served / f"{name}.gz").write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(digits, "FILES", sums)
    for _ in range(2):
        assert (
            digits.download(tmp_path / "mnist", [address])
            == f"{tmp_path / 'mnist'}: MNIST, 24 digits to train on and 6 to test"
        )
    checked = nbutils("data", "check", tmp_path / "mnist")
    assert "not MNIST by their checksums: 24 to train on and 6 to test, 5 x 5 pixels" in checked.stdout
    fashion = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    fashion.write_bytes(b"fashion")
    with pytest.raises(
        digits.DigitsError, match=r"t10k-labels-idx1-ubyte.gz: is there already and is not the file"
    ):
        digits.download(tmp_path / "mnist", [address])
    assert fashion.read_bytes() == b"fashion"
    assert "t10k-labels-idx1-ubyte.gz: begins with b'fash'" in complaint(
        nbutils("data", "check", tmp_path / "mnist")
    )
