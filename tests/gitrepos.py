"""Git repositories that tests commit to."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

IDENTITY = {
    "GIT_AUTHOR_NAME": "A. Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.org",
    "GIT_AUTHOR_DATE": "2026-11-02T08:30:00Z",
    "GIT_COMMITTER_NAME": "A. Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.org",
    "GIT_COMMITTER_DATE": "2026-11-02T08:30:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass(frozen=True, kw_only=True)
class GitRepo:
    """A repository with a working tree."""

    root: Path

    def git(self, *arguments: str, data: bytes = b"") -> str:
        """Run git in it, and return what it says."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=os.environ | IDENTITY, input=data, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def commit(self, message: str = "change") -> str:
        """Commit everything that lies there, and return the commit."""
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


def make(root: Path) -> GitRepo:
    """Make an empty repository."""
    root.mkdir(parents=True, exist_ok=True)
    repo = GitRepo(root=root)
    repo.git("init", "--quiet", "--initial-branch", "main")
    return repo
