"""Errors of pictures, captions and digits, told apart by who can name the file."""


class PhotosError(ValueError):
    """A source, a captions file, a picture or a prepared folder that cannot be used; the message names it."""


class DigitsError(ValueError):
    """A file of digits that cannot be used or had; the message names it and says what to do."""


class Unusable(ValueError):
    """Why a file, a picture or a caption cannot be used, without its name, which the caller knows and
    adds."""
