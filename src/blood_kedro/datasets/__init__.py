"""How things are stored: catalog datasets that kedro-datasets does not have."""
