"""Captions, archives and pictures from anywhere: what is not as it should be is refused in one line that
names it, and nothing else happens."""

import bz2
import collections
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from photo_sources import CLASS_PROJECT, class_project, coco_folder, own_folder, picture_bytes, write
from PIL import Image

from nbutils.data import captions, digits, photos, sources
from nbutils.data.errors import Unusable
from nbutils.data.folders import captions_pickle, pictures
from nbutils.data.preparation import checking, prepare, prepared


def refusal(work, *arguments, error=photos.PhotosError):
    """The one line with which something is refused."""
    with pytest.raises(error) as caught:
        work(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


# Captions files


def coco_with(**changes):
    content = {
        "images": [{"id": 1, "file_name": "000.jpg"}],
        "annotations": [{"image_id": 1, "caption": "a ball"}],
    } | changes
    return json.dumps(content)


IMAGES = [{"id": 1, "file_name": "000.jpg"}]
COCO = "annotations/captions_train2014.json"
BAD_CAPTION_FILES = {
    "csv: missing columns": (
        "captions.csv",
        "name,text\na.jpg,x\n",
        "columns are ['name', 'text']; expected file and caption",
    ),
    "csv: a column twice": (
        "captions.csv",
        "file,caption,caption\na.jpg,x,y\n",
        "expected file and caption once each",
    ),
    "csv: two columns of captions": (
        "captions.csv",
        "file;caption;text\na.jpg;x;y\n",
        "columns are ['file', 'caption', 'text']; expected file and caption once each",
    ),
    "csv: two columns of files": (
        "metadata.csv",
        "image,path,text\na.jpg,a.jpg,x\n",
        "columns are ['image', 'path', 'text']; expected file and caption once each",
    ),
    "csv: a bar too few": (
        "results.csv",
        "image_name| comment_number| comment\na.jpg| 4   A dog\n",
        "line 2: found ['a.jpg', ' 4   A dog']; expected 3 columns, separated by bars",
    ),
    "Flickr8k: no number": (
        "Flickr8k.token.txt",
        "a.jpg#0\tx\na.jpg\ty\n",
        "line 2: found 'a.jpg\\ty'; expected the name of a file, # and a number",
    ),
    "json lines: no object": ("metadata.jsonl", "[]\n", "line 1: found []; expected an object"),
    "json lines: no file": (
        "metadata.jsonl",
        '{"file_name": "a.jpg", "text": "x"}\n{"text": "y"}\n',
        "line 2: columns are ['text']; expected file and caption",
    ),
    "json lines: number for file": (
        "metadata.jsonl",
        '{"file_name": 3, "text": "x"}\n',
        "line 1: file_name is 3; expected the name of a file",
    ),
    "json lines: empty": ("metadata.jsonl", "\n", "metadata.jsonl: is empty"),
    "Karpathy: split": (
        "dataset.json",
        '{"images": [{"filename": "a.jpg", "split": "dev", "sentences": []}]}',
        "images[0]: split is 'dev'; expected train, restval, val or test",
    ),
    "Karpathy: sentence": (
        "dataset.json",
        '{"images": [{"filename": "a.jpg", "split": "val", "sentences": [3]}]}',
        "images[0]: not Karpathy's splits",
    ),
    "csv: comma without quotes": (
        "captions.csv",
        "file,caption\na.jpg,one, two\n",
        "line 2: found ['a.jpg', 'one', ' two']; expected 2 columns",
    ),
    "csv: too few columns": ("captions.csv", "file,caption\na.jpg\n", "line 2: found ['a.jpg']"),
    "csv: no file name": ("captions.csv", "file,caption\n,x\n", "line 2: found ['', 'x']"),
    "csv: open quote": (
        "captions.csv",
        'file,caption\na.jpg,"x\n',
        "not readable as CSV: unexpected end of data",
    ),
    "csv: field too long": (
        "captions.csv",
        f"file,caption\na.jpg,{'x' * 200_000}\n",
        "field larger than field limit",
    ),
    "csv: UTF-16": (
        "captions.csv",
        "file,caption\na.jpg,x\n".encode("utf-16"),
        "the text is UTF-16; save it as UTF-8",
    ),
    "csv: Latin-1": (
        "captions.csv",
        "file,caption\na.jpg,café\n".encode("latin-1"),
        "not UTF-8 (byte 22 is 0xe9); save it as UTF-8",
    ),
    "csv: empty": ("captions.csv", "", "columns are []"),
    "csv: one picture": (
        "captions.csv",
        "file,caption\n000.jpg,x\n",
        "1 captioned picture(s); at least 2 are needed",
    ),
    "csv: parent folder": (
        "captions.csv",
        "file,caption\n../x.jpg,x\n",
        "line 2: refused, the file name '../x.jpg' points outside the folder",
    ),
    "csv: absolute": (
        "captions.csv",
        "file,caption\n/etc/x.jpg,x\n",
        "'/etc/x.jpg' points outside the folder",
    ),
    "csv: hidden parent": ("captions.csv", "file,caption\nsub/../../x.jpg,x\n", "points outside the folder"),
    "csv: Windows": ("captions.csv", "file,caption\nC:\\x.jpg,x\n", "points outside the folder"),
    "csv: backslash parent": ("captions.csv", "file,caption\n..\\x.jpg,x\n", "points outside the folder"),
    "csv: zero byte in a name": (
        "captions.csv",
        "file,caption\nx\0.jpg,x\n",
        "'x\\x00.jpg' is no name of a file",
    ),
    "csv: long path": ("captions.csv", f"file,caption\n{'x/' * 3000}x.jpg,x\n", "is no name of a file"),
    "csv: long name": ("captions.csv", f"file,caption\n{'x' * 300}.jpg,x\n", "is no name of a file"),
    "json: broken": ("captions.json", "{", "not readable as JSON"),
    "json: a list": (
        "captions.json",
        "[]",
        "expected an object from file name to caption or captions, found list",
    ),
    "json: number for caption": ("captions.json", '{"a.jpg": 3}', "'a.jpg' has 3; expected a caption"),
    "json: number among captions": ("captions.json", '{"a.jpg": ["x", 3]}', "'a.jpg' has ['x', 3]"),
    "json: a name twice": ("captions.json", '{"a.jpg": "x", "a.jpg": "y"}', "'a.jpg' is twice in one object"),
    "json: a file twice": (
        "captions.json",
        '{"a.jpg": "x", "./a.jpg": "y"}',
        "the file a.jpg is in it twice",
    ),
    "json: deep": ("captions.json", "[" * 200_000, "not readable as JSON: maximum recursion depth"),
    "json: endless number": (
        "captions.json",
        '{"a.jpg": ' + "9" * 10_000 + "}",
        "not readable as JSON: Exceeds the limit",
    ),
    "json: UTF-16": ("captions.json", '{"a.jpg": "x"}'.encode("utf-16"), "the text is UTF-16"),
    "json: half a character in a name": (
        "captions.json",
        '{"\\ud800.jpg": "x", "b": "y"}',
        "'\\ud800.jpg' is no name of a file",
    ),
    "json: parent folder": ("captions.json", '{"../a.jpg": "x", "b": "y"}', "points outside the folder"),
    "json: no picture there": (
        "captions.json",
        '{"a.jpg": "x", "b.jpg": "y"}',
        "name a.jpg, which is not in",
    ),
    "COCO: a list": (
        COCO,
        "[]",
        "not a COCO captions file; expected an object with the lists images and annotations",
    ),
    "COCO: no annotations": (
        COCO,
        coco_with(annotations=None),
        "expected an object with the lists images and annotations",
    ),
    "COCO: no id": (
        COCO,
        coco_with(images=[{"file_name": "x.jpg"}]),
        "images[0]: not a COCO captions file; expected id of type int | str, found None",
    ),
    "COCO: list for id": (
        COCO,
        coco_with(images=[{"id": [1], "file_name": "x.jpg"}]),
        "images[0]: not a COCO captions file; expected id of type int | str, found [1]",
    ),
    "COCO: image no object": (
        COCO,
        coco_with(images=["x.jpg"]),
        "images[0]: not a COCO captions file; expected an object with id and file_name, found 'x.jpg'",
    ),
    "COCO: number for file name": (
        COCO,
        coco_with(images=[{"id": 1, "file_name": 7}]),
        "expected file_name of type str, found 7",
    ),
    "COCO: number for caption": (
        COCO,
        coco_with(annotations=[{"image_id": 1, "caption": 7}]),
        "annotations[0]: not a COCO captions file; expected caption of type str, found 7",
    ),
    "COCO: bool for id": (
        COCO,
        coco_with(annotations=[{"image_id": True, "caption": "x"}]),
        "expected image_id of type int | str, found True",
    ),
    "COCO: id that does not resolve": (
        COCO,
        coco_with(annotations=[{"image_id": 5, "caption": "x"}]),
        "annotations[0] is about the image 5, which images does not have",
    ),
    "COCO: id twice": (
        COCO,
        coco_with(images=[*IMAGES, {"id": 1, "file_name": "y.jpg"}]),
        "images[1] has the id 1 and the file train2014/y.jpg, one of which is in it before",
    ),
    "COCO: file twice": (
        COCO,
        coco_with(images=[*IMAGES, {"id": 2, "file_name": "000.jpg"}]),
        "images[1] has the id 2 and the file train2014/000.jpg",
    ),
    "COCO: parent folder": (
        COCO,
        coco_with(images=[{"id": 1, "file_name": "../../x.jpg"}]),
        "'../../x.jpg' points outside the folder",
    ),
    "COCO: absolute": (
        COCO,
        coco_with(images=[{"id": 1, "file_name": "/x.jpg"}]),
        "'/x.jpg' points outside the folder",
    ),
    "COCO: no captions at all": (COCO, coco_with(annotations=[]), "name no picture for the split 'train'"),
    "COCO: only one split": (COCO, coco_with(), "captions_val2014.json: there is no such file"),
    "none": ("notes.txt", "", "no captions found; expected annotations/captions_train2014.json"),
}


@pytest.mark.parametrize("kind", BAD_CAPTION_FILES)
def test_bad_captions_files_are_refused(tmp_path, kind):
    name, content, complaint = BAD_CAPTION_FILES[kind]
    write(tmp_path, "train2014/000.jpg", picture_bytes(0))
    if kind.startswith("COCO") and kind != "COCO: only one split":
        write(tmp_path, COCO.replace("train", "val"), coco_with())
    path = write(tmp_path, name, content)
    text = refusal(photos.read_folder, tmp_path)
    assert complaint in text
    assert path.name in text or str(tmp_path) in text


def test_a_captions_file_of_gigabytes_is_not_read(tmp_path):
    with open(tmp_path / "captions.csv", "wb") as file:
        file.truncate(1 << 32)
    assert "captions.csv: has 4,294,967,296 bytes; expected at most 268,435,456" in refusal(
        photos.read_folder, tmp_path
    )


# Captions


@pytest.mark.parametrize(
    "text",
    [
        "<b>A</b> <script>alert(1)</script> & more",
        "Ein großer Ball \U0001f3c0",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "כלב רץ \u202bעל\u202c החוף",
        "二只狗",
        "e\u0301",
        " spaces  stay ",
    ],
)
def test_captions_of_any_script_pass_unchanged(text):
    assert captions.clean(text) == text


@pytest.mark.parametrize("text", ["a\nball", "a\tball", "a\rball", "a\u2028ball", "a\x85ball", "a\vball"])
def test_line_breaks_and_tabs_become_spaces(text):
    assert captions.clean(text) == "a ball"


BAD_CAPTIONS = {
    "zero byte": ("a\0b", "the character U+0000"),
    "bell": ("a\x07b", "the character U+0007"),
    "escape sequence": ("\x1b[31mred", "the character U+001B"),
    "C1 control": ("a\x9fb", "the character U+009F"),
    "lone surrogate": ("a\ud83d", "the character U+D83D ('a\\ud83d')"),
    "nothing": ("", "no words"),
    "spaces": (" \n ", "no words"),
    "punctuation": ("... !", "no words"),
    "too many words": ("word " * 501, "has 501 words; expected at most 500"),
}


@pytest.mark.parametrize("kind", BAD_CAPTIONS)
def test_captions_that_are_none_are_refused_by_every_reader(tmp_path, kind):
    text, complaint = BAD_CAPTIONS[kind]
    assert complaint in refusal(captions.clean, text, error=Unusable)
    own, coco, project = (
        own_folder(tmp_path / "own", 3),
        coco_folder(tmp_path / "coco"),
        class_project(tmp_path / "class"),
    )
    (own / "captions.csv").unlink()
    write(own, "captions.json", json.dumps({"000.jpg": text, "sub/001.jpg": "x"}))
    content = json.loads((coco / COCO).read_text())
    content["annotations"][0]["caption"] = text
    write(coco, COCO, json.dumps(content))
    write(project, CLASS_PROJECT, pickle.dumps({"000": [text], "100": ["x"]}))
    for folder in (own, coco, project):
        line = refusal(photos.read_folder, folder)
        assert complaint in line
        assert "000.jpg" in line


def test_a_picture_without_captions_or_with_hundreds_is_refused(tmp_path):
    for texts, complaint in (([], "000.jpg: no caption"), (["x"] * 101, "000.jpg: more than 100 captions")):
        own_folder(tmp_path, 2)
        (tmp_path / "captions.csv").unlink()
        write(tmp_path, "captions.json", json.dumps({"000.jpg": texts, "sub/001.jpg": "x"}))
        assert complaint in refusal(photos.read_folder, tmp_path)


# The class project's pickle


def reducing(function, *arguments):
    return type("Hostile", (), {"__reduce__": lambda self: (function, arguments)})()


def nested(depth):
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


BAD_PICKLES = {
    "a command, protocol 0": (
        pickle.dumps({"a": reducing(os.system, "true")}, protocol=0),
        "the pickle asks for posix.system",
    ),
    "a command, protocol 2": (
        pickle.dumps({"a": reducing(os.system, "true")}, protocol=2),
        "the pickle asks for posix.system",
    ),
    "a command, protocol 5": (
        pickle.dumps({"a": reducing(os.system, "true")}, protocol=5),
        "the pickle asks for posix.system",
    ),
    "a command, as everybody writes it": (
        b"cos\nsystem\n(S'touch hacked'\ntR.",
        "the pickle asks for os.system",
    ),
    "a command through the memo": (
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R.",
        "the pickle asks for os.system",
    ),
    "an instance of old": (b"(S'true'\nios\nsystem\n.", "the pickle asks for os.system"),
    "a name with a line break": (
        b"\x80\x04\x8c\x03a\nb\x8c\x04\x1b[2m\x93.",
        "the pickle asks for a\\nb.\\x1b[2m;",
    ),
    "eval": (pickle.dumps(reducing(eval, "1")), "the pickle asks for builtins.eval"),
    "an ordered dict": (
        pickle.dumps(collections.OrderedDict(a=["x"])),
        "the pickle asks for collections.OrderedDict",
    ),
    "bytes of protocol 2": (pickle.dumps({"a": [b"\xff"]}, protocol=2), "the pickle asks for _codecs.encode"),
    "a float": (pickle.dumps({"a": 1.5}), "the pickle asks for the instruction BINFLOAT"),
    "a float in text": (pickle.dumps({"a": 1.5}, protocol=0), "asks for the instruction FLOAT"),
    "a set": (pickle.dumps({"a": {1}}), "asks for the instruction EMPTY_SET"),
    "a frozenset": (pickle.dumps({"a": frozenset("x")}), "asks for the instruction FROZENSET"),
    "a bool": (pickle.dumps({"a": True}), "asks for the instruction NEWTRUE"),
    "a bool in text": (pickle.dumps({"a": True}, protocol=0), "found {'a': True}"),
    "a bytearray": (pickle.dumps({"a": bytearray(b"x")}, protocol=5), "asks for the instruction BYTEARRAY8"),
    "a persistent id": (b"\x80\x02U\x01xQ.", "asks for the instruction BINPERSID"),
    "a persistent id in text": (b"Px\n.", "asks for the instruction PERSID"),
    "an extension": (b"\x80\x02\x82\x01.", "asks for the instruction EXT1"),
    "a build": (b"\x80\x02}}b.", "asks for the instruction BUILD"),
    "an out-of-band buffer": (b"\x80\x05\x97.", "asks for the instruction NEXT_BUFFER"),
    "a memo of gigabytes": (
        b"\x80\x02]r\xff\xff\xff\x7f.",
        "expected a dict from file name to a list of captions, found []",
    ),
    "a memo of gigabytes in text": (
        b"(lp999999999\n.",
        "expected a dict from file name to a list of captions",
    ),
    "a string of gigabytes": (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\x00\x00x.", "not a readable pickle"),
    "an integer of gigabytes": (b"\x80\x02\x8b\xff\xff\xff\x7fx.", "asks for the instruction LONG4"),
    "a bytearray of gigabytes": (b"\x80\x05\x96\xff\xff\xff\x7f\0\0\0\0.", "the instruction BYTEARRAY8"),
    "tuples in tuples, of which a hash would end the process": (
        b"\x80\x02})" + b"\x85" * 2_000_000 + b"Ns.",
        "asks for tuples within tuples",
    ),
    "lists in lists": (nested(100_000), "expected a dict from file name to a list of captions"),
    "no end": (pickle.dumps({"a": ["x"]})[:-1], "it ends before its last instruction"),
    "cut short": (pickle.dumps({"a": ["a caption"]}, protocol=2)[:14], "not a readable pickle"),
    "an unknown instruction": (b"\xff.", "byte 255 is no instruction"),
    "an empty stack": (b"aa.", "not a readable pickle"),
    "text": (b"no pickle", "not a readable pickle"),
    "nothing": (b"", "it ends before its last instruction"),
    "a list": (pickle.dumps(["a"]), "expected a dict from file name to a list of captions, found ['a']"),
    "an integer for captions": (pickle.dumps({"a": 1}), "found {'a': 1}"),
    "an integer for a caption": (pickle.dumps({"a": [1]}), "found {'a': [1]}"),
    "an integer for a name": (pickle.dumps({1: ["x"]}), "found {1: ['x']}"),
    "bytes that are no text": (pickle.dumps({"a": [b"\xff"]}), "asks for the instruction SHORT_BINBYTES"),
    "Latin-1 of Python 2": (
        b"(dS'000'\n(lS'caf\\xe9'\nas.",
        "not a readable pickle: 'utf-8' codec can't decode",
    ),
    "captions of none of the pictures": (
        pickle.dumps({"x": ["y"]}),
        "has captions for none of the 8 pictures in train2014",
    ),
}


@pytest.mark.parametrize("kind", BAD_PICKLES)
def test_pickles_that_ask_for_more_than_plain_values_are_refused_before_they_run(tmp_path, monkeypatch, kind):
    content, complaint = BAD_PICKLES[kind]
    monkeypatch.chdir(tmp_path)
    folder = class_project(tmp_path / "project")
    write(folder, CLASS_PROJECT, content)
    tracemalloc.start()
    text = refusal(photos.read_folder, folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert complaint in text
    assert str(folder / CLASS_PROJECT) in text
    assert peak < 1 << 24
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_a_list_that_every_picture_shares_is_not_multiplied(tmp_path):
    folder = class_project(tmp_path)
    shared = ["x"] * 100_000
    write(folder, CLASS_PROJECT, pickle.dumps({f"{number:03}": shared for number in range(10_000)}))
    assert "more than 100 captions (11 faults in all" in refusal(photos.read_folder, folder)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_every_protocol_are_read(protocol):
    value = {"a": ["café \U0001f415", "two"], "b": ("three", None, 4, -1), "c": [[], (), {}]}
    assert captions_pickle.read(pickle.dumps(value, protocol=protocol)) == value


def python_2_pickles():
    """What Python 2 wrote for {'000': ['caf\\xc3\\xa9', u'caf\\xe9']}: its cPickle begins the memo at 1, str
    is bytes, UTF-8 here."""
    binary = b"U\x03000q\x02]q\x03(U\x05caf\xc3\xa9q\x04X\x05\x00\x00\x00caf\xc3\xa9q\x05es"
    yield b"(dp1\nS'000'\np2\n(lp3\nS'caf\\xc3\\xa9'\np4\naVcaf\xe9\np5\nas."
    yield b"}q\x01" + binary + b"."
    yield b"\x80\x02}q\x01" + binary + b"."


@pytest.mark.parametrize("content", list(python_2_pickles()), ids=["protocol 0", "protocol 1", "protocol 2"])
def test_pickles_of_python_2_are_read_with_both_kinds_of_strings(content):
    assert captions_pickle.read(content) == {"000": ["café", "café"]}


# Archives


def tar_of(*members, kind="w"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=kind) as made:
        for name, content, changes in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in changes.items():
                setattr(info, field, value)
            made.addfile(info, io.BytesIO(content))
    return file.getvalue()


def good_members():
    rows = "file,caption\n" + "".join(f"{number}.jpg,picture {number}\n" for number in range(3))
    return [
        ("captions.csv", rows.encode(), {}),
        *((f"{number}.jpg", picture_bytes(number), {}) for number in range(3)),
    ]


def tar_with(*members):
    return tar_of(*good_members(), *members)


def zip_with(*members, compression=zipfile.ZIP_STORED, mode=0o644):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        for name, content, _ in good_members():
            made.writestr(name, content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that is there twice
            for name, content in members:
                info = zipfile.ZipInfo(name)
                info.external_attr, info.compress_type = mode << 16, compression
                made.writestr(info, content)
    return file.getvalue()


def encrypted_zip():
    content = bytearray(zip_with())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def sparse_header(size):
    info = tarfile.TarInfo("huge.jpg")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def long_name_bomb():
    """A header that announces a file name of four gigabytes, and zeros, which compress to nothing."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 22))


def backward_tar():
    """A size of minus 1024, which would lead back to the member's own header for ever."""
    info = tarfile.TarInfo("a.jpg")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(-1024, 12, tarfile.GNU_FORMAT)
    header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]
    return bytes(header) + bytes(2048)


def huge_zip():
    content = zip_with(("zeros.bin", bytes(1 << 20)), compression=zipfile.ZIP_DEFLATED)
    directory = content.rindex(b"PK\x01\x02")
    return content[: directory + 24] + struct.pack("<I", 0xFFFFFFF0) + content[directory + 28 :]


GOOD_TAR = tar_with()
BAD_ARCHIVES = {
    "tar: parent folder": (
        "a.tar",
        tar_with(("../x.jpg", b"", {})),
        "refused, the file name '../x.jpg' points outside the folder",
    ),
    "tar: absolute": ("a.tar", tar_with(("/etc/x.jpg", b"", {})), "'/etc/x.jpg' points outside the folder"),
    "tar: symbolic link": (
        "a.tar",
        tar_with(("x.jpg", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})),
        "refused, x.jpg is a link",
    ),
    "tar: hard link": (
        "a.tar",
        tar_with(("x.jpg", b"", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})),
        "refused, x.jpg is a link",
    ),
    "tar: device": (
        "a.tar",
        tar_with(("x.jpg", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})),
        "refused, x.jpg is of type b'3'",
    ),
    "tar: pipe": (
        "a.tar",
        tar_with(("x.jpg", b"", {"type": tarfile.FIFOTYPE})),
        "refused, x.jpg is of type b'6'",
    ),
    "tar: a name twice": ("a.tar", tar_with(("0.jpg", b"x", {})), "0.jpg is in it twice"),
    "tar: cut short": ("a.tar", GOOD_TAR[:2500], "not a readable tar file"),
    "tar: no tar": ("a.tar", b"no tar at all" * 100, "not a readable tar file"),
    "tar: empty": ("a.tar", b"", "not a readable tar file (empty file)"),
    "tar.gz: not compressed": ("a.tar.gz", GOOD_TAR, "not a readable tar file (Not a gzipped file"),
    "tar.gz: cut short": (
        "a.tar.gz",
        gzip.compress(GOOD_TAR)[:-300],
        "not a readable tar file (Compressed file ended before",
    ),
    "tar.gz: damaged captions": (
        "a.tar.gz",
        gzip.compress(tar_of(good_members()[0]))[:-8] + bytes(8),
        "not a readable tar file (CRC check failed",
    ),
    "tar.bz2: damaged": (
        "a.tar.bz2",
        bz2.compress(GOOD_TAR)[:300] + b"xxxx" + bz2.compress(GOOD_TAR)[304:],
        "not a readable tar file",
    ),
    "tar.bz2: a bomb": (
        "a.tar.bz2",
        bz2.compress(sparse_header(1 << 33) + bytes(1 << 20)),
        "refused, it would unpack to 1 files and 8,589,934,592 bytes",
    ),
    "tar.gz: a name of gigabytes": ("a.tar.gz", long_name_bomb(), "a header of 4,294,967,296 bytes"),
    "tar: members in a circle": ("a.tar", backward_tar(), "refused, a.jpg is of -1,024 bytes"),
    "zip: parent folder": (
        "a.zip",
        zip_with(("../x.jpg", b"")),
        "refused, the file name '../x.jpg' points outside the folder",
    ),
    "zip: absolute": ("a.zip", zip_with(("/etc/x.jpg", b"")), "points outside the folder"),
    "zip: Windows parent": ("a.zip", zip_with(("..\\x.jpg", b"")), "points outside the folder"),
    "zip: a zero byte for a name": (
        "a.zip",
        zip_with(("q.jpg", b"")).replace(b"q.jpg", b"\0.jpg"),
        "refused, '\\x00.jpg' is no name of a file",
    ),
    "zip: link": ("a.zip", zip_with(("x.jpg", b"/etc/passwd"), mode=0o120777), "refused, x.jpg is a link"),
    "zip: a name twice": ("a.zip", zip_with(("0.jpg", b"x")), "0.jpg is in it twice"),
    "zip: encrypted": ("a.zip", encrypted_zip(), "refused, captions.csv is encrypted"),
    "zip: cut short": ("a.zip", zip_with()[:-100], "not a readable zip file"),
    "zip: no zip": ("a.zip", b"PK no zip", "not a readable zip file"),
    "zip: a bomb": ("a.zip", huge_zip(), "refused, it would unpack to 5 files and 4,29"),
    "an unknown kind": ("a.rar", b"Rar!", "neither a folder nor an archive"),
    "no such file": ("", b"", "no such folder or archive"),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_bad_archives_are_refused_and_nothing_is_unpacked(tmp_path, kind):
    name, content, complaint = BAD_ARCHIVES[kind]
    path = write(tmp_path, name, content) if name else tmp_path / "nowhere.tar"
    tracemalloc.start()
    text = refusal(prepare.prepare, path, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert complaint in text
    assert str(path) in text
    assert peak < 1 << 26
    assert [found.name for found in tmp_path.iterdir()] == ([name] if name else [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", GOOD_TAR),
        ("a.zip", zip_with()),
        ("a.zip", zip_with(compression=zipfile.ZIP_LZMA)),
        ("a.zip", zip_with(("./sub/./x.txt", b"x"))),
    ],
)
def test_the_archives_that_the_bad_ones_were_made_of_are_good(tmp_path, name, content):
    assert "2 pictures to train on and 1 held out" in prepare.prepare(
        write(tmp_path, name, content), tmp_path / "out", size=8
    )


def test_a_damaged_member_of_a_zip_is_a_broken_picture(tmp_path):
    content = zip_with()
    where = content.index(picture_bytes(1)) + 50
    path = write(tmp_path, "a.zip", content[:where] + b"xx" + content[where + 2 :])
    assert (
        "a.zip: 1.jpg: cannot be read from the archive (Bad CRC-32 for file '1.jpg'); 1 broken in all"
        in refusal(prepare.prepare, path, tmp_path / "out")
    )


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    own_folder(tmp_path, 3)
    (tmp_path / "000.jpg").unlink()
    os.mkfifo(tmp_path / "000.jpg")  # to open it would wait for ever
    assert "000.jpg: captions name it, but there is no such file" in refusal(photos.read_folder, tmp_path)


# Pictures


def saved(image, kind, **choices):
    file = io.BytesIO()
    image.save(file, kind, **choices)
    return file.getvalue()


def png(width, height, depth=8, colour=0, data=b""):
    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


BAD_PICTURES = {
    "empty": (b"", "not a readable picture: no known format"),
    "text": (b"hello", "no known format"),
    "JPEG cut short": (picture_bytes(1, size=(90, 90))[:600], "not a readable picture"),
    "PNG cut short": (picture_bytes(1, kind="PNG")[:200], "not a readable picture"),
    "PNG with a wrong checksum": (
        picture_bytes(1, kind="PNG").replace(b"IHDR\0\0\0\x18", b"IHDR\0\0\0\x19"),
        "not a readable picture",
    ),
    "GIF header alone": (b"GIF89a", "not a readable picture"),
    "PNG bomb": (png(50_000, 50_000, 1), "exceeds limit"),
    "PNG somewhat too large": (png(10_000, 10_000, 1), "exceeds limit"),
    "PNG of no pixels": (png(0, 0), "not a readable picture"),
    "floating point": (
        saved(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"),
        "floating point numbers without a known scale",
    ),
    "32-bit integers": (
        saved(Image.fromarray(np.full((9, 9), 1 << 20, np.int32)), "TIFF"),
        "32-bit numbers without a known scale",
    ),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no known format"),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_pictures_are_refused_with_a_reason(tmp_path, kind):
    content, complaint = BAD_PICTURES[kind]
    path = write(tmp_path, "p.jpg", content)
    text = refusal(photos.read_picture, path, 8)
    assert complaint in text
    assert str(path) in text


def test_a_picture_of_gigabytes_is_not_read(tmp_path):
    with open(tmp_path / "p.jpg", "wb") as file:
        file.truncate(1 << 33)
    assert "has 8,589,934,592 bytes; expected at most" in refusal(photos.read_picture, tmp_path / "p.jpg", 8)


def grey16(kind, top=65535):
    ramp = np.linspace(0, top, 64 * 64).reshape(64, 64).astype(np.uint16)
    return saved(Image.fromarray(ramp), kind)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_not_cut_off(kind):
    pixels = pictures.decode(grey16(kind), 64)
    assert abs(pixels[0].astype(float) - np.linspace(0, 255, 64 * 64).reshape(64, 64)).max() <= 0.51
    assert (pixels[0] == pixels[2]).all()


def half_transparent(mode):
    image = Image.new("RGBA", (20, 20), (200, 0, 0, 255))
    image.paste((0, 0, 200, 0), (0, 0, 10, 20))
    if mode == "P":
        palette = image.convert("RGB").quantize(2)
        return palette, {"transparency": palette.getpixel((0, 0))}
    return (image.convert("LA") if mode == "LA" else image), {}


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "TIFF")],
)
def test_what_is_transparent_lies_on_white(mode, kind):
    image, choices = half_transparent(mode)
    pixels = pictures.decode(
        saved(image, kind, **choices, **({"lossless": True} if kind == "WEBP" else {})), 20
    )
    assert (pixels[:, :, :8] == 255).all()
    red = (60, 60, 60) if mode == "LA" else (200, 0, 0)
    assert abs(pixels[:, 10, 15].astype(int) - red).max() <= 1


@pytest.mark.parametrize(
    "kind", ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP", "PCX", "ICO", "AVIF"]
)
def test_any_format_is_read(kind):
    image = Image.new("RGB", (32, 32), (200, 100, 50))
    assert abs(pictures.decode(saved(image, kind), 16)[:, 8, 8].astype(int) - (200, 100, 50)).max() <= 6


def test_one_bit_and_cmyk_become_rgb():
    assert set(pictures.decode(saved(Image.new("1", (9, 9), 1), "PNG"), 9).ravel().tolist()) == {255}
    assert pictures.decode(saved(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "TIFF"), 9)[
        :, 4, 4
    ].tolist() == [255, 0, 0]


# Digits


def test_a_bomb_of_digits_is_refused(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">III", 1 << 19, 1 << 5, 1 << 5))
        for _ in range(257):
            file.write(bytes(1 << 20))
    assert "refused, it holds or unpacks to more than 268,435,456 bytes" in refusal(
        digits.read_idx, path, error=digits.DigitsError
    )
    assert "train-images-idx3-ubyte.gz: refused" in refusal(
        checking.check, tmp_path, 1, error=digits.DigitsError
    )


# Prepared folders


def spoil(name, old, new):
    def work(folder):
        path = folder / name
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return work


def cut(name, length):
    return lambda folder: os.truncate(folder / name, length)


BAD_PREPARED = {
    "manifest is no JSON": (cut("manifest.json", 40), "manifest.json: not a readable manifest"),
    "manifest is empty": (cut("manifest.json", 0), "manifest.json: not a readable manifest"),
    "manifest is a list": (lambda folder: write(folder, "manifest.json", "[]"), "its format is []"),
    "manifest lacks what describes it": (
        spoil("manifest.json", b'"layout"', b'"outlay"'),
        "manifest.json: not a readable manifest ('layout')",
    ),
    "earlier format": (
        spoil("manifest.json", b'"format": 2', b'"format": 1'),
        "its format is 1; this version reads format 2",
    ),
    "no digest": (spoil("manifest.json", b'"digest"', b'"digits"'), "has changed since it was prepared"),
    "another size": (
        spoil("manifest.json", b'"image_size": 16', b'"image_size": 8'),
        "has changed since it was prepared",
    ),
    "pixels missing": (
        lambda folder: (folder / "valid.npy").unlink(),
        "valid.npy: is missing from a prepared folder",
    ),
    "captions missing": (lambda folder: (folder / "pictures.json").unlink(), "pictures.json: is missing"),
    "pixels cut short": (cut("train.npy", 5000), "has changed since it was prepared"),
    "caption changed": (
        spoil("pictures.json", b"picture 4", b"picture 5"),
        "has changed since it was prepared",
    ),
    "pixel changed": (spoil("valid.npy", b"\x80", b"\x81"), "has changed since it was prepared"),
}
# What a digest that was made to fit does not tell.
FORGED = {
    "header of objects": (spoil("train.npy", b"'|u1'", b"'|O' "), "not a prepared folder"),
    "header of floats": (spoil("train.npy", b"'|u1'", b"'<f8'"), "not a prepared folder"),
    "header with other sides": (
        spoil("train.npy", b"16, 16", b"8, 32 "),
        "train.npy is uint8 (23, 3, 8, 32); expected uint8 (23, 3, 16, 16)",
    ),
    "pixels empty": (cut("valid.npy", 0), "not a prepared folder"),
    "pictures are a list": (lambda folder: write(folder, "pictures.json", "[]"), "not a prepared folder"),
    "a split is missing": (spoil("pictures.json", b'"valid"', b'"other"'), "not a prepared folder"),
    "pictures are nested": (lambda folder: write(folder, "pictures.json", "[" * 100_000), "not a prepared"),
    "a row too few": (
        lambda folder: write(folder, "pictures.json", '{"train": [["a", ["b"]]], "valid": []}'),
        "expected uint8 (1, 3, 16, 16)",
    ),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    prepare.prepare(own_folder(folder / "source"), folder / "out", size=16)
    return folder / "out"


def spoilt(good, folder, change):
    for file in good.iterdir():
        write(folder, file.name, file.read_bytes())
    change(folder)
    load = {"image_size": 16, "num_train": 100, "num_valid": 100}
    complaint = refusal(lambda: sources.load(str(folder), **load))
    assert str(folder) in complaint
    assert "nbutils data prepare" in complaint
    assert refusal(checking.check, folder, 1) == complaint
    return complaint


@pytest.mark.parametrize("kind", BAD_PREPARED)
def test_bad_prepared_folders_are_refused(good, tmp_path, kind):
    change, complaint = BAD_PREPARED[kind]
    assert complaint in spoilt(good, tmp_path / "out", change)


@pytest.mark.parametrize("kind", FORGED)
def test_folders_that_are_none_are_refused_even_with_the_right_digest(good, tmp_path, kind):
    change, complaint = FORGED[kind]

    def forge(folder):
        change(folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["digest"] = prepared.digest(folder, manifest)
        write(folder, "manifest.json", json.dumps(manifest))

    assert complaint in spoilt(good, tmp_path / "out", forge)
