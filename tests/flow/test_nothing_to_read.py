"""An account of which nothing is read is never well."""

from datetime import UTC

import pytest

from connectors.files import MBOX
from crm_sync.ports import Surroundings
from tests.flow.conftest import KARIN
from tests.servers.archives import Mbox, a_mail

ACCOUNT = f"{KARIN}/mbox"


@pytest.fixture
def archive(tmp_path):
    """A folder with an mbox, Inbox, that holds a mail."""
    (tmp_path / "archive").mkdir()
    Mbox(tmp_path / "archive" / "Inbox").append(a_mail(1))
    return tmp_path / "archive"


@pytest.fixture
def synced(world, archive):
    """Pulls the archive once, with these folders; what came of it."""
    world.customers("Lena,Nordvik AB,lena@nordvik.example")

    def sync(*folders):
        where = Surroundings(ACCOUNT, world.clock, UTC)
        source = MBOX.build(MBOX.options(path=archive, folders=list(folders)), where)
        world.boxes[ACCOUNT] = (source, KARIN)
        (pulled,) = world.sync(ACCOUNT)
        return pulled

    return sync


def test_a_misspelt_folder_makes_an_account_red_and_names_the_folder(world, synced):
    pulled = synced("Inbxo")
    assert 'there is no folder "Inbxo"' in pulled.error
    assert world.account(ACCOUNT).state == "refused"


def test_the_other_folders_are_read_beside_a_misspelt_one(world, synced):
    pulled = synced("Inbox", "Snet")
    assert 'there is no folder "Snet"' in pulled.error
    assert pulled.logged == 1
    assert world.account(ACCOUNT).state == "refused"


def test_an_account_with_no_folder_to_read_is_red(world, synced):
    pulled = synced("\\Sent")
    assert "there is nothing to read" in pulled.error
    assert world.account(ACCOUNT).state == "refused"
    assert world.account(ACCOUNT).last_success is None
    assert synced("\\Inbox").error is None
    assert world.account(ACCOUNT).state == "ok"
