"""What a haematologist reads of a smear, computed from the tables of a count."""
