"""A download arrives whole or ends within seconds in one line; the servers are real and on loopback."""

import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from photo_sources import coco_folder, coco_zips, complaint, contents, nbutils
from test_digits import write_mnist

from nbutils.data import digits, downloads
from nbutils.data.downloads import DownloadError, fetch
from nbutils.data.preparation import prepare

CONTENT = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
SECONDS = 0.5


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the first part of the path names."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        getattr(self, self.path.split("/")[1].replace("-", "_"))()

    def head(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()

    def whole(self):
        self.head()
        self.wfile.write(CONTENT)

    def without_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def cuts_once(self):
        self.head()
        self.wfile.write(CONTENT[:70_000] if len(self.server.asked) == 1 else CONTENT)

    def cuts(self):
        self.head()
        self.wfile.write(CONTENT[:100])

    def stalls(self):
        self.head()
        self.wfile.write(CONTENT[:200])
        self.server.over.wait(20)

    def silent(self):
        self.server.over.wait(20)

    def slow(self):
        self.head()
        for start in range(0, len(CONTENT), 3000):
            self.wfile.write(CONTENT[start : start + 3000])
            if self.server.over.wait(0.02):
                return

    def wrong(self):
        self.head()
        self.wfile.write(bytes(len(CONTENT)))

    def missing(self):
        self.send_error(404)

    def failing(self):
        self.send_error(500)

    def no_http(self):
        self.wfile.write(b"220 ready\r\n")


@pytest.fixture
def server():
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads, over = True, threading.Event()

        def handle_error(self, request, client_address):
            assert isinstance(sys.exc_info()[1], ConnectionError)  # the other side hung up

    with Server(("127.0.0.1", 0), Handler) as running:
        running.asked = []
        threading.Thread(
            target=running.serve_forever, args=(0.01,), daemon=True
        ).start()  # looks for an end that often
        running.address = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.over.set()
        running.shutdown()


@pytest.mark.parametrize("way", ["whole", "without-length", "cuts-once"])
def test_a_file_arrives_whole(server, tmp_path, way):
    path = fetch([f"{server.address}/{way}/file.zip"], MD5, tmp_path / "folder" / "file.zip", SECONDS)
    assert path.read_bytes() == CONTENT
    assert [found.name for found in path.parent.iterdir()] == ["file.zip"]
    fetch(["http://127.0.0.1:9/nobody"], MD5, path, SECONDS)  # it is there, so nobody is asked


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


BAD_SERVERS = {
    "stalls": "timed out",
    "silent": "timed out",
    "cuts": "IncompleteRead(100 bytes read",
    "wrong": f"the file has another MD5 hash than {MD5} and was thrown away",
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
        fetch([address], MD5, tmp_path / "file.zip", SECONDS)
    assert time.monotonic() - began < 5
    assert BAD_SERVERS[way] in str(caught.value)
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "file.zip").exists()
    fetch([address, f"{server.address}/whole/file.zip"], MD5, tmp_path / "file.zip", SECONDS)
    assert (tmp_path / "file.zip").read_bytes() == CONTENT
    assert [found.name for found in tmp_path.iterdir()] == ["file.zip"]


@pytest.mark.parametrize(
    ("address", "complaint"),
    [(closed_port(), "Connection refused"), ("http://nowhere.invalid", "")],
    ids=["nobody listens", "no such name"],
)
def test_without_a_network_it_is_said_within_seconds(tmp_path, address, complaint):
    began = time.monotonic()
    with pytest.raises(DownloadError, match=rf"file.zip is not to be had: {address}/file.zip: .*{complaint}"):
        fetch([f"{address}/file.zip"], MD5, tmp_path / "file.zip")
    assert time.monotonic() - began < 10


def test_nothing_stays_of_a_download_that_was_killed(server, tmp_path):
    (tmp_path / ".file.zip.part").mkdir()
    (tmp_path / ".file.zip.part" / "tmpx").write_bytes(CONTENT[:200])
    fetch([f"{server.address}/whole/file.zip"], MD5, tmp_path / "file.zip", SECONDS)
    assert [found.name for found in tmp_path.iterdir()] == ["file.zip"]


def test_a_full_disk_is_said(server, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads, "_retrieve", full)
    with pytest.raises(DownloadError, match="No space left on device"):
        fetch([f"{server.address}/whole/file.zip"], MD5, tmp_path / "file.zip")


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
    assert len(server.asked) == 1


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
