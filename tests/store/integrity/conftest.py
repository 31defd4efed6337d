"""What tests of seals need."""

from __future__ import annotations

import pytest
from sealed_rows import Rows
from store_blocks import RECORD, block

from kokoro_lab.store import Store


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    store = Store(tmp_path_factory.mktemp("sealed") / "tables")
    for number in range(4):
        store.append_block(RECORD, block(number))
    return store.rows("cells"), store.rows("samples")
