"""The figures of a report, one a module: a study in, a figure out."""
