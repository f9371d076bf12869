"""Captions: what is taken for one, and captions as numbers: words, the vocabulary, and padded batches."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from .errors import Unusable

PADDING, UNKNOWN = "<padding>", "<unknown>"  # words 0 and 1
SEPARATOR = "<separator>"

MAX_WORDS = 500
MAX_CAPTIONS = 100  # of one picture

_BREAKS = str.maketrans(dict.fromkeys("\t\n\v\f\r\x85\u2028\u2029", " "))
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and lone surrogates
_WORD = re.compile(rf"{SEPARATOR}|\w+(?:['\u2019]\w+)*|[^\w\s]")


def clean(text):
    """A caption as it is kept: line breaks and tabs become spaces, all else stays, HTML and emoji and every
    script.

    Raises:
        Unusable: other control characters, halves of characters, nothing that could be a word, or more than
            500 words.
    """
    text = text.translate(_BREAKS)
    if found := CONTROL.search(text):
        raise Unusable(f"a caption holds the character U+{ord(found[0]):04X} ({text[:30]!a}); expected text")
    if not any(unicodedata.category(character)[0] in "LNS" for character in text):
        raise Unusable(f"a caption has no words ({text[:30]!r})")
    if (count := len(split_words([text]))) > MAX_WORDS:
        raise Unusable(f"a caption has {count:,} words; expected at most {MAX_WORDS}")
    return text


def split_words(captions):
    """The words and punctuation of the captions of one picture, case as given, the captions joined by a
    separator.

    Args:
        captions: sequence of str.
    Returns:
        list of str.
    """
    return _WORD.findall(f" {SEPARATOR} ".join(caption.replace(SEPARATOR, " ") for caption in captions))


@dataclass(frozen=True)
class Vocabulary:
    """The words that a model knows; word 0 is padding, word 1 stands for every word that is not among
    them."""

    words: tuple[str, ...]

    def __post_init__(self):
        if self.words[:2] != (PADDING, UNKNOWN) or len(set(self.words)) != len(self.words):
            raise ValueError(
                f"words: a vocabulary begins with {PADDING}, {UNKNOWN} and has no word twice; found "
                f"{self.words[:3]}..."
            )
        object.__setattr__(self, "_number", {word: number for number, word in enumerate(self.words)})

    @classmethod
    def build(cls, captions, least=5):
        """Words seen at least `least` times in the captions (one sequence of str per picture) of a training
        split, commonest first."""
        counts = Counter(word for picture in captions for word in split_words(picture))
        common = sorted(
            (word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word)
        )
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
        import torch  # takes seconds, which those who only read captions should not pay

        numbers = [[self._number.get(word, 1) for word in split_words(picture)] for picture in captions]
        lengths = torch.tensor([len(row) for row in numbers], dtype=torch.long)
        padded = torch.zeros(len(numbers), int(lengths.max()) if len(numbers) else 0, dtype=torch.long)
        for row, words in zip(padded, numbers):
            row[: len(words)] = torch.tensor(words, dtype=torch.long)
        return padded, lengths

    def decode(self, numbers):
        """The words of one encoded caption, int64 (T,), without padding."""
        return [self.words[number] for number in numbers.tolist() if number]
