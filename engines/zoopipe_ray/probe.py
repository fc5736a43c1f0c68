"""Asks whether a Ray cluster answers at an address; run as a script, for Ray itself asks for minutes,
prints what it thinks of it, and may end its process.

Says `loopback`, where the cluster is to be joined by loopback addresses, and exits with 0. Otherwise
what Ray says of the failure is on stderr.
"""

from __future__ import annotations

import logging
import os
import socket
import sys

_TCP_S = 5.0


def main(address: str) -> None:
    """Asks; returns where there is a cluster."""
    if address.startswith("ray://"):
        _ask_client_server(address.removeprefix("ray://"))
    else:
        _ask_head(address)


def _ask_head(address: str) -> None:
    from ray._private import ray_constants, services
    from ray._raylet import GcsClient

    if address == "auto":
        _use_token_if_there_is_one()
    head = services.canonicalize_bootstrap_address(address)
    if head is None:
        raise ConnectionError("no Ray runs here")
    if _tcp_error(head):
        # Ray makes 127.0.0.1 the address that others see, where a head on loopback does not listen.
        ray_constants.ENABLE_RAY_CLUSTER = False
        head = services.canonicalize_bootstrap_address(address)
        if error := _tcp_error(head):
            raise ConnectionError(error)
        sys.stdout.write("loopback\n")
    GcsClient(address=head)


def _use_token_if_there_is_one() -> None:
    try:
        from ray._private.authentication import authentication_token_setup
    except ImportError:
        # A Ray from before there were tokens.
        return
    authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _tcp_error(address: str) -> str:
    """Why nothing can be connected to; empty where something listens."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _TCP_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _ask_client_server(address: str) -> None:
    if error := _tcp_error(address):
        raise ConnectionError(error)
    from ray.util.client import worker

    class Answered(Exception):
        """The server answers; nothing of it is to be started."""

    def answered(*_: object) -> None:
        raise Answered

    # Why the server did not answer is said there alone.
    logging.getLogger("ray").setLevel(logging.DEBUG)
    worker.DataClient = answered
    try:
        worker.Worker(address, connection_retries=1)
    except Answered:
        return


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as error:
        sys.exit(" ".join(str(error).split()))
    sys.stdout.flush()
    # What Ray's threads still have to say is of no interest.
    os._exit(0)
