"""A model hub on this machine, which speaks the protocol of huggingface.co as far as downloads need it."""

import hashlib
import http.server
from pathlib import Path
from typing import ClassVar


class Hub(http.server.ThreadingHTTPServer):
    """A model hub; `files` by (repository, revision, name). `log` holds the requests, `cut` breaks one body off."""

    commits: ClassVar = {"main": "a" * 40, "v2": "b" * 40}

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.tokens: dict[str, str] = {}
        self.log: list[tuple[str, str, str | None]] = []
        self.cut: int | None = None

    def publish(self, repo: str, folder: Path) -> None:
        """Puts the files of a folder into a repository."""
        for file in folder.rglob("*"):
            if file.is_file():
                self.files[repo, "main", file.relative_to(folder).as_posix()] = file.read_bytes()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def refuse(self, status: int, code: str):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, body: bool):
        owner, name, _, revision, file = self.path.strip("/").split("/", 4)
        repo = f"{owner}/{name}"
        self.server.log.append((self.command, file, self.headers.get("Range")))
        if repo not in {known for known, *_ in self.server.files}:
            return self.refuse(404, "RepoNotFound")
        if repo in self.server.tokens and self.headers.get("Authorization") != f"Bearer {self.server.tokens[repo]}":
            return self.refuse(403, "GatedRepo")
        revision = {commit: branch for branch, commit in self.server.commits.items()}.get(revision, revision)
        if revision not in self.server.commits:
            return self.refuse(404, "RevisionNotFound")
        content = self.server.files.get((repo, revision, file))
        if content is None:
            return self.refuse(404, "EntryNotFound")
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.server.commits[revision])
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            end, self.server.cut = self.server.cut, None
            self.wfile.write(content[start:end])
            self.close_connection = True
