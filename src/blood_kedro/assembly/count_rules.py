"""Rules that make a number of red cells of their masks, by the name that `count_rule` has in the parameters.

Adding one: a module with a `CountRule` beside `library/counting/count/rules.py`, and a line here. Red cells by every
rule are columns of the counts table; the interval is of the one that an input names.
"""

from __future__ import annotations

from blood_kedro.library.core.registry import chosen
from blood_kedro.library.counting.count.rules import INSTANCES, KDE_PEAKS, MODE, CountRule

COUNT_RULES: dict[str, CountRule] = {"instances": INSTANCES, "kde_peaks": KDE_PEAKS, "mode": MODE}


def check_count_rule(name: str, where: str) -> None:
    """Whether there is a rule of this name.

    Raises:
        ConfigurationError: there is none.
    """
    chosen(COUNT_RULES, name, f"{where}.count_rule")
