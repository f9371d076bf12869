"""The digits that a `Job` is trained on, by name."""

from dataclasses import asdict, dataclass

from ..data import digits


@dataclass(frozen=True, kw_only=True)
class DigitData:
    """Digits to train on; see `digits.load`."""

    source: str = "embedded"
    image_size: int = 28
    num_train: int | None = None
    num_valid: int | None = None
    num_test: int | None = None

    def load(self):
        """The digits, `digits.Splits`."""
        return digits.load(**asdict(self))
