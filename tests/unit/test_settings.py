from pathlib import Path

import pytest
from pydantic import field_validator

from adapter_sdk import Adaptor, ConfigError, Event, EventData, handles
from adapter_sdk.settings import ConfigPath, Section, Settings, load_settings
from adaptors.sql import SqlAdaptor, SqlSettings


class Placed(EventData, type="shop.placed"):
    order_id: str


class Stock(SqlAdaptor):
    name = "stock"

    @handles
    def take(self, event: Event[Placed]) -> None:
        return None


class DropSettings(Section):
    """A family with paths."""

    drop: ConfigPath
    name: str = "x"

    @field_validator("name")
    @classmethod
    def _given(cls, name: str) -> str:
        if not name:
            raise ValueError("give one")
        return name


class Files(Adaptor):
    name = "files"
    _settings_section = "files"
    _settings_model = DropSettings


def load(
    folder: Path, text: str, adaptor: type[Adaptor] | None = Stock, environ: dict[str, str] | None = None
) -> Settings:
    """The settings that a file with this text gives."""
    path = folder / "adaptor.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(adaptor, path, environ or {})


def faults(
    folder: Path, text: str, adaptor: type[Adaptor] | None = Stock, environ: dict[str, str] | None = None
) -> list[str]:
    """What is wrong with a file, without its folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, adaptor, environ)
    return [fault.replace(f"{folder}/", "") for fault in caught.value.faults]


URL = '[sql]\nurl = "sqlite:///stock.db"\n'


class TestLayers:
    def test_defaults_work_without_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An adaptor whose family needs nothing runs without a file; the ledger is beside where one would be."""
        monkeypatch.chdir(tmp_path)
        settings = load_settings(Adaptor, None, {})
        assert settings.broker.exchange == "events"
        assert settings.ledger_path("erp") == Path("erp.ledger")

    def test_a_file_here_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`adaptor.toml` in the current folder is read unasked."""
        monkeypatch.chdir(tmp_path)
        Path("adaptor.toml").write_text("[runner]\nconcurrency = 7\n")
        assert load_settings(Adaptor, None, {}).runner.concurrency == 7

    def test_the_environment_is_above_the_file(self, tmp_path: Path) -> None:
        """A variable overrides its key alone; lists are given as JSON, numbers as digits."""
        environ = {
            "ADAPTOR_RUNNER_BATCH_SIZE": "5",
            "ADAPTOR_RETRY_DELAYS": "[1, 2.5]",
            "ADAPTOR_SQL_URL": "sqlite:///other.db",
            "ADAPTOR_BROKER_DECLARE": "false",
            "ADAPTOR_CONFIG": "elsewhere.toml",
            "PATH": "/bin",
        }
        settings = load(tmp_path, URL + "[runner]\nbatch_size = 9\nconcurrency = 7\n", environ=environ)
        assert (settings.runner.batch_size, settings.runner.concurrency) == (5, 7)
        assert list(settings.retry.delays) == [1, 2.5]
        assert isinstance(settings.family, SqlSettings)
        assert not settings.broker.declare
        assert settings.family.url.get_secret_value() == f"sqlite:///{tmp_path / 'other.db'}"

    def test_relative_paths_are_beside_the_file(self, tmp_path: Path) -> None:
        """Relative paths, of the ledger and of the family, start at the folder of the file."""
        settings = load(tmp_path, '[files]\ndrop = "out"\n[ledger]\npath = "state/a.ledger"\n', Files)
        assert settings.family.drop == tmp_path / "out"
        assert settings.ledger_path("files") == tmp_path / "state/a.ledger"
        assert load(tmp_path, '[files]\ndrop = "/abs"\n', Files).family.drop == Path("/abs")
        assert load(tmp_path, '[files]\ndrop = "/abs"\n', Files).ledger_path("files") == tmp_path / "files.ledger"

    def test_sections_of_families_are_passed_over_without_an_adaptor(self, tmp_path: Path) -> None:
        """Commands that need no adaptor read the common sections alone."""
        settings = load(tmp_path, URL + "[runner]\nconcurrency = 7\n", None, {"ADAPTOR_SQL_TIMEOUT": "5"})
        assert settings.runner.concurrency == 7


class TestReferences:
    def test_variables_and_files(self, tmp_path: Path) -> None:
        """`${env:NAME}` and `${file:path}` stand for what they hold, in part of a value too, and in lists."""
        (tmp_path / "secret").write_text("hunter2\n")
        text = f"""
            [sql]
            url = "postgresql+psycopg://${{env:DB_USER}}:${{file:secret}}@host/db"
            [broker]
            exchange = "${{file:{tmp_path}/secret}}"
        """
        settings = load(tmp_path, text, environ={"DB_USER": "ann"})
        assert settings.family.url.get_secret_value() == "postgresql+psycopg://ann:hunter2@host/db"
        assert settings.broker.exchange == "hunter2"

    def test_every_reference_that_leads_nowhere_is_named(self, tmp_path: Path) -> None:
        """Missing variables and files are all reported, with their places, beside the other faults of the section."""
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        text = """
            [broker]
            url = "${env:NOWHERE}"
            exchange = "${file:nothing}"
            queue_type = "${file:binary}"
            prefetch = 0
            [sql]
            url = "${env:NOTHING}"
        """
        found = faults(tmp_path, text)
        assert found == [
            "adaptor.toml: [broker] url: refers to the environment variable NOWHERE, which is not set",
            "adaptor.toml: [broker] exchange: refers to the file nothing: No such file or directory",
            "adaptor.toml: [broker] queue_type: refers to the file binary: is not UTF-8 text",
            "adaptor.toml: [broker] prefetch: Input should be greater than or equal to 1",
            "adaptor.toml: [sql] url: refers to the environment variable NOTHING, which is not set",
        ]


class TestFaults:
    def test_all_faults_come_at_once(self, tmp_path: Path) -> None:
        """Wrong values, unknown names and missing ones, in file and environment, are reported together."""
        text = """
            [broker]
            prefech = 5
            heartbeat = 0
            [runer]
            concurrency = 1
            [retry]
            pause = 60
            delays = [0]
            [limits]
            max_bytes = "many"
        """
        found = faults(tmp_path, text, environ={"ADAPTOR_BROKER_HART_BEAT": "5", "ADAPTOR_LOG_LEVEL": "loud"})
        expected = [
            "environment: unknown setting ADAPTOR_BROKER_HART_BEAT; did you mean ADAPTOR_BROKER_HEARTBEAT?",
            "adaptor.toml: [broker] heartbeat: Input should be greater than or equal to 1",
            "adaptor.toml: [broker] prefech: unknown setting; did you mean prefetch?",
            "adaptor.toml: unknown section [runer]; did you mean runner?",
            "adaptor.toml: [retry] RetryPolicy: pause is 60.0 s; a worker waits meanwhile, so give 0 to 5 seconds",
            "adaptor.toml: [retry] RetryPolicy: a delay of 0.0 s is not possible; give 0.001 s to 30 days",
            "adaptor.toml: [limits] max_bytes: Input should be a valid integer, unable to parse string as an integer",
            "environment: ADAPTOR_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'",
            "adaptor.toml: [sql] url: is required; set it there or in ADAPTOR_SQL_URL",
        ]
        assert sorted(found) == sorted(expected)

    def test_a_rule_of_our_own_speaks_for_itself(self, tmp_path: Path) -> None:
        """What a section's own validator says is the whole sentence, without a word of the library that asked it."""
        (fault,) = faults(tmp_path, "[files]\ndrop = 'in'\nname = ''\n", Files)
        assert fault == "adaptor.toml: [files] name: give one"

    def test_names_like_no_other_list_the_known_ones(self, tmp_path: Path) -> None:
        """A name that is like none is answered with all that there are."""
        (fault,) = faults(tmp_path, URL + "[ledger]\nzzz = 1\n")
        assert fault.startswith("adaptor.toml: [ledger] zzz: unknown setting; known: path")

    def test_a_section_that_is_no_table(self, tmp_path: Path) -> None:
        """A value where a section belongs is a fault of that section."""
        (fault,) = faults(tmp_path, 'broker = "amqp://ann:hunter2@host"\n' + URL)
        assert fault.startswith("adaptor.toml: [broker]")
        assert "hunter2" not in fault

    @pytest.mark.parametrize("content", [b"[broker", b'a = "x', b"\xff"])
    def test_a_file_that_is_not_toml(self, tmp_path: Path, content: bytes) -> None:
        """A file that cannot be parsed is named."""
        path = tmp_path / "adaptor.toml"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"adaptor\.toml: is not TOML"):
            load_settings(Adaptor, path, {})

    def test_a_file_that_was_named_has_to_be_there(self, tmp_path: Path) -> None:
        """A file given by name that is missing is a fault."""
        with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read: No such file"):
            load_settings(Adaptor, tmp_path / "gone.toml", {})


class TestSecrets:
    def test_secrets_are_in_no_error(self, tmp_path: Path) -> None:
        """No fault of any setting shows a value that may be secret."""
        text = """
            [broker]
            url = ["amqp://ann:hunter2@host"]
            password = "hunter2"
            [sql]
            url = { a = "hunter2" }
            timeout = "hunter2"
        """
        found = faults(tmp_path, text, environ={"ADAPTOR_SQL_PASSWORD": "hunter2"})
        assert len(found) == 5
        assert "hunter2" not in "\n".join(found)

    def test_secrets_are_in_no_repr(self, tmp_path: Path) -> None:
        """Settings can be printed without showing a password."""
        text = '[sql]\nurl = "sqlite:///hunter2"\n[broker]\nurl = "amqp://ann:hunter2@host"\n'
        settings = load(tmp_path, text)
        for shown in (repr(settings), str(settings), repr(settings.family), settings.model_dump_json()):
            assert "hunter2" not in shown
