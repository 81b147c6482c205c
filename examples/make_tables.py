"""Make the example tables `iris.csv`, `wine.csv` and `diabetes.csv` from the copies that scikit-learn ships.

Usage: `python examples/make_tables.py FOLDER`. Nothing is changed but the form: feature columns under
readable names, the class as its name, numbers in the shortest form that reads back the same.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

from sklearn.datasets import load_diabetes, load_iris, load_wine

TABLES = {
    "iris": (load_iris, {}, "species"),
    "wine": (load_wine, {}, "cultivar"),
    "diabetes": (load_diabetes, {"scaled": False}, "progression"),
}


def column_name(text: str) -> str:
    """Return ``sepal length (cm)`` as ``sepal_length_cm``."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def write_table(folder: Path, name: str) -> None:
    """Write one table as CSV, with the target as its last column."""
    load, options, target = TABLES[name]
    bunch = load(**options)
    classes = getattr(bunch, "target_names", None)
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*map(column_name, bunch.feature_names), target])
        for features, y in zip(bunch.data, bunch.target, strict=True):
            label = classes[y] if classes is not None else f"{y:g}"
            writer.writerow([*(f"{value:.10g}" for value in features), label])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    for table in TABLES:
        write_table(Path(sys.argv[1]), table)
