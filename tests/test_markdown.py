"""Tables in Markdown."""

from ambient_policy.markdown import markdown_table


def test_a_table_has_a_header_a_rule_and_its_rows() -> None:
    text = markdown_table(["arm", "success"], [["ambient", "83.3"], ["cotrain", "41.0"]])
    assert text == "| arm | success |\n| --- | --- |\n| ambient | 83.3 |\n| cotrain | 41.0 |\n"


def test_no_cell_breaks_out_of_its_table() -> None:
    assert markdown_table(["a|b"], [["two\nlines"]]) == "| a\\|b |\n| --- |\n| two lines |\n"
