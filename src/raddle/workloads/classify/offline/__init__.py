"""Labels without any key or network: keyword rules and MiniLM for texts, EfficientNet-lite0 for pictures.

Nothing heavy is imported before the first item is labelled.
"""

from raddle.workloads.classify.offline.models import MARGIN, PICTURE_MARGIN, model
from raddle.workloads.classify.offline.provider import Offline

__all__ = ["MARGIN", "PICTURE_MARGIN", "Offline", "model"]
