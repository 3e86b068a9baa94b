import errno
import os

import pytest

from lydite.errors import InputError, LyditeError
from lydite.files import inside, write_atomic


def test_replaces_and_leaves_no_trace(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_atomic(path, "old")
    write_atomic(path, b"new")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "kept.txt"
    write_atomic(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LyditeError, match=r"kept\.txt: cannot write: No space left on device"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "link/x"])
def test_no_way_out_of_the_folder(tmp_path, name):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="outside the folder"):
        inside(tmp_path / "model", name)


def test_inside(tmp_path):
    assert inside(tmp_path, "a/b.bin") == tmp_path.resolve() / "a" / "b.bin"
