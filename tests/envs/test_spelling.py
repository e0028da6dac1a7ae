"""What errors say about names that are not known."""

from tolman.envs.spelling import MANY, list_words, suggest


def test_capitals_and_signs_do_not_count():
    words = ["repeat_first/easy", "repeat_previous/easy", "memo"]
    assert suggest("RepeatFirstEasy", words) == " (did you mean 'repeat_first/easy'?)"
    assert suggest("MEMO", words, "core/") == " (did you mean 'core/memo'?)"
    assert suggest("tic_tac_toe", words) == ""


def test_many_words_that_begin_alike_are_counted():
    few = [f"few/{number}" for number in range(MANY - 1)]
    many = [f"many/{number}" for number in range(MANY)]
    assert list_words([*few, *many, "z"]) == f"{', '.join(few)}, many/... ({MANY}), z"
