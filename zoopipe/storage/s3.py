"""S3: what is published is a multipart upload, and completing it, in one request, is what publishes it.

pyarrow's streams complete their upload whenever they are closed, by an error too; so S3 is written with boto3.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any
from uuid import uuid4

from zoopipe.errors import LedgerError, MissingExtraError, OutputError
from zoopipe.storage.filesystems import Storage
from zoopipe.storage.options import resolved
from zoopipe.storage.parts import Part, Sink, Upload
from zoopipe.storage.stores import Note, overtaken
from zoopipe.storage.urls import is_local, scheme_of

# What S3 says: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_LEAST_BYTES = 5 << 20
_MOST_COPIED_BYTES = 5 << 30
# A piece is 8 MiB, and twice as much after each 1,000: 10,000 are allowed, and the largest object is 5 TB.
_PIECE_BYTES = 8 << 20
_PIECES_EACH_SIZE = 1000
# One connection has some 80 MB/s.
_THREADS = 4

_STAMP = "zoopipe"
#: What servers answer that do not know conditional requests.
_UNKNOWN = ("NotImplemented", "InvalidArgument", "501")
_LOST = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_GONE = ("NoSuchKey", "NoSuchUpload", "404", "NotFound")


class S3Store:
    """Objects of S3, or of a server that speaks as it does."""

    def __init__(self, url: str, storage: Storage) -> None:
        options = resolved(storage.options)
        self._client = _client(tuple(sorted(options.items())))

    def create(self, url: str) -> Sink:
        return _Object(self._client, url, "")

    def final(self, url: str, staged: str, seen: str | None, note: Note) -> Sink:
        return _Object(self._client, url, uuid4().hex, seen, note, staged)

    def publish(self, staged: str, url: str, upload: Upload | None) -> None:
        assert upload is not None, "objects of S3 are published by an upload"
        condition = {"IfNoneMatch": "*"} if upload.seen is None else {"IfMatch": upload.seen}
        try:
            with s3_storing(url):
                try:
                    self._complete(url, upload, condition)
                except Exception as error:
                    if _code(error) not in _UNKNOWN:
                        raise
                    self._complete(url, upload, {})
        except OutputError as error:
            # The answer may have been lost, and a repeated request fails.
            if self.is_published(staged, url, upload):
                return
            if _code(error.__cause__) in (*_LOST, *_GONE):
                raise overtaken(url) from error
            raise

    def _complete(self, url: str, upload: Upload, condition: dict[str, str]) -> None:
        pieces = [
            {"PartNumber": number, "ETag": etag} for number, etag in enumerate(upload.etags, 1)
        ]
        self._client.complete_multipart_upload(
            **_place(url), UploadId=upload.id, MultipartUpload={"Parts": pieces}, **condition
        )

    def is_published(self, staged: str, url: str, upload: Upload | None) -> bool:
        assert upload is not None, "objects of S3 are published by an upload"
        found = self._head(url)
        return found is not None and found["Metadata"].get(_STAMP) == upload.stamp

    def _head(self, url: str) -> dict[str, Any] | None:
        try:
            with s3_storing(url):
                return dict(self._client.head_object(**_place(url)))
        except OutputError as error:
            if _code(error.__cause__) in _GONE:
                return None
            raise

    def seen(self, url: str) -> str | None:
        if url.endswith("/"):
            raise OutputError(f"cannot write {url}: it is a folder")
        found = self._head(url)
        return None if found is None else str(found["ETag"])

    def names(self, folder: str, start: str = "") -> list[str]:
        place = _place(folder)
        skip = len(place["Key"])
        with s3_storing(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=place["Bucket"],
                Prefix=place["Key"] + start,
                Delimiter="/" if start else "",
            )
            return [each["Key"][skip:] for page in pages for each in page.get("Contents", ())]

    def remove(self, url: str) -> None:
        with s3_storing(url):
            self._client.delete_object(**_place(url))

    def forget(self, folder: str, uploads: Sequence[tuple[str, str]]) -> None:
        place = _place(folder)
        with s3_storing(folder):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=place["Bucket"], Prefix=place["Key"]
            )
            for page in pages:
                for each in page.get("Uploads", ()):
                    self._abort({"Bucket": place["Bucket"], "Key": each["Key"]}, each["UploadId"])
            for url, number in uploads:
                self._abort(_place(url), number)

    def _abort(self, place: dict[str, str], number: str) -> None:
        try:
            self._client.abort_multipart_upload(**place, UploadId=number)
        except Exception as error:
            if _code(error) not in _GONE:
                raise

    def holds(self, part: Part) -> bool | None:
        if part.etag is None:
            return None
        found = self._head(part.path)
        size, etag = (None, None) if found is None else (found["ContentLength"], found["ETag"])
        return (size, etag) == (part.size_bytes, part.etag)


class _Object:
    """A sink that is an object: with a stamp, an upload that `Store.publish` completes."""

    def __init__(
        self,
        client: Any,
        url: str,
        stamp: str,
        seen: str | None = None,
        note: Note | None = None,
        staged: str = "",
    ) -> None:
        self._client, self._url, self._stamp = client, url, stamp
        self._seen, self._note, self._staged = seen, note, staged
        self._place = _place(url)
        self._held = bytearray()
        self._id: str | None = None
        #: The etag of each piece, once it is there.
        self._pieces: list[Future[str]] = []
        self._unfinished: deque[Future[str]] = deque()
        self._pool = ThreadPoolExecutor(_THREADS, "zoopipe-s3")
        self._size = 0
        if stamp:
            self._begin()

    def _begin(self) -> None:
        metadata = {"Metadata": {_STAMP: self._stamp}} if self._stamp else {}
        with s3_storing(self._url):
            made = self._client.create_multipart_upload(**self._place, **metadata)
        self._id = str(made["UploadId"])
        if self._note is not None:
            self._note(self._id)

    def write(self, data: memoryview) -> None:
        self._size += data.nbytes
        while data.nbytes:
            piece_bytes = _PIECE_BYTES << (len(self._pieces) // _PIECES_EACH_SIZE)
            taken = min(data.nbytes, piece_bytes - len(self._held))
            self._held += data[:taken]
            data = data[taken:]
            if len(self._held) >= piece_bytes:
                self._send()

    def _send(self) -> None:
        if self._id is None:
            self._begin()
        body, self._held = bytes(self._held), bytearray()
        self._submit(self._put, len(self._pieces) + 1, body)

    def _submit(self, work: Any, *args: Any) -> None:
        piece = self._pool.submit(work, *args)
        self._pieces.append(piece)
        self._unfinished.append(piece)
        while len(self._unfinished) > _THREADS:
            self._unfinished.popleft().result()

    def _put(self, number: int, body: bytes) -> str:
        with s3_storing(self._url):
            done = self._client.upload_part(
                **self._place,
                UploadId=self._id,
                PartNumber=number,
                Body=body,
                ContentMD5=_md5(body),
            )
        return str(done["ETag"])

    def replaced(self) -> tuple[str, Sink]:
        self.discard()
        sink = _Object(self._client, self._url, uuid4().hex, self._seen, self._note, self._staged)
        return self._staged, sink

    def join(self, part: Part, start: int, stop: int) -> bool:
        """By copying in the store, of just the object that the worker wrote."""
        fill = max(_LEAST_BYTES - len(self._held), 0) if self._held else 0
        is_object = not is_local(part.path) and scheme_of(part.path) == "s3"
        if not is_object or part.etag is None or stop - start < fill + _LEAST_BYTES:
            return False
        source = _place(part.path)
        if fill:
            with s3_storing(part.path):
                got = self._client.get_object(
                    **source, Range=f"bytes={start}-{start + fill - 1}", IfMatch=part.etag
                )
                self._held += got["Body"].read()
        if self._held:
            self._send()
        self._size += stop - start
        start += fill
        while start < stop:
            # The last piece must not be too small either: something may follow.
            left = stop - start
            size = left if left <= _MOST_COPIED_BYTES else min(left // 2, _MOST_COPIED_BYTES)
            self._submit(
                self._copy, len(self._pieces) + 1, source, part, f"bytes={start}-{start + size - 1}"
            )
            start += size
        return True

    def _copy(self, number: int, source: dict[str, str], part: Part, places: str) -> str:
        try:
            with s3_storing(part.path):
                done = self._client.upload_part_copy(
                    **self._place,
                    UploadId=self._id,
                    PartNumber=number,
                    CopySource=source,
                    CopySourceRange=places,
                    CopySourceIfMatch=part.etag,
                )
        except OutputError as error:
            if _code(error.__cause__) in (*_LOST, *_GONE):
                raise LedgerError(
                    f"{part.path} is not what was written: it has another etag than {part.etag}; "
                    "did another process change it?"
                ) from error
            raise
        return str(done["CopyPartResult"]["ETag"])

    def close(self) -> tuple[str | None, Upload | None]:
        if self._id is None:
            return self._put_whole(), None
        if self._held or not self._pieces:
            self._send()
        etags = tuple(piece.result() for piece in self._pieces)
        self._pool.shutdown()
        self._check_size()
        upload = Upload(self._id, etags, self._stamp, self._seen)
        if self._stamp:
            return None, upload
        pieces = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with s3_storing(self._url):
            done = self._client.complete_multipart_upload(
                **self._place, UploadId=self._id, MultipartUpload={"Parts": pieces}
            )
        return str(done["ETag"]), None

    def _check_size(self) -> None:
        """Raises `LedgerError` unless the store has as many bytes as were given to it."""
        with s3_storing(self._url):
            pages = self._client.get_paginator("list_parts").paginate(
                **self._place, UploadId=self._id
            )
            found = sum(each["Size"] for page in pages for each in page.get("Parts", ()))
        if found != self._size:
            raise LedgerError(
                f"{self._url} is not what was written: {found} bytes instead of {self._size}"
            )

    def _put_whole(self) -> str:
        body = bytes(self._held)
        self._pool.shutdown()
        with s3_storing(self._url):
            done = self._client.put_object(**self._place, Body=body, ContentMD5=_md5(body))
        return str(done["ETag"])

    def discard(self) -> None:
        self.abandon()
        with suppress(OutputError), s3_storing(self._url):
            if self._id is not None:
                self._client.abort_multipart_upload(**self._place, UploadId=self._id)
            if not self._stamp:
                self._client.delete_object(**self._place)

    def abandon(self) -> None:
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def s3_storing(url: str) -> Iterator[None]:
    """Turns boto3's errors into one sentence with the URL."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, OSError) as error:
        raise OutputError(f"cannot write {url}: {error}") from error


def _code(error: BaseException | None) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _place(url: str) -> dict[str, str]:
    bucket, _, key = url.partition("://")[2].partition("/")
    return {"Bucket": bucket, "Key": key}


@lru_cache(maxsize=8)
def _client(frozen: tuple[tuple[str, Any], ...]) -> Any:
    """boto3's client for storage options that are named as pyarrow names them."""
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise MissingExtraError("to write s3:// needs boto3: pip install 'zoopipe[s3]'") from error
    options = dict(frozen)
    endpoint = options.get("endpoint_override")
    if endpoint and "://" not in endpoint:
        endpoint = f"{options.get('scheme', 'https')}://{endpoint}"
    addressing = "virtual" if options.get("force_virtual_addressing") else "auto"
    config = Config(
        connect_timeout=options.get("connect_timeout", 10),
        read_timeout=options.get("request_timeout", 60),
        retries={"mode": "standard", "max_attempts": 5},
        signature_version=UNSIGNED if options.get("anonymous") else None,
        s3={"addressing_style": addressing},
        # MD5 sums are given with each piece; other servers than AWS's do not know what boto3 adds.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=2 * _THREADS,
    )
    session = boto3.session.Session(
        aws_access_key_id=options.get("access_key"),
        aws_secret_access_key=options.get("secret_key"),
        aws_session_token=options.get("session_token"),
        region_name=options.get("region"),
    )
    if "role_arn" in options:
        session = _in_role(session, options)
    return session.client(
        "s3", endpoint_url=endpoint, config=config, verify=options.get("tls_ca_file_path")
    )


def _in_role(session: Any, options: dict[str, Any]) -> Any:
    """A session with the credentials of a role, taken anew when they end."""
    import boto3
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        DeferredRefreshableCredentials,
    )

    inner = session._session
    extra = {"RoleSessionName": options.get("session_name") or "zoopipe"}
    if options.get("external_id"):
        extra["ExternalId"] = options["external_id"]
    fetcher = AssumeRoleCredentialFetcher(
        inner.create_client, inner.get_credentials(), options["role_arn"], extra_args=extra
    )
    import botocore.session

    made = botocore.session.get_session()
    made._credentials = DeferredRefreshableCredentials(
        refresh_using=fetcher.fetch_credentials, method="assume-role"
    )
    return boto3.session.Session(botocore_session=made, region_name=options.get("region"))


def _drop_inherited() -> None:
    """A forked process makes connections of its own."""
    _client.cache_clear()


os.register_at_fork(after_in_child=_drop_inherited)
