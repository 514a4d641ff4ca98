"""What a run is called in its journal: another input or another way of labelling is another run."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from raddle.workloads.classify.taxonomy import load_taxonomy

if TYPE_CHECKING:
    from raddle.workloads.classify.batch.inputs import Catalogue
    from raddle.workloads.classify.settings import Settings

__all__ = ["run_name"]


def run_name(catalogue: Catalogue, settings: Settings) -> str:
    """Return a name that changes with whatever labels depend on, so that a resume never mixes two kinds.

    Raises:
        ConfigError: the taxonomy cannot be used
    """
    parts = [
        catalogue.by,
        [catalogue.columns.id, catalogue.columns.name, catalogue.columns.image],
        settings.provider,
        load_taxonomy(settings.taxonomy).version,
        settings.margin if settings.provider == "cascade" else None,
        sorted({endpoint.model for endpoint in settings.endpoints}),
        settings.text_fallback,
    ]
    digest = hashlib.blake2b(json.dumps(parts).encode(), digest_size=4).hexdigest()
    return f"classify-{settings.provider}-{catalogue.by}-{digest}"
