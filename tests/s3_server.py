"""A real S3 server for tests: moto's, in a process of its own, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_runs import wait_until
from ray_clusters import free_ports

BUCKET = "test-bucket"
#: What workers find in their environment; the options name it, and never hold it.
SECRET = "a-secret-that-shows-nowhere"
ENVIRONMENT = {"ZOOPIPE_TEST_ID": "an-id", "ZOOPIPE_TEST_SECRET": SECRET}


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket.

    Attributes:
        endpoint: its address, without a scheme.
    """

    endpoint: str

    @property
    def options(self) -> dict[str, Any]:
        """Storage options that lead here."""
        return {
            "endpoint_override": self.endpoint,
            "scheme": "http",
            "region": "us-east-1",
            "access_key": "${ZOOPIPE_TEST_ID}",
            "secret_key": "${ZOOPIPE_TEST_SECRET}",
        }

    @property
    def client(self) -> Any:
        """boto3's client of it."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=f"http://{self.endpoint}",
            region_name="us-east-1",
            aws_access_key_id="an-id",
            aws_secret_access_key=SECRET,
        )

    def url(self, key: str) -> str:
        return f"s3://{BUCKET}/{key}"

    def put(self, key: str, data: bytes) -> str:
        """Makes an object, and gives its URL."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)
        return self.url(key)

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all objects that begin so."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in found.get("Contents", ())]

    def uploads(self, prefix: str = "") -> list[str]:
        """The keys of uploads that were begun and not ended."""
        found = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in found.get("Uploads", ())]


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server that runs while this is open; its log is in `folder`."""
    (port,) = free_ports(1)
    server = S3Server(f"127.0.0.1:{port}")
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
        )
    try:
        wait_until(lambda: _answers(port), 60)
        server.client.create_bucket(Bucket=BUCKET)
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5):
            return True
    except OSError:
        return False
