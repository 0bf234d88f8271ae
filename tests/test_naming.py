"""Tables of names as people have them, and patterns of names."""

import pytest

from custom_components.hy_heating.naming import NamePattern, NameRow, TableError, read_table


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("meter number,name,area\n23227310,3-2-501,Building 3\n", id="comma"),
        pytest.param("meter number;name;area\r\n23227310;3-2-501;Building 3\r\n", id="semicolon"),
        pytest.param("meter number\tname\tarea\n23227310\t3-2-501\tBuilding 3", id="tab"),
        pytest.param("\ufeffMeter_Number,NAME,Area\n23227310,3-2-501,Building 3\n", id="BOM"),
        pytest.param("表号,名称,区域\n23227310,3-2-501,Building 3\n", id="Chinese"),
        pytest.param("area,x,name,number\nBuilding 3,?,3-2-501,23227310\n", id="another order"),
        pytest.param('meter,name,area\n"23227310","3-2-501","Building\t3"\n', id="quoted"),
        pytest.param("name,number,area\n 3-2-501 , 23227310 ,Building  3,,\n", id="blanks"),
    ],
)
def test_one_meter_in_many_forms(text: str) -> None:
    assert read_table(text) == [NameRow(2, "23227310", "3-2-501", "Building 3")]


def test_lines_are_counted_as_an_editor_does() -> None:
    text = '\n\nmeter,name\n\n23227310,"a\nb"\n23227311,"say ""c"""\n;,\n23227312\n'
    assert read_table(text) == [
        NameRow(5, "23227310", "a b", ""),
        NameRow(7, "23227311", 'say "c"', ""),
        NameRow(8, ";", "", ""),
        NameRow(9, "23227312", "", ""),
    ]


@pytest.mark.parametrize(
    ("text", "key", "detail"),
    [
        ("", "table_without_numbers", ""),
        ("\n \n", "table_without_numbers", ""),
        ("name,area\nA,B\n", "table_without_numbers", ""),
        ('number,name\n23227310,"A\n', "table_unreadable", "2: unexpected end of data"),
        ('number,name\n1,A\n2,"B"C\n', "table_unreadable", "3: ',' expected after '\"'"),
    ],
)
def test_what_is_no_table(text: str, key: str, detail: str) -> None:
    with pytest.raises(TableError) as refused:
        read_table(text)
    assert (refused.value.key, refused.value.detail) == (key, detail)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (NameRow(2, "2322731A", "A", ""), None),
        (NameRow(2, "23227310", "", "A"), None),
        (NameRow(2, "23227310", "A" * 255, "A" * 255), None),
        (NameRow(2, "2322731", "A", ""), "no_meter_number"),
        (NameRow(2, "23227310.0", "A", ""), "no_meter_number"),
        (NameRow(2, "", "A", ""), "no_meter_number"),
        (NameRow(2, "23227310", "", ""), "nothing_to_set"),
        (NameRow(2, "23227310", "A" * 256, ""), "too_long"),
        (NameRow(2, "23227310", "", "A" * 256), "too_long"),
    ],
)
def test_what_is_wrong_with_a_line(row: NameRow, problem: str | None) -> None:
    assert row.problem == problem


@pytest.mark.parametrize(
    ("pattern", "area", "name", "found"),
    [
        ("{building}-{unit}-{flat}", "{building}, {unit}", "3-2-501", "3, 2"),
        ("{building}-{unit}-{flat}", "{building}", "3-2", None),
        ("{building}-{unit}-{flat}", "{flat}", "3-2-5-01", "5-01"),
        ("{building}-{unit}-{flat}", "{flat}", "--", None),
        ("{楼}栋{单元}单元{户}室", "{楼}栋", "3栋2单元501室", "3栋"),
        ("Flat {flat}.", "Floor of {flat}", "Flat 7.", "Floor of 7"),
        ("Flat {flat}.", "Floor of {flat}", "Flat 7x", None),
    ],
)
def test_the_area_follows_from_the_name(
    pattern: str, area: str, name: str, found: str | None
) -> None:
    assert NamePattern(pattern, area).area(name) == found


@pytest.mark.parametrize(
    ("pattern", "area", "faulty"),
    [
        ("", "{a}", "pattern"),
        ("flat", "flat", "pattern"),
        ("{a}{b}", "{a}", "pattern"),
        ("{a}-{a}", "{a}", "pattern"),
        ("{}-{b}", "{b}", "pattern"),
        ("{1}-{b}", "{b}", "pattern"),
        ("{a}-{b", "{a}", "pattern"),
        ("{a.b}-{c}", "{c}", "pattern"),
        ("{a}-{b}", "", "area"),
        ("{a}-{b}", "cellar", "area"),
        ("{a}-{b}", "{c}", "area"),
        ("{a}-{b}", "{a} {", "area"),
        ("{a}-{b}", "{a.__class__}", "area"),
    ],
)
def test_what_is_no_pattern(pattern: str, area: str, faulty: str) -> None:
    with pytest.raises(ValueError, match=faulty):
        NamePattern(pattern, area)
