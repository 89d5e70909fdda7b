"""Prints each row of the Parquet files in a directory as JSON, and checks what Amazon Security Lake requires of them.

parquet.py DIRECTORY; a file is named after its OCSF class.
"""

import json
import pathlib
import sys

import pyarrow.parquet

schemas = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    file = pyarrow.parquet.ParquetFile(path)
    number = path.name.split("-")[0]
    rows = file.read().to_pylist()
    assert schemas.setdefault(number, file.schema_arrow) == file.schema_arrow, f"{path}: another schema of its class"
    assert {str(row["class_uid"]) for row in rows} == {number}, f"{path}: more than one class"
    times = [row["time"] for row in rows]
    assert times == sorted(times), f"{path}: not sorted by time"
    column = file.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD", f"{path}: {column.compression}"
    for row in rows:
        print(json.dumps(row))
