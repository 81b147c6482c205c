"""What users ask for, as data: the spec of each kind of job, the catalogue of algorithms, and the task that
carries a resolved spec into a job process. Pure: no database, no heavy import."""
