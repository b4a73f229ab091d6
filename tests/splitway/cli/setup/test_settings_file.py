"""splitway.toml: what may stand in it, what wins over it, and whose files are believed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from splitway.cli.main import app
from splitway.cli.setup.settings_file import CONFIG, FILE, use_files
from splitway.errors import SetupError
from splitway.security import own_files

ROOT = get_command(app)


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, no variable, and no settings of the user who runs the tests."""
    for name in [name for name in os.environ if name.startswith("SPLITWAY_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir(mode=0o755)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", dict(os.environ))


def _write(text: str, path: Path = FILE) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_each_setting_becomes_the_variable_that_children_have_too() -> None:
    _write('threads = 2\nmodels = "/srv"\nhosts = ["a.example", "b.example"]\n\n[hedge]\nfeature_extractor = 0.95\n')
    found = use_files(ROOT)
    assert {name: (setting.value, setting.line) for name, setting in found.items()} == {
        "SPLITWAY_THREADS": ("2", 1),
        "SPLITWAY_MODELS": ("/srv", 2),
        "SPLITWAY_HOSTS": ("a.example,b.example", 3),
        "SPLITWAY_HEDGE": ('{"feature_extractor": 0.95}', 5),
    }
    assert {name: os.environ[name] for name in found} == {name: setting.value for name, setting in found.items()}
    assert os.environ[CONFIG] == ""
    assert use_files(ROOT) == {}  # as in a child


def test_a_variable_wins_over_the_folders_file_and_that_over_the_users(tmp_path: Path) -> None:
    _write("threads = 2\nqueue_rows = 7\nservice_token_file = 'token'\n")
    _write("threads = 3\nqueue_rows = 8\nmax_rows = 9\n", tmp_path / "home" / "splitway" / FILE)
    os.environ |= {"SPLITWAY_THREADS": "", "SPLITWAY_SERVICE_TOKEN": "hush"}
    assert {name: setting.value for name, setting in use_files(ROOT).items()} == {
        "SPLITWAY_QUEUE_ROWS": "7",
        "SPLITWAY_MAX_ROWS": "9",
    }


def test_options_win_over_a_file(tmp_path: Path) -> None:
    _write('keys_file = "of-file.json"\n')
    (tmp_path / "given.json").write_text('{"format": 1, "keys": []}')
    assert "there is no file of-file.json" in _run("keys", "revoke", "x").stderr
    assert "given.json has no key" in _run("keys", "revoke", "x", "--file", "given.json").stderr


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("\nthread = 2", 2, "there is no setting 'thread'; did you mean 'threads'?"),
        ("SPLITWAY_THREADS = 2", 1, ""),
        ("threads = 'two'", 1, "threads: it must be a whole number"),
        ("# how many\n\nthreads = 2.5", 3, "threads: it must be a whole number"),
        ("[engine]\nname = 'litert'", 1, "engine: it must be 'auto', 'litert' or 'tensorflow'"),
        ("drain_s = 'soon'", 1, "drain_s: it has the wrong type"),
        ("models = 2026-11-30", 1, "it must be text, a number"),
        ("hedge = { nobody = 0.9 }", 1, "hedge: there is no stage nobody"),
        ("url = 'http://evil.example'", 1, "must not send the command line to another address"),
        ("config = 'other.toml'", 1, "cannot name another file"),
        ("auth = 'open-to-everyone'", 1, "must not turn a protection off: set SPLITWAY_AUTH itself"),
        ("published_on = '127.0.0.1'", 1, "must not turn a protection off"),
        ("ca = 'evil.pem'", 1, "must not turn a protection off"),
        ("api_key = 'hush'", 1, "api_key is a secret: write it into a file of its own, and name that as api_key_file"),
        ("service_token = 'hush'", 1, "service_token is a secret"),
        ("cache = 'redis://:hush@r:6379/0'", 1, "cache has a password in it"),
        ("rate_store = 'redis://r?password=hush'", 1, "rate_store has a password in it"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_without_a_secret(text: str, line: int, says: str) -> None:
    _write(text)
    if not says:
        assert "SPLITWAY_THREADS" in use_files(ROOT)  # however a name is written
        return
    with pytest.raises(SetupError) as raised:
        use_files(ROOT)
    assert raised.value.detail.startswith(f"splitway.toml, line {line}: ")
    assert says in raised.value.detail
    assert "hush" not in raised.value.detail
    assert not any(name.startswith("SPLITWAY_") for name in os.environ)


def test_what_is_no_toml_is_one_line() -> None:
    _write("threads = \n")
    result = _run("keys", "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("splitway: splitway.toml is no TOML: ")
    assert "line 1" in result.stderr
    assert _run("keys", "list", "--help").exit_code == _run("help", "keys").exit_code == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models = " + "[" * 9000 + "]" * 9000, "splitway.toml is nested too deep"),
        ("threads = " + "9" * 5000, "splitway.toml is no TOML: "),
        ("models = 'caf\udce9'", "splitway.toml is no TOML: it is not UTF-8"),
        ('models = "a\\u0000b"', "splitway.toml, line 1: it has a character in it"),
        ('bodies = {body_1 = "http://u:hush@h"}', "splitway.toml, line 1: bodies has a password in it"),
        ('hosts = ["http://u:hush@h"]', "splitway.toml, line 1: hosts has a password in it"),
        ("threads = 1\nTHREADS = 2\n", "splitway.toml, line 2: THREADS is set as threads already"),
    ],
)
def test_what_no_variable_can_have_is_one_line(text: str, says: str) -> None:
    FILE.write_bytes(text.encode(errors="surrogateescape"))
    FILE.chmod(0o644)
    with pytest.raises(SetupError) as raised:
        use_files(ROOT)
    assert raised.value.detail.startswith(says)
    assert "hush" not in raised.value.detail


def test_a_file_that_is_named_has_to_be_there() -> None:
    os.environ[CONFIG] = "mistyped.toml"
    with pytest.raises(SetupError, match=r"SPLITWAY_CONFIG=mistyped\.toml: No such file"):
        use_files(ROOT)


def _of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_files, "own_users", tuple)


def _open_file(_: pytest.MonkeyPatch) -> None:
    FILE.chmod(0o664)


def _open_folder(_: pytest.MonkeyPatch) -> None:
    Path.cwd().chmod(0o777)


def _link(_: pytest.MonkeyPatch) -> None:
    FILE.rename("elsewhere.toml")
    FILE.symlink_to("elsewhere.toml")


def _pipe(_: pytest.MonkeyPatch) -> None:
    FILE.unlink()
    os.mkfifo(FILE)


@pytest.mark.parametrize("become", [_of_another, _open_file, _open_folder, _link, _pipe])
def test_a_file_that_others_may_have_written_changes_nothing(become: object, monkeypatch: pytest.MonkeyPatch) -> None:
    _write('keys_file = "evil.json"\nauth = "open-to-everyone"\n')
    assert callable(become)
    become(monkeypatch)
    result = _run("config", "--json")
    (line,) = [line for line in result.stderr.splitlines() if "is ignored" in line]
    assert line.startswith("splitway: splitway.toml is ignored: ")
    said = json.loads(result.stdout)
    assert said["files"] == []
    assert {each["source"] for each in said["settings"]} == {"default"}
    assert {name: value for name, value in os.environ.items() if name.startswith("SPLITWAY_")} == {CONFIG: ""}
    assert "is ignored" not in _run("config").stderr  # as in a child


def test_a_users_own_file_and_one_that_is_named_may_open_a_pipeline(tmp_path: Path) -> None:
    own = _write('auth = "open-to-everyone"\nhosts = "*"\n', tmp_path / "home" / "splitway" / FILE)
    assert set(use_files(ROOT)) == {"SPLITWAY_AUTH", "SPLITWAY_HOSTS"}
    for name in ("SPLITWAY_AUTH", "SPLITWAY_HOSTS"):
        del os.environ[name]
    own.rename(FILE)
    os.environ[CONFIG] = str(FILE)
    assert set(use_files(ROOT)) == {"SPLITWAY_AUTH", "SPLITWAY_HOSTS"}


@pytest.mark.parametrize("command", ["up --models none", "serve classifier --fd 9 --port 1"])
def test_what_a_folders_file_lets_in_or_sends_away_is_said_where_services_start(command: str, tmp_path: Path) -> None:
    """Each is refused afterwards, for another reason."""
    _write("threads = 1\nhosts = '*'\ncache = 'redis://evil.example'\n")
    _write("origins = '*'\n", tmp_path / "home" / "splitway" / FILE)
    result = _run(*command.split())
    (line,) = [line for line in result.stderr.splitlines() if "of this folder" in line]
    assert line.endswith(": SPLITWAY_HOSTS (line 2), SPLITWAY_CACHE (line 3)")


def test_a_file_can_be_named_or_left_out() -> None:
    _write("threads = 2\n")
    _write("threads = 5\n", Path("mine.toml"))
    os.environ[CONFIG] = "mine.toml"
    assert use_files(ROOT)["SPLITWAY_THREADS"].place == "mine.toml:1"
    os.environ[CONFIG] = ""
    assert use_files(ROOT) == {}


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))
