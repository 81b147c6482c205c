"""Headrace: the job platform for machine-learning teams. This package is the domain.

It knows jobs, datasets, models and schedules, and the SQL database in which all of them live; it knows
no Flask, no Celery worker and no TensorFlow. The entry points (web, worker, scheduler, command line)
parse, call a function ``f(session, …)`` of this package, and own the transaction around it.
"""

from importlib.metadata import version

__version__ = version("headrace")
