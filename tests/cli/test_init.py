from __future__ import annotations

import pytest

from proxy import yamlfile
from proxy.cli.init import Exists, checked_url, ports_for, write_project
from proxy.cli.words import BadWord


def test_init_writes_a_config_and_a_rules_folder_for_the_two_addresses(tmp_path):
    written, steps = write_project(tmp_path, "http://127.0.0.1:9001/", "http://[::1]:9002")

    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "config.yaml",
        "rules/_defaults.yaml",
        "rules/users.yaml",
    ]
    config = yamlfile.parse(written[0].read_text(), "config.yaml")
    assert not config.problems
    assert config.values["sides"] == {
        "legacy": {"url": "http://127.0.0.1:9001"},
        "modern": {"url": "http://[::1]:9002"},
    }
    assert "banyan check" in steps


def test_init_never_overwrites(tmp_path):
    (tmp_path / "config.yaml").write_text("mine")

    with pytest.raises(Exists):
        write_project(tmp_path, "http://a:1", "http://b:2")

    assert (tmp_path / "config.yaml").read_text() == "mine"
    assert not (tmp_path / "rules").exists()


def test_a_rules_folder_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "rules").mkdir()

    written, _ = write_project(tmp_path, "http://a:1", "http://b:2")

    assert [path.name for path in written] == ["config.yaml"]
    assert list((tmp_path / "rules").iterdir()) == []


@pytest.mark.parametrize(
    "word",
    ["", "127.0.0.1:9001", "ftp://a", "http://", "http://a:port", "http://a:99999", "http://u:p@a", "http://a/api", "http://a?x=1",
     "http://a b", 'http://a"b', "http://a,b"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_before_anything_is_written(tmp_path, word):
    with pytest.raises(BadWord):
        write_project(tmp_path, word, "http://b:2")

    assert list(tmp_path.iterdir()) == []


def test_the_two_sides_are_two_applications(tmp_path):
    with pytest.raises(BadWord):
        write_project(tmp_path, "http://a:1", "http://a:1/")


def test_ports_of_the_sides_are_left_to_them():
    assert ports_for("http://127.0.0.1:9001", "http://b") == (8080, 8081, 8082)
    assert ports_for("http://127.0.0.1:8081", "http://b") == (18080, 18081, 18082)


def test_an_address_loses_only_its_last_slash():
    assert checked_url(" https://old.example:8443/ ", "--legacy") == "https://old.example:8443"
