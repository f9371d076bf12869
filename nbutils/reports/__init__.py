"""Notebooks: run, rendered, published, and what they show."""

import sys

# nbformat loads jsonschema, which loads this where it is installed and takes it for missing here: a grammar
# of international addresses, built at every import for more than a second of processor time, of which no
# notebook's schema makes use.
sys.modules.setdefault("rfc3987_syntax", None)
