"""Models: named, versioned results of training, each with its lineage, and aliases that point at versions.

A version is written once, in the transaction in which its train job succeeds, and never changes; beside it
stands what the last job found that made it again. Numbers rise from 1 and are not used again. What moves are
aliases, in one step each, with their history kept.
"""
