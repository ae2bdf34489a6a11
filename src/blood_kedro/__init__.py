"""blood-kedro: five published blood-smear systems that run, compare and can be trusted on public data."""

__version__ = "0.1.0"
