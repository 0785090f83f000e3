"""`ffrtmp console`: the full screen."""

from pathlib import Path
from typing import Final

from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import usage
from ffrtmp_tui.run import Run


def console(run: Run) -> int:
    """Show the full screen until it is left."""
    if not (run.terminal.out_shows and run.stdin.isatty()):
        raise usage("the console needs a terminal", "for scripts there are `ffrtmp jobs list` and the other commands")
    from ffrtmp_tui import contexts
    from ffrtmp_tui.console.app import App
    from ffrtmp_tui.console.client import ThreadClient
    from ffrtmp_tui.console.model import Console
    from ffrtmp_tui.console.palette import THEMES, depth_for, read_themes
    from ffrtmp_tui.console.state import State
    from ffrtmp_tui.link import Link, new_id

    args = run.args
    path = Path(args.themes) if args.themes else contexts.config_folder(run.environ) / "themes.toml"
    themes = {**THEMES, **(read_themes(path) if args.themes or path.exists() else {})}
    theme = args.theme or next(iter(themes))
    if theme not in themes:
        raise usage(f"there is no theme {theme!r}", f"there are {', '.join(themes)}")
    context = contexts.resolve(
        run.environ, context=args.context, master=args.master, system=run.system_file or contexts.SYSTEM_FILE
    )
    own = context.key_pair()
    state = State(
        cluster=context.name, endpoint=context.master, read_only=args.readonly, themes=tuple(themes), theme=theme
    )
    client = ThreadClient(lambda tries_s: Link(context.master, context.server_key, own, tries_s=tries_s))
    try:
        depth = depth_for(run.environ, no_colour=args.no_color)
        return App(Console(state, new_id), client, themes=themes, depth=depth).run()
    finally:
        client.close()


NOUN: Final = Noun(
    name="console",
    help="watch and steer the cluster on the full screen",
    verbs=(
        Verb(
            name="",
            help="watch and steer the cluster on the full screen; ? shows the keys",
            run=console,
            arguments=(
                Argument(names=("--readonly",), help="refuse every action", flag=True),
                Argument(names=("--theme",), metavar="NAME", help="colours to begin with: dark, light, or your own"),
                Argument(
                    names=("--themes",), metavar="FILE", help="your own themes; else themes.toml beside the contexts"
                ),
            ),
            examples=(
                ("ffrtmp console", "also plain `ffrtmp` on a terminal"),
                ("ffrtmp console --readonly", "only to look"),
            ),
        ),
    ),
)
