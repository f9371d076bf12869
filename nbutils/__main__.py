"""`python -m nbutils`."""

from .cli import app

app()
