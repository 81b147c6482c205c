"""Kind ``upload``: a ``.keras`` file becomes a backbone. Input ``source``, output ``package``."""

from __future__ import annotations

from headrace.specs.jobs import UploadSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine.backbones import keras_zip, network, package, weights
from headrace_workers.engine.context import Context

PACKAGE_FILE = "package.zip"


def run(task: Task, context: Context) -> Done:
    """Run one attempt of an upload job. Raises `BadData` with what is wrong with the file."""
    spec = UploadSpec.model_validate(task.spec)
    context.progress(0.0, "checking")
    upload = keras_zip.read(context.input("source"), context.scratch)
    found = network.check(upload.config)
    arrays = weights.read(upload.weights)
    upload.weights.unlink()
    context.progress(0.5, "loading the weights")
    # Only now: what is refused needs no TensorFlow.
    from headrace_workers.engine import environment
    from headrace_workers.engine.algorithms.keras import Keras
    from headrace_workers.engine.package import weights_digest
    from headrace_workers.engine.training import determinism

    determinism.configure(1, deterministic=True)
    model = network.load(found, arrays, context.scratch)
    digest = weights_digest({weight.path: weight.numpy() for weight in model.weights})
    manifest = package.Manifest(
        architecture=found.config,
        uploaded=spec.digest,
        keras_version=upload.keras_version,
        weights_digest=digest,
    )
    package.write(context.out / PACKAGE_FILE, model, manifest)
    context.progress(1.0, "done")
    return Done(
        result={
            "params": {"architecture": found.config},
            "parameters": model.count_params(),
            "weights_digest": digest,
            "keras_version": upload.keras_version,
            "environment": environment.describe(1, Keras),
        },
        outputs={"package": PACKAGE_FILE},
    )
