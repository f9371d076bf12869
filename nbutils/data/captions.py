"""Captions as numbers: words, the vocabulary, and padded batches."""

import re
from collections import Counter
from dataclasses import dataclass

import torch

PADDING, UNKNOWN = "<padding>", "<unknown>"  # words 0 and 1
SEPARATOR = "<separator>"

_WORD = re.compile(rf"{SEPARATOR}|\w+(?:['\u2019]\w+)*|[^\w\s]")


def split_words(captions):
    """The words and punctuation of the captions of one picture, case as given, the captions joined by a separator.

    Args:
        captions: sequence of str.
    Returns:
        list of str.
    """
    return _WORD.findall(f" {SEPARATOR} ".join(caption.replace(SEPARATOR, " ") for caption in captions))


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows; word 0 is padding, word 1 stands for every word that is not among them."""

    words: tuple[str, ...]

    def __post_init__(self):
        if self.words[:2] != (PADDING, UNKNOWN) or len(set(self.words)) != len(self.words):
            raise ValueError(f"words: a vocabulary begins with {PADDING}, {UNKNOWN} and has no word twice; found {self.words[:3]}...")
        object.__setattr__(self, "_number", {word: number for number, word in enumerate(self.words)})

    @classmethod
    def build(cls, captions, least=5):
        """Words seen at least `least` times in the captions (one sequence of str per picture) of a training split, commonest first."""
        counts = Counter(word for picture in captions for word in split_words(picture))
        common = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
        return cls((PADDING, UNKNOWN, *common))

    def __len__(self):
        return len(self.words)

    def encode(self, captions):
        """Captions of many pictures to numbers.

        Args:
            captions: for each of B pictures a sequence of str.
        Returns:
            numbers: int64 (B, T), padded with 0 to the longest.
            lengths: int64 (B,).
        """
        numbers = [[self._number.get(word, 1) for word in split_words(picture)] for picture in captions]
        lengths = torch.tensor([len(row) for row in numbers], dtype=torch.long)
        padded = torch.zeros(len(numbers), int(lengths.max()) if len(numbers) else 0, dtype=torch.long)
        for row, words in zip(padded, numbers):
            row[: len(words)] = torch.tensor(words, dtype=torch.long)
        return padded, lengths

    def decode(self, numbers):
        """The words of one encoded caption, int64 (T,), without padding."""
        return [self.words[number] for number in numbers.tolist() if number]
