"""Tests on real data are taken in where the environment says where the data is; nothing else is ever left out."""

import os


def pytest_collection_modifyitems(config, items):
    if "NBUTILS_TEST_DATA" not in os.environ:
        without = [item for item in items if "real_data" not in item.keywords]
        config.hook.pytest_deselected(items=[item for item in items if item not in without])
        items[:] = without
