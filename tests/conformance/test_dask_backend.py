"""The dask backend keeps the promises of the port, on a cluster of separate processes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from raddle.backends.dask import DaskBackend
from raddle.testing import BackendSuite

distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raddle._ports import Backend

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            silence_logs=logging.ERROR,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


class TestDask(BackendSuite):
    survives_death = True

    @pytest.fixture(autouse=True)
    def _cluster(self, client: Any) -> None:
        self.client = client

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        return DaskBackend(func, self.client, **options)


@pytest.mark.chaos  # every promise again takes long; tests/integration/test_dask.py goes this way in every run
class TestDaskThroughScheduler(BackendSuite):
    """Where the client cannot reach the dask workers itself."""

    survives_death = True

    @pytest.fixture(autouse=True)
    def _cluster(self, client: Any) -> None:
        self.client = client

    def make(self, func: Callable[[Any], Any], **options: Any) -> Backend:
        return DaskBackend(func, self.client, direct=False, **options)
