"""Data sets of the Hub, fetched from a server of this machine that answers as the Hub does."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from huggingface_hub import constants

from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.formats.hub import HubSet, parse_address
from ambient_datasets.store import Store, open_store
from ambient_policy.errors import DataError, SettingsError
from tests.datasets.lerobots import Recording, write_lerobot

COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """Serves one folder as the data set me/set, revisions main and v1."""

    folder: ClassVar[Path]
    fetched: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        names = {str(file.relative_to(self.folder)): file for file in files}
        found = re.fullmatch(rf"/datasets/me/set/resolve/{COMMIT}/(.+)", path)
        if re.fullmatch(r"/api/datasets/me/set(/revision/(main|v1))?", path):
            siblings = [{"rfilename": name} for name in names]
            self.send(200, json.dumps({"id": "me/set", "sha": COMMIT, "siblings": siblings}), body)
        elif re.match(r"/api/datasets/me/set/tree/", path):
            tree = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                for name, file in names.items()
            ]
            self.send(200, json.dumps(tree), body)
        elif found and found[1] in names:
            self.fetched.extend([found[1]] * body)
            self.send(200, names[found[1]].read_bytes(), body)
        else:
            self.send(404, "{}", body)

    def send(self, status: int, content: str | bytes, body: bool) -> None:
        data = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hash(data) & 0xFFFFFFFF:08x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *values: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    recording = write_lerobot(tmp_path / "set", "v2.1")
    Hub.folder = recording.root
    Hub.fetched.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    template = f"{constants.ENDPOINT}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield recording
    server.shutdown()
    server.server_close()


def run(tmp_path: Path, path: str) -> Store:
    recipe = Recipe("lerobot", state=["observation.state"], action=["action"])
    return open_store(convert(ConvertSettings(path, str(tmp_path / "out.zarr"), recipe)).out)


def test_a_data_set_is_fetched_once_and_read(hub: Recording, tmp_path: Path) -> None:
    store = run(tmp_path, "hf://datasets/me/set@v1")
    np.testing.assert_array_equal(store.actions(), np.concatenate(hub.actions))
    assert (store.attributes.source, store.attributes.task) == ("set", "set")
    count = len(Hub.fetched)
    assert count == len({*Hub.fetched}) >= 6
    run(tmp_path, "hf://datasets/me/set@v1")
    assert len(Hub.fetched) == count


def test_a_file_of_it_is_fetched_alone(hub: Recording) -> None:
    address = parse_address("hf://datasets/me/set@v1/meta/info.json")
    assert address == HubSet("me/set", "v1", "meta/info.json")
    assert json.loads(address.fetch().read_text())["fps"] == 10
    assert Hub.fetched == ["meta/info.json"]
    with pytest.raises(DataError, match="there is no 'data/x' in it"):
        HubSet("me/set", None, "data/x").fetch()


def test_what_is_not_there_is_told(hub: Recording, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hf://datasets/me/other: cannot be fetched"):
        run(tmp_path, "hf://datasets/me/other")
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize(
    "path", ["hf://me/set", "hf://datasets/set", "hf://datasets/me/set/../x", "hf://datasets/a/b@"]
)
def test_addresses_of_another_form_are_refused(path: str) -> None:
    with pytest.raises(SettingsError, match="give hf://datasets/OWNER/NAME"):
        parse_address(path)
    assert parse_address("data/set") is None
