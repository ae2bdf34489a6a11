"""What joins topics: registries from a name in the parameters to what does the work."""
