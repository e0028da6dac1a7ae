"""Syllogisms from a file: one by hand, and the data set where it is there."""

import json
from collections import Counter

import pytest

from tolman.envs.data import data_set
from tolman.launchers.probe.syllogism_data import read_syllogisms


def variant(subject, syntax="invalid", belief="believable"):
    return {
        "statement_1": f"All {subject} are warm.",
        "statement_2": "Some suns are warm.",
        "conclusion": f"Therefore, some suns are {subject}.",
        "ground_truth_syntax": syntax,
        "ground_truth_NLU": belief,
    }


def write(path, variants):
    path.write_text(json.dumps({"syllogisms": [{"id": "s1", "variants": variants}]}))
    return path


def test_a_file_by_hand(tmp_path):
    variants = {"N": variant("stars"), "X": variant("blargs", belief="unbelievable")}
    meant, nonsense = read_syllogisms(write(tmp_path / "file.json", variants))
    assert meant.prompt.endswith(
        "valid or invalid.\n\nPremises: All stars are warm. Some suns are warm.\n"
        "Conclusion: Some suns are stars.\nAnswer:"
    )
    assert (meant.group, meant.condition, meant.right) == ("s1", "violate", 1)
    assert (meant.is_valid, meant.is_believable) == (False, True)
    assert (nonsense.condition, nonsense.is_believable) == ("nonsense", None)
    assert "blargs" in nonsense.prompt and nonsense.right == 1


def test_files_that_are_not_what_they_should_be(tmp_path):
    path = tmp_path / "file.json"
    with pytest.raises(ValueError, match=r"cannot be read \(No such file"):
        read_syllogisms(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        read_syllogisms(path)
    with pytest.raises(ValueError, match="'X' is missing"):
        read_syllogisms(write(path, {"N": variant("stars")}))
    with pytest.raises(
        ValueError, match="s1: ground_truth_syntax is 'true': must be valid"
    ):
        read_syllogisms(write(path, {"N": variant("stars", syntax="true"), "X": {}}))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "is '\\[\\]': must be an object"),
        ('{"syllogisms": []}', "has no syllogism: must have at least one"),
        ('{"syllogisms": [{"id": "a", "variants": 3}]}', "is in another format"),
        (
            json.dumps(
                {
                    "syllogisms": [
                        {
                            "id": "s1",
                            "variants": {"N": {**variant("stars"), "conclusion": 5}},
                        }
                    ]
                }
            ),
            "is in another format",
        ),
    ],
)
def test_other_contents_are_told(content, told, tmp_path):
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"file.json: {told}"):
        read_syllogisms(path)


@pytest.mark.skipif(
    data_set("syllogisms_belief2x2") is None, reason="the data is not there"
)
def test_the_data_set_has_the_cells_that_it_says():
    folder = data_set("syllogisms_belief2x2")
    items = read_syllogisms(folder / "syllogisms_master_dataset.json")
    cells = Counter((item.is_valid, item.is_believable) for item in items)
    assert cells == {
        (True, True): 9, (True, False): 10, (False, True): 10, (False, False): 11,
        (True, None): 19, (False, None): 21,
    }  # fmt: skip
