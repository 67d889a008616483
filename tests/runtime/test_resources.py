"""Files that ship with the program, in a checkout and in an installation."""

import pytest

from crm_sync.runtime import resources


def test_what_is_missing_is_named():
    with pytest.raises(FileNotFoundError, match="lacks the file no-such-file"):
        resources.config_file("no-such-file")


def test_an_installed_copy_is_taken_before_the_checkouts(tmp_path, monkeypatch):
    (tmp_path / "_config" / "templates" / "sv").mkdir(parents=True)
    (tmp_path / "_config" / "crm-sync.toml").write_text("# installed")
    (tmp_path / "_config" / "templates" / "sv" / "greeting_birthday.txt").write_text("Grattis å")
    (tmp_path / "_config" / "templates" / "top.txt").write_text("top")
    (tmp_path / "_config" / "templates" / ".hidden").write_text("no")
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    resources.templates.cache_clear()

    try:
        assert resources.init_text() == "# installed"
        assert resources.templates() == {
            "sv/greeting_birthday.txt": "Grattis å",
            "top.txt": "top",
        }
    finally:
        resources.templates.cache_clear()
