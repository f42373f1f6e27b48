from __future__ import annotations


def test_init_writes_files_that_check_finds_right(bare):
    (bare.folder / "config.yaml").unlink()
    for path in (bare.folder / "rules").iterdir():
        path.unlink()
    (bare.folder / "rules").rmdir()

    said = bare.say("init", "--legacy", "http://127.0.0.1:9001", "--modern", "http://127.0.0.1:9002")

    assert said.code == 0
    assert said.out.splitlines() == ["wrote config.yaml", "wrote rules/_defaults.yaml", "wrote rules/users.yaml"]
    assert "banyan run" in said.err
    assert bare.say("check").code == 0
    assert bare.say("explain", "GET", "/api/users/42").code == 0


def test_init_overwrites_nothing(bare):
    before = (bare.folder / "config.yaml").read_text()

    said = bare.say("init", "--legacy", "http://a:1", "--modern", "http://b:2")

    assert said.code == 1
    assert "is there already" in said.err
    assert (bare.folder / "config.yaml").read_text() == before


def test_init_somewhere_else(bare):
    said = bare.say("init", "--legacy", "http://a:1", "--modern", "http://b:2", "--dir", "there")

    assert said.code == 0
    assert (bare.folder / "there/config.yaml").exists()


def test_init_with_no_address_is_a_usage_error(bare):
    assert bare.say("init", "--legacy", "nowhere", "--modern", "http://b:2", "--dir", "there").code == 2
    assert bare.say("init", "--legacy", "http://a:1").code == 2
    assert not (bare.folder / "there").exists()


def test_run_in_an_unusual_spelling_is_run_all_the_same(bare):
    bare.write("config.yaml", "lsten: 1\n")

    assert bare.say("-cconfig.yaml", "run").code == 4
