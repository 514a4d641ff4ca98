"""A window of matplotlib that shows the last frame. It only looks on: frames are drawn elsewhere, by any thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from raddle.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.encrypt.draw.paint import Picture

__all__ = ["show_window"]

_EVERY: Final = 33  # ms


def show_window(picture: Callable[[], Picture | None]) -> None:
    """Show the last picture, thirty times a second, until the window is closed.

    Raises:
        ConfigError: not of the main thread, or there is no display
        MissingExtra: matplotlib is not installed
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("a window must be opened by the main thread: call show() there, and draw in other threads")
    try:
        from matplotlib import pyplot as plt
        from matplotlib.backends.registry import BackendFilter, backend_registry
    except ImportError as error:
        raise MissingExtra("matplotlib", "encrypt") from error
    registry: Any = backend_registry
    windows = registry.list_builtin(BackendFilter.INTERACTIVE)
    if plt.get_backend().lower() not in windows:
        raise ConfigError(
            f"matplotlib has no window here (backend {plt.get_backend()!r}): set DISPLAY and install a toolkit such as "
            "PyQt6, or take backend='page'"
        )
    figure: Any = plt.figure("raddle", frameon=False)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    image: Any = None
    shown: Picture | None = None

    def look() -> None:
        nonlocal image, shown
        last = picture()
        if last is None or last is shown:
            return
        shown = last
        if image is None:
            image = axes.imshow(last)
        else:
            image.set_data(last)
        figure.canvas.draw_idle()

    timer = figure.canvas.new_timer(interval=_EVERY)
    timer.add_callback(look)
    timer.start()
    try:
        plt.show(block=True)
    finally:
        timer.stop()
        plt.close(figure)
