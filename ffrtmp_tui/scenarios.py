"""`ffrtmp scenarios`: what can be encoded by name."""

from typing import Final

from ffrtmp_tui import units
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import Exit
from ffrtmp_tui.fit import Column
from ffrtmp_tui.link import new_id
from ffrtmp_tui.render import sheet
from ffrtmp_tui.run import Run
from ffrtmpd.wire.messages.inquiries import ListScenarios, ScenarioList

SCENARIO_COLUMNS: Final = (
    Column(title="Scenario", name="name", get=lambda scenario: scenario.name),
    Column(title="Codec", name="codec", get=lambda scenario: scenario.codec),
    Column(title="Size", name="size", get=lambda scenario: f"{scenario.width}x{scenario.height}"),
    Column(title="FPS", name="fps", get=lambda scenario: scenario.fps, show=units.number_text, right=True),
    Column(
        title="Bitrate",
        name="bitrate_bps",
        get=lambda scenario: scenario.bitrate_bps,
        show=units.bitrate_text,
        right=True,
    ),
    Column(title="Preset", name="preset", get=lambda scenario: scenario.preset),
)


def list_scenarios(run: Run) -> int:
    """Show the scenarios known by name."""
    reply = run.ask(ListScenarios(request_id=new_id()), ScenarioList)
    run.show_list("scenarios", reply.scenarios, SCENARIO_COLUMNS, name_of=lambda scenario: scenario.name)
    if run.form in ("table", "wide"):
        run.terminal.say("others work too: <resolution>[<fps>]-<codec>, such as 1440p50-av1")
    return Exit.OK


def show(run: Run) -> int:
    """Show what one name means."""
    (scenario,) = run.ask(ListScenarios(request_id=new_id(), name=run.args.scenario), ScenarioList).scenarios
    run.show_one(
        {"scenario": scenario},
        name=scenario.name,
        people=lambda: sheet(
            [
                (column.title, None if column.get(scenario) is None else column.show(column.get(scenario)))
                for column in SCENARIO_COLUMNS
            ],
            box=run.terminal.out_shows,
            unicode=run.terminal.unicode,
            room=run.terminal.room,
        ),
        columns=SCENARIO_COLUMNS,
        row=scenario,
    )
    return Exit.OK


NOUN: Final = Noun(
    name="scenarios",
    help="list what can be encoded by name, and what a name means",
    verbs=(
        Verb(
            name="list",
            help="list the scenarios that the master knows by name",
            run=list_scenarios,
            examples=(("ffrtmp scenarios list -o name", "the names alone"),),
        ),
        Verb(
            name="show",
            help="show what a name means: size, rate and bits",
            run=show,
            arguments=(
                Argument(
                    names=("scenario",),
                    help="<resolution>[<fps>]-<codec> or a name from `ffrtmp scenarios list`",
                    kind="scenario",
                ),
            ),
            examples=(("ffrtmp scenarios show 1440p50-av1", "how many bits it would get"),),
        ),
    ),
)
