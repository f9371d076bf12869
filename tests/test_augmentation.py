"""Changed training pictures keep captions that are true of them."""

import torch

from nbutils.data import sources
from nbutils.data.augmentation import Augmentation
from nbutils.data.captions import SEPARATOR, Vocabulary
from nbutils.nade.objective import EncodedPictures, InpaintingTask

WORDS = Vocabulary(
    ("<padding>", "<unknown>", SEPARATOR, "left", "right", "Left", "Right", "leftmost", "a", "b", "c")
)


def batch(captions, seed):
    image = torch.arange(len(captions) * 12).reshape(-1, 1, 3, 4)
    caption, length = WORDS.encode(captions)
    return image, *Augmentation.of(WORDS)(image, caption, length, torch.Generator().manual_seed(seed))


def test_a_mirrored_picture_has_left_and_right_swapped_in_its_caption():
    image, changed, caption, length = batch([["a left of b", "Right c leftmost"]] * 64, 0)
    mirrored = (changed == image.flip(3)).flatten(1).all(1)
    assert 16 < int(mirrored.sum()) < 48
    assert torch.equal(changed[~mirrored], image[~mirrored])
    for is_mirrored, row, words in zip(mirrored, caption, length):
        text = WORDS.decode(row[:words])
        sentences = {" ".join(text).split(f" {SEPARATOR} ")[0]} | set(" ".join(text).split(f" {SEPARATOR} "))
        # "of" is unknown to this vocabulary, and so is the mirror word of leftmost
        assert sentences <= (
            {"a right <unknown> b", "Left c <unknown>"}
            if is_mirrored
            else {"a left <unknown> b", "Right c leftmost"}
        )


def test_captions_are_joined_in_any_order_and_number():
    _, _, caption, length = batch([["a", "b", "c"]] * 400, 1)
    seen = {
        " ".join(WORDS.decode(row[:words])).replace(f" {SEPARATOR} ", "")
        for row, words in zip(caption, length)
    }
    assert seen == {
        "a",
        "b",
        "c",
        "ab",
        "ac",
        "ba",
        "bc",
        "ca",
        "cb",
        "abc",
        "acb",
        "bac",
        "bca",
        "cab",
        "cba",
    }
    assert caption.shape[1] == int(length.max())


def test_captions_without_separator_or_words_stay_as_they_are():
    none = Vocabulary(("<padding>", "<unknown>", "a"))
    caption, length = none.encode([["a a"], []])
    image = torch.zeros(2, 3, 4, 4, dtype=torch.long)
    assert torch.equal(Augmentation.of(none)(image, caption, length, torch.Generator())[1], caption)
    assert batch([[], ["a"]], 0)[3].tolist() == [0, 1]


def test_the_task_changes_training_pictures_alone():
    splits = sources.load("scenes", image_size=16, num_train=8, num_valid=4)
    parts = [
        EncodedPictures(part.images, *splits.vocabulary.encode(part.captions))
        for part in (splits.train, splits.valid)
    ]
    augment = Augmentation.of(splits.vocabulary)
    changed = InpaintingTask(pictures=parts[0], held_out=parts[1], hole_size=8, augment=augment)
    images = changed.batch(32, torch.Generator().manual_seed(0))[0]
    known = {tuple(image.flatten().tolist()) for image in splits.train.images}
    flipped = {tuple(image.flip(2).flatten().tolist()) for image in splits.train.images}
    assert {tuple(image.flatten().tolist()) for image in images} <= known | flipped
    assert any(tuple(image.flatten().tolist()) in flipped for image in images)
