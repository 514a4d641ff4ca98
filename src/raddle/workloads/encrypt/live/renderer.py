"""A renderer that many threads share: they hand in numbered frames, which are drawn in the order of their numbers.

Drawing is done by the threads that hand in frames, one at a time (see `turns`): a single producer sees its frame drawn
when `render_frame` returns; when all producers have returned, every frame whose turn has come is drawn; and no thread
is left running if nobody closes the renderer. Rules, all of which `counts` tells:

  gaps        A number that is missing is waited for. When it has been waited for `gap_wait` seconds and something else
              is handed in, or by `flush` and `close`, what waits is drawn and the missing numbers are passed over.
  duplicates  The first frame of a number counts. A number whose turn has passed is late, and not drawn.
  full        With `capacity` frames waiting, producers wait too (full="block"), except the one whose number is next;
              or the lowest waiting number is given up, and its ink drawn with the next frame (full="drop").
  trouble     A frame that is no frame is logged and takes its number; a canvas or an observer that raises is logged.

Two locks, never held together, and neither while drawing or in a callback: that of `turns`, and `_lock` for the trace,
the observers, the view and the counts. What only the owner of the canvas touches needs none: it passes from owner to
owner through the lock of `turns`.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
import webbrowser
from collections import deque
from typing import TYPE_CHECKING, Literal

import numpy as np

from raddle.errors import ConfigError
from raddle.workloads.encrypt.draw.epicycles import epicycle_states
from raddle.workloads.encrypt.draw.paint import DARK, FITTED, Theme, View
from raddle.workloads.encrypt.live.canvas import open_canvas
from raddle.workloads.encrypt.live.frames import RenderCounts, fault
from raddle.workloads.encrypt.live.stage import Stage
from raddle.workloads.encrypt.live.turns import Turns
from raddle.workloads.encrypt.sketch.values import Sketch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from raddle.workloads.encrypt.draw.epicycles import EpicycleState, Pens
    from raddle.workloads.encrypt.draw.paint import Picture
    from raddle.workloads.encrypt.live.frames import FrameObserver

__all__ = ["ThreadSafeRenderer"]

_log = logging.getLogger(__name__)


class ThreadSafeRenderer:
    """Draws numbered frames of epicycles; every method may be called from any thread, and from observers.

    Args:
        backend: 'matplotlib', 'image' (OpenCV, fastest) or 'page' (a page for the browser, at `url`)
        width: px of the canvas
        height: px of the canvas
        theme: 'dark', 'light' or colours
        capacity: frames that may wait for their turn
        full: 'block' lets producers wait when so many do, 'drop' gives up the lowest number
        gap_wait: seconds that a missing number is waited for; math.inf: until flush() or close()
        first: the lowest number
        max_trace: points of trace and of ink that are remembered; the newest stay. Ink that was forgotten stays on the
            canvas until the view changes. None: all

    Raises:
        ConfigError: an option is out of range
        MissingExtra: the backend's library is not installed
    """

    def __init__(
        self,
        backend: str = "matplotlib",
        *,
        width: int = 1920,
        height: int = 1080,
        theme: str | Theme = DARK,
        capacity: int = 64,
        full: Literal["block", "drop"] = "block",
        gap_wait: float = 2.0,
        first: int = 0,
        max_trace: int | None = 200_000,
    ) -> None:
        if capacity < 1 or not gap_wait >= 0 or first < 0 or (max_trace is not None and max_trace < 1):
            raise ConfigError(
                f"capacity={capacity}, gap_wait={gap_wait}, first={first}, max_trace={max_trace}: "
                "capacity and max_trace from 1, the others from 0"
            )
        if full not in {"block", "drop"}:
            raise ConfigError(f"full={full!r}: must be 'block' or 'drop'")
        self._backend, self._first = backend, first
        canvas = open_canvas(backend, width=width, height=height, theme=theme)
        self._stage = Stage(canvas, max_trace)  # of the owner alone, but for its picture
        self._turns: Turns[EpicycleState | None] = Turns(
            self._draw, capacity=capacity, drop=full == "drop", gap_wait=gap_wait, first=first
        )
        # guarded by the lock
        self._lock = threading.Lock()
        self._view = FITTED
        self._trace: deque[complex] = deque(maxlen=max_trace)
        self._observers: tuple[FrameObserver, ...] = ()
        self._counts = RenderCounts()
        self._seen: set[type[Exception]] = set()  # of what was logged

    # ------------------------------------------------------------------------------------------------ what is known

    @property
    def backend(self) -> str:
        """The kind of canvas."""
        return self._backend

    @property
    def trace_points(self) -> list[complex]:
        """Where the pens were in the frames drawn, in order: a copy."""
        with self._lock:
            return list(self._trace)

    @property
    def counts(self) -> RenderCounts:
        """What became of the frames so far: a copy."""
        with self._lock:
            return dataclasses.replace(self._counts, dropped=self._turns.dropped, passed=self._turns.passed)

    @property
    def view(self) -> View:
        """What part of the plane is shown."""
        with self._lock:
            return self._view

    @property
    def picture(self) -> Picture | None:
        """The last frame drawn, height x width x RGB, read-only; None before the first, and of a page."""
        return self._stage.canvas.picture

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page; its token is a secret between this process and you.

        Raises:
            ConfigError: the backend is not 'page'
        """
        url: str | None = getattr(self._stage.canvas, "url", None)
        if url is None:
            raise ConfigError(f"backend={self._backend!r} has no url: take backend='page'")
        return url

    # -------------------------------------------------------------------------------------------------------- frames

    def render_frame(self, state: EpicycleState, frame_number: int) -> None:
        """Hand in a frame. It is drawn now, or by another thread when its turn comes. Nothing is raised."""
        if isinstance(frame_number, bool) or not isinstance(frame_number, int | np.integer) or frame_number < 0:
            _log.error("frame_number=%r: must be a whole number from 0; the frame is not drawn", frame_number)
            self._count("invalid")
            return
        number, problem = int(frame_number), fault(state)
        if problem:
            _log.error("frame %d is not drawn: %s", number, problem)
            self._count("invalid")
        refusal = self._turns.put(number, None if problem else state)
        if refusal:
            _log.debug("frame %d is not drawn: %s", number, "it is late" if refusal == "late" else "it waits already")
            self._count(refusal)

    def flush(self, timeout: float | None = None) -> bool:
        """Draw all that waits now, passing over missing numbers; False if `timeout` seconds were not enough.

        From an observer it returns False at once, and what waits is drawn when the observer has returned.
        """
        return self._turns.flush(timeout)

    def clear_trace(self) -> None:
        """Forget trace, ink and frames that wait; numbers count from `first` again."""
        with self._lock:
            self._trace.clear()
        self._turns.restart(self._forget)

    def animate(
        self,
        source: Sketch | Iterable[EpicycleState],
        *,
        fps: int = 30,
        seconds: float = 10.0,
        speed: float = 1.0,
        pens: Pens = "auto",
        realtime: bool = True,
    ) -> int:
        """Clear, and draw a sketch (or states) from this thread, `fps` frames a second. Returns the number of frames.

        Args:
            source: a sketch, or its states
            fps: frames a second
            seconds: time of drawing a sketch at speed 1
            speed: 0.1 to 10
            pens: see `epicycle_states`
            realtime: keep to the clock; False: as fast as it goes

        Raises:
            ConfigError: an option is out of range
        """
        if not 1 <= fps <= 240 or not 0.1 <= speed <= 10 or not 0 < seconds <= 3600:  # noqa: PLR2004 - see below
            raise ConfigError(f"fps={fps}, speed={speed}, seconds={seconds}: must be 1 to 240, 0.1 to 10, up to 3600")
        if isinstance(source, Sketch):
            source = epicycle_states(source, max(1, round(fps * seconds / speed)), pens=pens)
        self.clear_trace()
        start, count = time.monotonic(), 0
        for state in source:
            if self._turns.closing:
                break
            if realtime:
                time.sleep(max(0.0, start + count / fps - time.monotonic()))
            self.render_frame(state, self._first + count)
            count += 1
        return count

    # -------------------------------------------------------------------------------------------------------- others

    def attach_observer(self, observer: FrameObserver) -> None:
        """Tell an observer of every frame from now on; once, however often it is attached."""
        with self._lock:
            if not any(known is observer for known in self._observers):
                self._observers = (*self._observers, observer)

    def detach_observer(self, observer: FrameObserver) -> None:
        """Tell it no more; a call that has begun in another thread may still be running."""
        with self._lock:
            self._observers = tuple(known for known in self._observers if known is not observer)

    def zoom_in(self, factor: float = 1.25) -> None:
        """Show less, larger."""
        self._look(lambda view: dataclasses.replace(view, scale=view.scale * factor))

    def zoom_out(self, factor: float = 1.25) -> None:
        """Show more, smaller."""
        self._look(lambda view: dataclasses.replace(view, scale=view.scale / factor))

    def pan(self, dx: float, dy: float) -> None:
        """Move the view by px of the picture: to the right and down."""
        self._look(lambda view: dataclasses.replace(view, shift=(view.shift[0] + dx, view.shift[1] + dy)))

    def set_view_center(self, x: float, y: float) -> None:
        """Show a point of the picture in the middle."""
        self._look(lambda view: dataclasses.replace(view, centre=(float(x), float(y)), shift=(0.0, 0.0)))

    def set_view_scale(self, scale: float) -> None:
        """1 shows the whole picture, 2 half of its width.

        Raises:
            ConfigError: not from 0.001 to 1000
        """
        self._look(lambda view: dataclasses.replace(view, scale=scale))

    def reset_view(self) -> None:
        """Show the whole picture."""
        self._look(lambda _: FITTED)

    def show(self) -> None:
        """Open the page in a browser; or a window with the last frames, until it is closed (of the main thread).

        Raises:
            ConfigError: the backend is 'image', or there is no display
        """
        if self._backend == "page":
            webbrowser.open(self.url)
        elif self._backend == "matplotlib":
            from raddle.workloads.encrypt.live.window import show_window

            show_window(lambda: self.picture)
        else:
            raise ConfigError(f"backend={self._backend!r} shows nothing: take 'page' or 'matplotlib', or use `picture`")

    def close(self) -> None:
        """Take no more frames, draw what waits, and give up the canvas. The last picture and the trace stay."""
        self._turns.close(self._stage.canvas.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------- within

    def _count(self, what: str) -> None:
        with self._lock:
            setattr(self._counts, what, getattr(self._counts, what) + 1)

    def _look(self, change: Callable[[View], View]) -> None:
        with self._lock:
            view = change(self._view)
            if not 1e-3 <= view.scale <= 1e3:  # noqa: PLR2004 - said in the message
                raise ConfigError(f"scale={view.scale:g}: must be from 0.001 to 1000")
            if not all(map(math.isfinite, (*(view.centre or ()), *view.shift))):
                raise ConfigError(f"centre={view.centre}, shift={view.shift}: must be finite")
            self._view = view
        self._turns.run(self._redraw)

    def _draw(self, number: int, state: EpicycleState | None, shed: list[EpicycleState | None]) -> None:
        if state is None:
            return
        try:
            self._stage.show(state, [lost for lost in shed if lost is not None], self.view)
        except Exception as error:  # noqa: BLE001 - foreign code: OpenCV, matplotlib. One bad frame must not end the rest
            self._trouble("frame %d is not drawn: %r", number, error)
            self._count("failed")
            return
        with self._lock:
            self._trace.extend(state.tips.tolist())
            self._counts.drawn += 1
            observers = self._observers
        for observer in observers:
            try:
                observer.on_frame_rendered(state, number)
            except Exception as error:  # noqa: BLE001 - whatever it does wrong, the others are told and the drawing goes on
                self._trouble(f"observer {type(observer).__name__} raised on frame %d: %r", number, error)
                self._count("observer_errors")

    def _trouble(self, message: str, number: float, error: Exception) -> None:
        """Log it, with the traceback the first time: at 60 frames a second there would be much of it."""
        with self._lock:
            new = type(error) not in self._seen
            self._seen.add(type(error))
        _log.error(message, number, error, exc_info=error if new else None)

    def _redraw(self) -> None:
        try:
            self._stage.look(self.view)
        except Exception as error:  # noqa: BLE001 - as in _draw
            self._trouble("the change of view to scale %g is not drawn: %r", self.view.scale, error)

    def _forget(self) -> None:
        with self._lock:  # once more: the frame at work when clear_trace() was called has left its tips since
            self._trace.clear()
        self._stage.forget()
