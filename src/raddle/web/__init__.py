"""`raddle ui`: a web page over journals. It reads them only; what it may start or stop, it does from outside."""

from raddle.web.settings import Settings, is_loopback

__all__ = ["Settings", "is_loopback"]
