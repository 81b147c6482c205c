"""What runs in a job process: a pure function from a task and its input files to output files.

::

    scratch/                      made by the supervisor, the working directory of the process
      task.json                   headrace.specs.task.Task: the resolved spec and where the inputs are
      (inputs)                    verified copies
      out/                        what the job writes; the supervisor hashes and keeps what Done names
    file descriptor               Progress and Metric messages, at last one Done or Failed; a line each
    stdout, stderr                the job's log, for people

``main.run`` reads the task and calls ``kinds.<kind>.run(task, context)``. Around the kinds:

- ``data``: columns and files. Ingest turns an upload into one Parquet file of typed columns; everything
  after it reads only that file.
- ``algorithms``: one file per algorithm, found by entry point.
- ``architecture``: networks brought as data, read without Keras.
- ``training``, ``evaluation``: what trained kinds share.

Rules. The engine imports neither database nor broker nor settings, and of the domain only specs and errors
(a contract of import-linter keeps it so): it has no credentials to lose, and tests run it on a folder.
Nothing here depends on the worker, the slot, the time or the hash seed. Memory does not grow with the data:
files are read and written in blocks. What modules do at import is import: a fork server imports them before
it forks, and a thread started then would not exist in the child.
"""
