"""Public data sets: where they live, under which licence, and how they get onto this machine."""
