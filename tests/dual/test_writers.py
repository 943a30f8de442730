"""Files of results: what is there already and is no file."""

from pathlib import Path

import pytest

from deberta_core.errors import InputError
from deberta_dual.data.writers import write_rows, written_rows

ROWS = [{"line": 1, "label": "a"}, {"line": 2, "label": "b"}]


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no such device here")
def test_a_device_is_written_into_and_not_replaced(tmp_path, ending):
    """A full one: told at once, without a word about resuming."""
    link = tmp_path / f"out{ending}"
    for device in ("/dev/full", "/dev/null"):
        link.symlink_to(device)
        if device == "/dev/full":
            with pytest.raises(InputError, match=rf"out{ending} cannot be written: .*No space left.* Begin anew\.$"):
                write_rows(ROWS, link, list)
        else:
            write_rows(ROWS, link, list)
        assert link.is_char_device()
        assert [file.name for file in tmp_path.iterdir()] == [link.name]
        with pytest.raises(InputError, match="such a file cannot be resumed"):
            written_rows(link)
        link.unlink()


def test_a_folder_is_no_place_for_rows(tmp_path):
    """Said before the first row is asked for."""
    with pytest.raises(InputError, match=r"cannot be written: .*directory"):
        write_rows((pytest.fail("a row was made") for _ in ROWS), tmp_path, list)
