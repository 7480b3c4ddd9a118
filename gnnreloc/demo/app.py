"""The page itself, in Gradio."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from gnnreloc.demo.drawings import TIMELINE_CSS, about, cell, draw, place_of, timeline, told
from gnnreloc.demo.service import EdgeMap, Found, Limits, Service
from gnnreloc.errors import InputError
from gnnreloc.search import Engine, FoundMoment, Library

#: The query of the built-in example, in seconds.
EXAMPLE = (2.0, 8.0)
#: Seconds after which uploads are removed, and between two looks at them.
_KEPT, _LOOK = 3600, 300
_CSS = """
/* Trimming is done by the sliders; these two would load a program from another host. */
button[aria-label^="Trim video"], button[aria-label^="Reset video"] { display: none; }
"""


@contextmanager
def running_page(
    engine: Engine,
    library: Library | None = None,
    limits: Limits | None = None,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> Iterator[str]:
    """Serve the page while the block runs; its address.

    Uploads, clips and what Gradio keeps lie in a folder of their own, which is removed at the end.

    Args:
        engine: what finds moments in a video.
        library: what finds moments in a library; ``None`` without one.
        limits: of what may be uploaded.
        host: address that it listens on.
        port: port; a free one by default.

    Raises:
        InputError: if Gradio is not installed, or the port is taken.
    """
    limits = limits or Limits()
    with (
        tempfile.TemporaryDirectory(prefix="gnnreloc-demo-") as folder,
        as_file(files(__package__)) as own,
    ):
        uploads, clips = Path(folder) / "uploads", Path(folder) / "clips"
        clips.mkdir()
        engine.cache.folder = Path(folder) / "features"
        # Read by Gradio when it is imported.
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        gr = import_gradio()
        service = Service(engine, clips, library, limits)
        page = build_page(service, (own / "example_query.mp4", own / "example_reference.mp4"))
        system = ["system-ui", "sans-serif"]
        try:
            _, address, _ = page.queue(default_concurrency_limit=2).launch(
                server_name=host,
                server_port=port,
                max_file_size=int(limits.megabytes * 1e6),
                theme=gr.themes.Default(font=system, font_mono=["monospace"]),
                css=_CSS + TIMELINE_CSS,
                allowed_paths=[str(clips), str(own)],
                prevent_thread_lock=True,
                quiet=True,
                share=False,
                footer_links=[],
                ssr_mode=False,
            )
        except OSError as error:
            raise InputError(f"--port {port}: {error}") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def import_gradio() -> Any:
    """Gradio.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise InputError(
            "gnnreloc demo needs the extra 'demo': pip install 'gnnreloc[video,demo]'"
        ) from error
    return gradio


def build_page(service: Service, example: tuple[Path, Path]) -> Any:
    """The page, not yet served.

    Args:
        service: what it asks.
        example: query and reference of the built-in example.
    """
    gr = import_gradio()
    limits = service.limits

    def complaint(error: InputError) -> Any:
        return gr.Error(str(error), print_exception=False)

    def chosen(path: str | None) -> tuple[Any, Any, str]:
        """A query was uploaded or taken away: bring the sliders to its length."""
        if not path:
            return gr.update(), gr.update(), ""
        try:
            length = round(service.check(path, "query").duration, 2)
        except InputError as error:
            raise complaint(error) from error
        first, last = EXAMPLE if Path(path).name == example[0].name else (0.0, length)
        said = f"query: {length:.1f} s"
        return (
            gr.update(maximum=length, value=first),
            gr.update(maximum=length, value=min(last, length)),
            said,
        )

    def take_example() -> tuple[str, str]:
        return str(example[0]), str(example[1])

    def answer(
        query: str | None,
        start: float,
        end: float,
        reference: str | None,
        where: str,
        progress: Any = gr.Progress(),  # noqa: B008 - Gradio finds it as a default
    ) -> tuple[Found, str, Any, str, Any]:
        """Ask, and show the moments, the first one chosen."""
        length = 0.0

        def tell(seconds: float) -> None:
            progress((min(seconds, length), length), desc="reading", unit=" s of video")

        try:
            if where == "the library":
                clip = service.clip(query, start, end)
                length = end - start
                found = service.search(clip, progress=tell)
            else:
                length = service.check(reference, "reference").duration  # before the query
                clip = service.clip(query, start, end)
                found = service.localize(clip, reference, progress=tell)
            if not found.moments:
                raise InputError("no moment was found: there is nothing to search in")
        except InputError as error:
            raise complaint(error) from error
        names = [told(found, place) for place in range(len(found.moments))]
        chosen = gr.update(choices=names, value=names[0])
        return found, timeline(found, 0), chosen, "", gr.update(visible=True)

    def look(found: Found | None, name: str | None) -> tuple[Any, ...]:
        """A moment was chosen: its clip and its edges."""
        if found is None or not name:
            return None, None, None, "", "", None, None
        place = place_of(name)
        moment = found.moments[place]
        try:
            clip, edges = service.cut(moment), service.edges(found, place)
        except InputError as error:
            raise complaint(error) from error
        row, column = np.unravel_index(int(edges.values.argmax()), edges.values.shape)
        frames = joined(found, moment, edges, int(row), int(column))
        picture = draw(edges, int(row), int(column))
        return str(clip), picture, edges, about(edges), timeline(found, place), *frames

    def click(
        found: Found | None, name: str | None, edges: EdgeMap | None, event: Any
    ) -> tuple[Any, ...]:
        """A cell of the edges was clicked: the two frames that it joins."""
        if found is None or edges is None or not name:
            return None, None, None
        row, column = cell(edges, *event.index)
        moment = found.moments[place_of(name)]
        return draw(edges, row, column), *joined(found, moment, edges, row, column)

    click.__annotations__["event"] = gr.SelectData  # by which Gradio knows what to hand over

    def joined(
        found: Found, moment: FoundMoment, edges: EdgeMap, row: int, column: int
    ) -> tuple[Any, Any]:
        weight = float(edges.values[row, column])
        shown = []
        for role, path, time in (
            ("query", found.query.path, edges.query[row]),
            ("moment", Path(moment.video), edges.moment[column]),
        ):
            label = f"{role} at {max(time, 0.0):.2f} s, weight {weight:.3f}"
            shown.append(gr.update(value=service.frame(path, time), label=label))
        return shown[0], shown[1]

    looked_at = {"interactive": False, "buttons": ["fullscreen", "download"]}
    with gr.Blocks(title="gnnreloc", delete_cache=(_LOOK, _KEPT)) as page:
        gr.Markdown(
            "# Find the moment\nGive a short **query** clip and a long **reference**: the moments "
            "of the reference that show the same action are found. Files up to "
            f"{limits.megabytes:g} MB and {limits.seconds / 60:g} minutes are taken; they stay on "
            "this machine and are removed after an hour. A video that the browser cannot play can "
            "be searched all the same."
        )
        with gr.Row():
            with gr.Column():
                query = gr.Video(label="query", sources=["upload"], height=260, elem_id="query")
                start = gr.Slider(0, 60, value=0, step=0.05, label="query starts at (s)")
                end = gr.Slider(0, 60, value=60, step=0.05, label="query ends at (s)")
            with gr.Column():
                reference = gr.Video(
                    label="reference", sources=["upload"], height=260, elem_id="reference"
                )
                places = ["the reference"] + (["the library"] if service.library else [])
                where = gr.Radio(
                    places, value=places[0], label="search in", visible=len(places) > 1
                )
                with gr.Row():
                    shown_example = gr.Button("Take the example", elem_id="example")
                    ask = gr.Button("Find the moments", variant="primary", elem_id="ask")
        status = gr.Markdown(elem_id="status")
        with gr.Column(visible=False) as results:
            line = gr.HTML(elem_id="line")
            with gr.Row():
                with gr.Column():
                    moments = gr.Radio([], label="moments, best first", elem_id="moments")
                    player = gr.Video(
                        label="the chosen moment",
                        height=260,
                        autoplay=True,
                        elem_id="player",
                        buttons=["download"],
                    )
                with gr.Column():
                    caption = gr.Markdown(elem_id="caption")
                    picture = gr.Image(
                        label="edges", show_label=False, elem_id="edges", **looked_at
                    )
            with gr.Row():
                first = gr.Image(label="query", height=220, elem_id="first", **looked_at)
                second = gr.Image(label="moment", height=220, elem_id="second", **looked_at)
        found, edges = gr.State(), gr.State()

        shown_example.click(take_example, None, [query, reference])
        query.change(chosen, query, [start, end, status])
        inputs = [query, start, end, reference, where]
        ask.click(
            answer,
            inputs,
            [found, line, moments, status, results],
            concurrency_limit=1,
            show_progress_on=status,
        )
        moments.change(
            look, [found, moments], [player, picture, edges, caption, line, first, second]
        )
        picture.select(click, [found, moments, edges], [picture, first, second])
    return page
