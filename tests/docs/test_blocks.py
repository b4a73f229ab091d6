"""Which commands a page has, and what its marks say of them."""

from __future__ import annotations

import pytest

from tests.docs.blocks import PageError, blocks_of

PAGE = """# Title

```sh
make demo     # everything
make up       # in another terminal
```

<!-- not run: needs a registry -->
```console
$ docker push \\
>   image
pushed
```

<!-- given: flowers.keras, pets/ -->

<!-- shows: daisy -->
<!-- not run `make test`: CI runs it -->
```sh
# a remark
cat <<END
daisy
END
make test
```

<!-- file: train.py -->
```python
print("trained")
```

```python
not_of_the_page()
```
"""


def test_commands_come_whole_and_in_the_order_of_the_page() -> None:
    found = [(command.line, command.text) for block in blocks_of(PAGE) for command in block.commands]
    assert found == [
        (4, "make demo     # everything"),
        (5, "make up       # in another terminal"),
        (10, "docker push \\\n  image"),
        (21, "cat <<END\ndaisy\nEND"),
        (24, "make test"),
    ]


def test_marks_belong_to_the_block_behind_them() -> None:
    demo, push, given, file = blocks_of(PAGE)
    assert (demo.not_run, demo.given) == (None, ())
    assert push.not_run == "needs a registry"
    assert (given.not_run, given.given, given.shows) == (None, ("flowers.keras", "pets/"), ("daisy",))
    assert [command.not_run for command in given.commands] == [None, "CI runs it"]
    assert (file.file, file.text) == ("train.py", 'print("trained")\n')


@pytest.mark.parametrize(
    ("command", "stays"),
    [
        ("make up   # until Ctrl-C", True),
        ("KEYS=k .venv/bin/splitway up --mtls", True),
        ("docker compose -f compose.yaml up --build", True),
        ("splitway up -d", False),
        ("docker compose up --build --detach --wait", False),
        ("docker compose exec gateway splitway up", False),
        ("splitway classify up.jpg  # after splitway up", False),
    ],
)
def test_what_stays_until_ctrl_c_is_told_from_what_returns(command: str, stays: bool) -> None:
    ((block,),) = (block.commands for block in blocks_of(f"```sh\n{command}\n```"))
    assert block.stays is stays


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("<!-- not run -->\n```sh\nmake\n```", "line 1: 'not run ' is no mark"),
        ("<!-- given: a -->\nText.\n```sh\nmake\n```", "line 2: a mark stands directly in front of a block"),
        ("<!-- given: a -->\n```json\n{}\n```", "line 2: a mark belongs to a block of sh or console"),
        ("<!-- not run `make tests`: slow -->\n```sh\nmake test\n```", "no command of the block begins with"),
        ("```sh\nmake", "line 1: the block has no end"),
    ],
    ids=["no reason", "far away", "no commands", "stale", "no end"],
)
def test_a_wrong_mark_is_refused_with_its_line(page: str, says: str) -> None:
    with pytest.raises(PageError, match=says):
        blocks_of(page)
