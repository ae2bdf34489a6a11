"""Step 5 of a count: counts and masks beside a reference, where there is one."""
