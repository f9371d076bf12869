"""Training pictures changed at random in ways that keep their captions true."""

from dataclasses import dataclass

import torch

from .captions import SEPARATOR

_PAIRS = (
    ("left", "right"),
    ("leftmost", "rightmost"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("clockwise", "counterclockwise"),
)


@dataclass(frozen=True)
class Augmentation:
    """Mirrors half of the pictures, with left and right swapped in their captions, and of a picture's
    captions joins some, in random order.

    Colours, sizes and places stay as they are, because captions speak of them. What is written in a picture
    is mirrored too, and the verb "left" becomes "right": words are swapped without understanding.

    Attributes:
        mirrored: int64 (V,), for every word's number that of the word for the mirrored picture, 1 where the
            vocabulary lacks it.
        separator: number of the word between captions, or None where the vocabulary lacks it; then captions
            stay joined as they are.
    """

    mirrored: torch.Tensor
    separator: int | None

    @classmethod
    def of(cls, vocabulary):
        """The augmentation for captions in the words of a `captions.Vocabulary`."""
        number = {word: index for index, word in enumerate(vocabulary.words)}
        mirrored = torch.arange(len(vocabulary))
        for pair in _PAIRS:
            for change in (str.lower, str.capitalize, str.upper):
                for word, other in (pair, pair[::-1]):
                    if change(word) in number:
                        mirrored[number[change(word)]] = number.get(change(other), 1)
        return cls(mirrored, number.get(SEPARATOR))

    def __call__(self, image, caption, length, generator):
        """Change a batch.

        Args:
            image: int64 (B, C, H, W); caption: int64 (B, T), 0 = padding; length: int64 (B,).
        Returns:
            the three, changed, the captions padded to the longest of them.
        """
        mirror = torch.rand(len(image), generator=generator) < 0.5
        image = torch.where(mirror[:, None, None, None], image.flip(3), image)
        caption = torch.where(mirror[:, None], self.mirrored[caption], caption)
        if self.separator is not None:
            rows = [
                self._some(row[:words].tolist(), generator) for row, words in zip(caption, length.tolist())
            ]
            length = torch.tensor([len(row) for row in rows])
            caption = torch.zeros(len(rows), int(length.max()), dtype=torch.long)
            for row, words in zip(caption, rows):
                row[: len(words)] = torch.tensor(words, dtype=torch.long)
        return image, caption, length

    def _some(self, words, generator):
        sentences, start = [], 0
        for end in [i for i, word in enumerate(words) if word == self.separator] + [len(words)]:
            sentences, start = [*sentences, words[start:end]], end + 1
        kept = int(torch.randint(1, len(sentences) + 1, (), generator=generator))
        chosen = [sentences[i] for i in torch.randperm(len(sentences), generator=generator)[:kept].tolist()]
        return [word for sentence in chosen for word in (self.separator, *sentence)][1:]
