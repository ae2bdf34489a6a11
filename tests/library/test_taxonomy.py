"""The hierarchy of classes."""

from __future__ import annotations

import pytest

from blood_kedro.library.core import taxonomy
from blood_kedro.library.core.errors import UnknownLabelError
from blood_kedro.library.reporting.published_sahay_2025 import AP_50_PER_CLASS, COMPOSITION
from blood_kedro.library.sources.registry import SOURCES


def test_every_label_of_every_source_is_a_class() -> None:
    assert set(taxonomy.SOURCE_LABELS) == set(SOURCES)
    for labels in taxonomy.SOURCE_LABELS.values():
        assert set(labels.values()) <= set(taxonomy.PARENT)


def test_relations() -> None:
    assert taxonomy.ancestors("band_neutrophil") == ("band_neutrophil", "neutrophil", "wbc")
    assert taxonomy.is_a("teardrop", "rbc")
    assert not taxonomy.is_a("rbc", "teardrop")
    assert taxonomy.roll_up("myelocyte", taxonomy.SAHAY_2025) == "immature_granulocyte"
    assert taxonomy.roll_up("wbc", taxonomy.SAHAY_2025) is None
    assert [taxonomy.coarse(name) for name in ("teardrop", "basophil", "platelet", "erythroblast")] == [
        "rbc",
        "wbc",
        "platelet",
        "wbc",
    ]


def test_paper_view_is_the_published_table() -> None:
    assert len(taxonomy.SAHAY_2025) == 24
    assert set(taxonomy.SAHAY_2025) == set(AP_50_PER_CLASS)
    assert sum(annotations for name, (_, annotations) in COMPOSITION.items() if name != "total") == 46332


def test_unknown_label_names_the_file() -> None:
    with pytest.raises(UnknownLabelError, match=r"a/b\.xml"):
        taxonomy.from_source("bccd", "Blob", "a/b.xml")
    with pytest.raises(UnknownLabelError, match="Blob"):
        taxonomy.ancestors("Blob")
