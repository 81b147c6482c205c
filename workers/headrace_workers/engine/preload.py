"""What the fork servers import before they fork, so that no job pays for it.

Imports, and what `environment` finds in files. An operation of TensorFlow, or a thread, started here would
hang every child for ever.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from headrace.specs.algorithms import catalogue
from headrace_workers.engine import environment, evaluation, kinds, tasks

LIGHT = (
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "encodings.cp437",
    # PyArrow imports it at the first array where it is installed.
    "pandas",
    "pyarrow.csv",
    "pyarrow.parquet",
    "headrace_workers.engine.main",
)
SCIENCE = (
    "scipy.spatial.distance",
    "sklearn.calibration",
    "sklearn.cluster",
    "sklearn.decomposition",
    "sklearn.ensemble",
    "sklearn.inspection",
    "sklearn.linear_model",
    "sklearn.metrics",
    "sklearn.naive_bayes",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
    "skops.io",
    "threadpoolctl",
    "headrace_workers.engine.training.skops_file",
)
HEAVY = (
    "tensorflow",
    "keras",
    "headrace_workers.engine.forecasting.linear",
    "headrace_workers.engine.forecasting.pinball",
    "headrace_workers.engine.training.fit",
    "headrace_workers.engine.training.keras_file",
)


def bare() -> None:
    """Import what every job needs; algorithms that are built on scikit-learn import it themselves then."""
    for name in LIGHT:
        import_module(name)
    for package in (kinds, tasks, evaluation):
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")
    environment.installation()


def light() -> None:
    """Import what jobs without TensorFlow need."""
    bare()
    for name in SCIENCE:
        import_module(name)
    _algorithms("plain")


def heavy() -> None:
    """Import what jobs with TensorFlow need."""
    light()
    for name in HEAVY:
        import_module(name)
    _algorithms("tensorflow")


def _algorithms(runtime: str) -> None:
    for algorithm in catalogue().values():
        if algorithm.runtime == runtime:
            import_module(algorithm.code.partition(":")[0])
