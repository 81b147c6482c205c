"""What a job process can do: one module per kind of job, each with ``run(task, context) -> Done``.

A kind reads its inputs and its spec, writes files below ``context.out``, and names them in the `Done` that
it returns. It raises a `headrace.errors.JobError` for what the user can mend. `headrace_workers.engine.main`
imports the module of the one kind that it runs, so a kind may import what it likes at its top.
"""
