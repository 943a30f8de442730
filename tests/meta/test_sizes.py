"""Files stay short enough to be read."""

HARD_LIMIT = 400  # lines; above, a file must be split
SOFT_LIMIT = 300  # lines; above, it is printed (`pytest -s`), and worth a thought


def test_no_file_is_too_long(python_files):
    lines = {file: source.count("\n") for file, source in python_files.items()}
    long = sorted(((count, file) for file, count in lines.items() if count > SOFT_LIMIT), reverse=True)
    print(*(f"{count} lines: {file}" for count, file in long), sep="\n")
    assert [file for count, file in long if count > HARD_LIMIT] == []
