"""What joins topics of the library: one registry for each thing that a name in the parameters chooses."""
