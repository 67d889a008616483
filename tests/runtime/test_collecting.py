"""Collections of cycles are rare while somebody pulls, and as before afterwards."""

import gc

import pytest

from crm_sync.runtime.collecting import rare_collections


@pytest.fixture(autouse=True)
def _untouched():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_collections_are_rare_until_the_last_user_is_done():
    before = gc.get_threshold()

    with rare_collections():
        rare = gc.get_threshold()
        with rare_collections():
            pass
        after_the_first = gc.get_threshold()

    assert rare[0] > before[0]
    assert after_the_first == rare
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_an_error_passes_through_and_leaves_nothing_changed():
    before = gc.get_threshold()

    with pytest.raises(ValueError, match="trouble"), rare_collections():
        raise ValueError("trouble")

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
