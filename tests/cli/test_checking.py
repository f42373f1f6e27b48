from __future__ import annotations

import json
import os

from tests.cli.place import CONFIGURATION, USERS

BAD_USERS = USERS.replace("weight: 5 ", "weight: 140")
BAD_CONFIGURATION = "component: configuration\nphaze: off\ncompare: {ignore: ['$.a[']}\n"


def test_all_is_well(bare):
    said = bare.say("check")

    assert (said.code, said.out) == (0, "")
    assert said.err == "config.yaml, 2 rule files in rules: all is well\n"


def test_an_empty_folder_is_fine(bare):
    for path in (bare.folder / "rules").iterdir():
        path.unlink()

    assert bare.say("check").code == 0


def test_every_problem_of_all_files_is_named_at_once(bare):
    bare.write("rules/users.yaml", BAD_USERS)
    bare.write("rules/configuration.yaml", BAD_CONFIGURATION)
    bare.write("config.yaml", "lsten: x\n")

    said = bare.say("check")

    assert said.code == 4
    places = [line.partition(": ")[0] for line in said.out.splitlines() if line[:1] not in (" ", "$")]
    assert places[:2] == ["config.yaml:1:1", "rules/configuration.yaml:2:1"]
    assert "rules/users.yaml:2:9" in places
    assert "did you mean `listen`?" in said.out
    assert "did you mean `phase`?" in said.out
    assert "^" in said.out


def test_what_an_empty_store_would_not_be_seeded_with_is_a_problem(empty):
    empty.write("rules/users.yaml", USERS.replace("weight: 5 ", "weight: 0 "))
    empty.write("rules/configuration.yaml", CONFIGURATION + "weight: 50\n")
    sentence = "configuration.yaml:5:9: weight: users should be at least as far first: it is at off, "

    said = empty.say("check")

    assert said.code == 4
    assert said.out.startswith(f"rules/{sentence}")
    assert sentence in empty.say("rules", "push").err


def test_a_warning_about_a_file_as_a_whole_names_no_key(bare):
    bare.write("rules/idle.yaml", "component: idle\n")

    assert bare.say("check").out == "rules/idle.yaml:1:1: warning: claims no route, so it gets no request\n"


def test_a_rule_of_comparison_that_has_ended_is_a_warning_where_it_stands(bare):
    compare = "compare:\n  ignore:\n    - {path: $.a, until: 2020-02-29}\n    - {path: $.b, until: 2999-12-31}\n"
    bare.write("rules/users.yaml", USERS + compare)

    said = bare.say("check")

    assert (said.code, said.out) == (
        0,
        "rules/users.yaml:8:7: warning: compare.ignore.0: `ignore $.a` has ended (2020-02-29): "
        "take it out, or give it more time\n",
    )


def test_for_a_pull_request_each_problem_is_an_annotation(bare):
    bare.write("rules/users.yaml", BAD_USERS)

    said = bare.say("check", "--format", "github")

    assert said.code == 4
    assert said.out == "::error file=rules/users.yaml,line=2,col=9::weight: should be 0 to 100, is 140\n"


def test_an_annotation_stays_on_one_line(bare):
    bare.write("rules/configuration.yaml", BAD_CONFIGURATION)

    lines = bare.say("check", "--format", "github").out.splitlines()

    assert all(line.startswith("::error file=") for line in lines)
    assert any("%0A" in line for line in lines)


def test_for_programs_it_is_json(bare):
    bare.write("rules/users.yaml", BAD_USERS)

    said = bare.say("check", "--format", "json")

    assert json.loads(said.out)["problems"] == [
        {"file": "rules/users.yaml", "line": 2, "column": 9, "where": "weight", "what": "should be 0 to 100, is 140"}
    ]


def test_expectations_that_are_not_met_are_problems(bare):
    bare.write("rules/expect.yaml", "- {request: GET /api/users/42, component: configuration}\n")

    said = bare.say("check")

    assert said.code == 4
    assert said.out.startswith("rules/expect.yaml:1:")
    bare.write("rules/expect.yaml", "- {request: GET /api/users/42, component: users, kind: read, entity: 42}\n")
    assert bare.say("check").code == 0


def test_what_is_allowed_and_perhaps_not_meant_is_a_warning(bare):
    bare.write("rules/users.yaml", USERS.replace("weight: 5", "phase: shadow\nweight: 5"))

    said = bare.say("check")

    assert said.code == 0
    assert said.out.startswith("rules/users.yaml:3:9: warning: weight: has no effect in phase shadow")
    assert bare.say("check", "--format", "github").out.startswith("::warning file=rules/users.yaml,line=3")


def test_a_folder_that_is_not_there_is_a_problem(bare):
    bare.configure(rules="nowhere")

    said = bare.say("check")

    assert said.code == 4
    assert "nowhere" in said.out


def test_a_pipe_in_the_folder_is_a_problem_and_nothing_waits_for_it(bare):
    os.mkfifo(bare.folder / "rules/pipe.yaml")

    assert bare.say("check").out == "rules/pipe.yaml: is no regular file\n"
