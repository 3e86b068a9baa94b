"""Keywords for type checkers have the names of the options that they stand for."""

from __future__ import annotations

from dataclasses import fields

import pytest

import lydite as ly
from lydite.api.chip import DesignOptions
from lydite.api.keywords import DesignKeywords, ModelKeywords, StepKeywords
from lydite.api.options import ModelOptions, help_of
from lydite.api.plan_options import PlanOptions
from lydite.api.step_options import ClusterOptions, FailureOptions

GROUPS = {
    ModelKeywords: (ModelOptions,),
    DesignKeywords: (ModelOptions, DesignOptions),
    StepKeywords: (ModelOptions, ClusterOptions, PlanOptions, FailureOptions),
}


@pytest.mark.parametrize("keywords", GROUPS, ids=lambda kind: kind.__name__)
def test_the_names_are_the_options(keywords):
    names = {field.name for group in GROUPS[keywords] for field in fields(group)}
    assert keywords.__annotations__.keys() | ModelKeywords.__annotations__.keys() >= names
    assert keywords.__optional_keys__ == names


@pytest.mark.parametrize("group", dict.fromkeys(g for groups in GROUPS.values() for g in groups))
def test_every_option_has_a_help_that_stands_alone_and_is_described(group):
    for name, note in help_of(group).items():
        assert note.text[0].isupper() or note.text.startswith("float32")
        assert note.text.endswith(".")
        assert len(note.text.split()) > 2
        assert f"{name}" in (group.__doc__ or "")


def test_symbolic_sizes_by_name_or_as_texts():
    by_name = ly.ModelOptions(dim={"N": 2, "length": 8})
    assert by_name.dim == ("N=2", "length=8")
    assert ly.ModelOptions(dim="N=2").dim == ("N=2",)
